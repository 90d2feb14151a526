"""A prediction as a failing test tells it."""

from ..fixes import FIXES, PROBLEMS, RUNBOOK
from ..stability import Prediction

_WIDTH = 100


def report(prediction: Prediction, earlier: str, later: str) -> str:
    """Why and where the later request breaks the earlier one's cache, and what to do."""
    reason = prediction.reason or ""
    if prediction.continues:
        place = f" at {prediction.place}" if prediction.place else ""
        head = f"{later} would not reuse the cache of {earlier}: {reason}{place} ({prediction.doing})"
    else:
        head = f"{later} does not continue {earlier}: {reason}"
    lines = [head]
    if prediction.section is not None:
        index = "" if prediction.index is None else f", index {prediction.index}"
        kept = f"{prediction.kept:.0%} of the earlier prompt stays reusable"
        lines.append(f"  section {prediction.section}{index}; {kept}")
    if prediction.difference is not None:
        lines += prediction.difference.lines(("  before  ", "  after   "), _WIDTH)
    lines += [f"  note: {PROBLEMS[problem]}" for problem in prediction.problems if problem in PROBLEMS]
    lines += [f"  note: {prediction.note}"] if prediction.note else []
    lines.append(f"  Fix: {FIXES[reason]} ({RUNBOOK}, {reason})")
    return "\n".join(lines)

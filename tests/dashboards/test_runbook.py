"""What the runbook sends its reader to is there."""

import re
from pathlib import Path

from . import queries

RUNBOOK = Path(__file__).parents[2] / "dashboards" / "runbook.md"


def test_the_panels_that_the_runbook_names_are_on_a_board() -> None:
    """Each title in italics is one of a board, of a panel, or of a panel's link."""
    text = RUNBOOK.read_text(encoding="utf-8")
    alerts = text[text.index("## The alerts") : text.index("## The reasons")]
    named = set(re.findall(r"(?<!\*)\*([A-Z][^*]+|xAI [^*]+)\*(?!\*)", alerts))
    shown = "\n".join(board.read_text(encoding="utf-8") for board in queries.GENERATED.glob("*.json"))
    assert len(named) > 8
    assert {title for title in named if f'"title": "{title}' not in shown} == set()

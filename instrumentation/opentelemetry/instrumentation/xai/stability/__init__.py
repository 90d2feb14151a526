"""Whether a request would reuse the cache of an earlier one: the ledger's verdict, foretold from two bodies.

Nothing is compared here. The earlier request is put into a ledger of its own and answered as if all had gone well; what
the ledger then knows of the later one is the prediction. Who gives two bodies says that one follows the other, so both
get the same conversation id; the ids that they state themselves are looked at afterwards.
"""

import json
from dataclasses import dataclass
from itertools import zip_longest

from .. import conventions as names
from ..cache_ledger import Inquiry
from ..observation import CacheVerdict, Ending, Observation, Request, Timeline
from ..wire.fingerprint import Fingerprint, Fingerprinter
from ..wire.request import read_request
from ..wire.routes import dialect_of
from .body import CHAT, MESSAGES, RESPONSES, Body, Part
from .difference import Difference
from .trial import TrialLedger

_HOST, _PORT = "api.x.ai", 443
_HEADERS = ((b"x-grok-conv-id", b"the same"),)
_KEY = "prompt_cache_key"
_STEP = 8
"""Entries by which the earlier request is told to the ledger: of many at once, it reads the last ones alone."""
_INTACT = frozenset({None, names.PROVIDER_MISS, names.IDLE})
"""What is said where the client did nothing wrong."""
_UNRELATED = frozenset({names.FIRST_REQUEST, names.NO_BASELINE, names.CONCURRENT})
_DOING = {names.CAUSE_CLIENT: "the client's doing", names.CAUSE_EXPECTED: "to be expected"}


@dataclass(frozen=True)
class Prediction:
    """What would become of the earlier request's cache."""

    stable: bool
    """Whether all of it would be reused."""
    kept: float
    """What share of the earlier prompt stays reusable, by bytes."""
    reason: str | None = None
    cause: str | None = None
    confidence: str | None = None
    section: str | None = None
    index: int | None = None
    """Which of the later request's tools or messages is the first that differs."""
    place: str | None = None
    """Where it first differs, as one writes it: ``messages[3]``."""
    difference: Difference | None = None
    problems: tuple[str, ...] = ()
    """What may be wrong with the conversation id: a header is not in the body, so it is no verdict."""
    note: str | None = None

    @property
    def continues(self) -> bool:
        """Whether the later request goes on with the earlier one's conversation at all."""
        return self.reason not in _UNRELATED

    @property
    def doing(self) -> str:
        """Whose doing it is, in words, and whether that is no more than probable."""
        doing = _DOING.get(self.cause or "", "unknown whose doing")
        return f"{doing}, inferred" if self.confidence == names.INFERRED else doing


def predict(earlier: Body, later: Body) -> Prediction:
    """Whether ``later``, sent after ``earlier`` was answered, would reuse its cache."""
    ledger, fingerprinter = TrialLedger(), Fingerprinter()

    def issued(body: Body, stop: int) -> Inquiry:
        return ledger.issued(_fingerprint(body, body.written({_KEY}, stop), fingerprinter), 0)

    for stop in range(_STEP, len(earlier.entries), _STEP):
        issued(earlier, stop).explain(_answer(500))
    issued(earlier, len(earlier.entries)).explain(_answer(200, later.previous))
    # further turns of the model may lie between the two: what is appended takes nothing away
    found = issued(later, later.end_of(earlier.rounds + 1)).explain(_answer(200))
    assert found is not None
    if found.reason in _INTACT and _key_changed(earlier, later):
        found = CacheVerdict(names.MISSED, names.CONVERSATION_ID_CHANGED, *names.REASONS[names.CONVERSATION_ID_CHANGED])
    return prediction(earlier, later, found, _problems(earlier, later))


def prediction(earlier: Body, later: Body, found: CacheVerdict, problems: tuple[str, ...] = ()) -> Prediction:
    """A verdict of the ledger, with the place in the two bodies that it speaks of."""
    if found.reason in _INTACT:
        rewritten = later.first_rewritten(earlier)
        note = rewritten and f"{rewritten} is written in other bytes (white space, escapes), which mean the same."
        return Prediction(stable=True, kept=1.0, problems=problems, note=note)
    before, after = _parts(earlier, later, found)
    part = after or before
    return Prediction(
        stable=False,
        kept=_kept(earlier, later, found),
        reason=found.reason,
        cause=found.cause,
        confidence=found.confidence,
        section=found.section,
        index=found.index,
        place=part.name if part else found.section,
        difference=Difference(before.text if before else None, after.text if after else None) if part else None,
        problems=problems,
        note=_note(before, after, found),
    )


def _fingerprint(body: Body, content: bytes, fingerprinter: Fingerprinter) -> Fingerprint:
    dialect = dialect_of("POST", body.path)
    if dialect is None:
        raise ValueError(f"{body.path} is no endpoint that generates")
    _, fingerprint = read_request(dialect, _HOST, _PORT, _HEADERS, content, fingerprinter)
    assert fingerprint is not None
    return fingerprint


def _answer(status_code: int, response_id: str | None = None) -> Observation:
    request, timeline = Request(names.CHAT, _HOST, _PORT), Timeline(0, 0)
    ending = Ending.COMPLETE if status_code == 200 else Ending.HTTP_ERROR
    return Observation(request, timeline, ending, status_code=status_code, response_id=response_id)


def _key_changed(earlier: Body, later: Body) -> bool:
    if later.path != RESPONSES or earlier.cache_key is None or later.cache_key is None:
        return False
    return earlier.cache_key != later.cache_key


def _problems(earlier: Body, later: Body) -> tuple[str, ...]:
    if later.path != RESPONSES:
        return (names.PROBLEM_WRONG_CARRIER,) if earlier.cache_key or later.cache_key else ()
    missing = later.cache_key is None and (later.rounds or later.previous)
    return (names.PROBLEM_MISSING,) if missing else ()


def _parts(earlier: Body, later: Body, found: CacheVerdict) -> tuple[Part | None, Part | None]:
    """The part that first differs, in both."""
    section = found.section
    if section == names.SECTION_PARAMETERS:
        return earlier.parameters, later.parameters
    if found.reason == names.CONVERSATION_ID_CHANGED and _key_changed(earlier, later):
        return earlier.identity, later.identity
    if section is None and found.reason not in _UNRELATED and found.reason != names.COMPACTED:
        return None, None
    old, new = (body.section(section or names.SECTION_MESSAGES) for body in (earlier, later))
    if found.index is not None:
        place = found.index - (later.offset if section == names.SECTION_MESSAGES else 0)
        return _at(old, place), _at(new, place)
    pairs = zip_longest(old, new)
    return next((pair for pair in pairs if not (pair[0] and pair[1]) or pair[0].text != pair[1].text), (None, None))


def _at(parts: list[Part], place: int) -> Part | None:
    return parts[place] if 0 <= place < len(parts) else None


def _kept(earlier: Body, later: Body, found: CacheVerdict) -> float:
    if found.section not in (None, names.SECTION_PARAMETERS) and found.potential:
        return round(1 - found.lost / found.potential, 6)
    if found.section is not None or found.reason not in _UNRELATED:
        return 0.0
    whole = same = 0
    intact = True
    for old, new in zip_longest(earlier.parts, later.parts):
        if old is None:
            break
        intact = intact and new is not None and old.text == new.text
        whole += old.size
        same += old.size if intact else 0
    return same / max(whole, 1)


def _note(before: Part | None, after: Part | None, found: CacheVerdict) -> str | None:
    if found.reason != names.SERIALIZATION_CHANGED or found.section != names.SECTION_TOOLS or not before or not after:
        return None
    if json.dumps(json.loads(before.text)) != json.dumps(json.loads(after.text)):
        return None
    return (
        "Only white space or escapes differ. If a program wrote a saved body anew (jq, an editor), "
        "compare the bodies as they were sent."
    )


__all__ = ["CHAT", "MESSAGES", "RESPONSES", "Body", "Difference", "Part", "Prediction", "predict", "prediction"]

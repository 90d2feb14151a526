"""The parts of two prompts, set side by side in the order of the prompt."""

from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Final

from ... import conventions as names
from ...stability import Body, Part

SAME: Final = "="
DIFFERS: Final = "!"
NEW: Final = "+"
GONE: Final = "-"
_SECTIONS = (names.SECTION_MODEL, names.SECTION_TOOLS, names.SECTION_SYSTEM, names.SECTION_MESSAGES)


@dataclass(frozen=True)
class Row:
    """One part as both have it. The names are those of the JSON output."""

    mark: str
    section: str
    part: str
    """Where it stands in B, or in A if B has it not."""
    role: str
    bytes_before: int | None
    bytes_after: int | None


def rows(earlier: Body, later: Body) -> list[Row]:
    """All parts of both, and the parameters where they are not the same."""
    found = []
    for section in _SECTIONS:
        found += _aligned(earlier.section(section), later.section(section))
    if earlier.parameters.text != later.parameters.text:
        found.append(_row(earlier.parameters, later.parameters))
    return found


def _aligned(old: list[Part], new: list[Part]) -> list[Row]:
    """Parts of one section: what returns elsewhere is the same, what differs in between is paired off."""
    found = []
    matcher = SequenceMatcher(None, [part.text for part in old], [part.text for part in new], autojunk=False)
    for _, old_start, old_stop, new_start, new_stop in matcher.get_opcodes():
        pairs = zip_longest(old[old_start:old_stop], new[new_start:new_stop])
        found += [_row(before, after) for before, after in pairs]
    return found


def _row(before: Part | None, after: Part | None) -> Row:
    part = after or before
    assert part is not None
    if before is None or after is None:
        mark = NEW if before is None else GONE
    else:
        mark = SAME if before.text == after.text else DIFFERS
    return Row(mark, part.section, part.name, part.role, before.size if before else None, after.size if after else None)

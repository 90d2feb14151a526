"""The screen: the answer in words, the table of parts with the place pointed at, the two excerpts, and the fix."""

import textwrap
from itertools import groupby

from ...fixes import FIXES, PROBLEMS, RUNBOOK
from ...stability import Prediction
from ...stability.difference import printable
from .rows import DIFFERS, GONE, NEW, SAME, Row

_FOLDED = 3
"""So many in a row are shown as one."""
_NAME, _BYTES = 22, 11
_WIDEST_ROLE = 26
_WORDS = {SAME: "same", DIFFERS: "differ", NEW: "new", GONE: "gone"}


def page(found: Prediction, table: list[Row], width: int) -> str:
    """Everything, in lines no wider than ``width``."""
    lines = [*textwrap.wrap(_answer(found), width), "", *_table(table, _pointed(found, table), width), ""]
    if found.difference is not None:
        lines += [f"{found.place}, from character {found.difference.offset + 1} on:"]
        lines += [*found.difference.lines(("  A: ", "  B: "), width), ""]
    notes = [f"Note: {PROBLEMS[problem]}." for problem in found.problems]
    notes += [f"Note: {found.note}"] if found.note else []
    for note in notes:
        lines += textwrap.wrap(note, width, subsequent_indent="      ")
    if found.reason is not None:
        lines += textwrap.wrap(f"Fix: {FIXES[found.reason]}", width, subsequent_indent="     ")
        lines.append(f"More: {RUNBOOK}, section {found.reason}")
    return "\n".join(lines).rstrip()


def _answer(found: Prediction) -> str:
    if found.stable:
        return "B would reuse 100 % of A's prompt."
    if not found.continues:
        place = f"from {found.place} on it is another one" if found.place else "it is shorter"
        return f"B does not continue A's conversation: {place} ({found.reason}). {_kept(found)}"
    if found.section in (None, "parameters"):
        surely = "would probably NOT" if found.section else "would NOT"
        return f"B {surely} reuse A's cache, though the prompt is intact: {found.reason} ({found.doing})."
    return f"B would NOT reuse A's cache from {found.place} on: {found.reason} ({found.doing}). {_kept(found)}"


def _kept(found: Prediction) -> str:
    share = int(found.kept * 100)
    return f"{share} % of A's bytes stay reusable." if share else "Nothing of A stays reusable."


def _pointed(found: Prediction, table: list[Row]) -> Row | None:
    """The first row that B breaks with."""
    section = found.section or (None if found.continues else "messages")
    return next((row for row in table if row.section == section and row.mark != SAME), None)


def _table(table: list[Row], pointed: Row | None, width: int) -> list[str]:
    room = min(_WIDEST_ROLE, width - 4 - _NAME - 2 * _BYTES)
    lines = [f"    {'part':{_NAME}}{'':{room}}{'bytes in A':>{_BYTES}}{'in B':>{_BYTES}}"]
    for (mark, _, is_pointed), group in groupby(table, lambda row: (row.mark, _array(row), row is pointed)):
        run = list(group)
        if len(run) < _FOLDED:
            lines += [_line(mark, row.part, row.role, room, [row], is_pointed) for row in run]
        else:
            last = run[-1].part.partition("[")[2].rstrip("]")
            name = f"{run[0].part.rstrip(']')}..{last}]"
            lines.append(_line(mark, name, f"{len(run)} {_WORDS[mark]}", room, run, is_pointed))
    return lines


def _array(row: Row) -> str:
    """What may be folded with others."""
    return f"{row.section} {row.part.partition('[')[0]}" if "[" in row.part else row.part


def _line(mark: str, name: str, role: str, room: int, run: list[Row], pointed: bool) -> str:
    before, after = (_sum([getattr(row, column) for row in run]) for column in ("bytes_before", "bytes_after"))
    pointer = ">" if pointed else " "
    role = printable(role)
    role = role if len(role) < room else role[: room - 4] + "..."
    return f"{pointer} {mark} {name:{_NAME}}{role:{room}}{before:>{_BYTES}}{after:>{_BYTES}}".rstrip()


def _sum(sizes: list[int | None]) -> str:
    known = [size for size in sizes if size is not None]
    return f"{sum(known):,}" if known else ""

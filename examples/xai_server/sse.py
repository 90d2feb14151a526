"""Server-sent events: what an event is, and how a row of them becomes bytes.

Here are also the troubles with events as such: line ends, comments, missing
ends. When the bytes leave, and in what portions, is decided by `delivery`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from xai_server.prompt import JSON
from xai_server.trouble import Trouble

DONE = "[DONE]"
ERROR_AFTER_DELTAS = 3


class Moment(Enum):
    """What an event means to someone who waits for the answer."""

    EMPTY = "empty"
    REASONING = "reasoning"
    ANSWER = "answer"
    OTHER = "other"


@dataclass(frozen=True)
class Event:
    """One event: its JSON payload, or a bare word such as `[DONE]`."""

    payload: JSON | str
    moment: Moment = Moment.OTHER

    @property
    def is_delta(self) -> bool:
        """Tell whether the event carries a piece of reasoning or answer."""
        return self.moment in (Moment.REASONING, Moment.ANSWER)


def disturbed(events: Sequence[Event], trouble: Trouble, error: JSON | None) -> list[Event]:
    """Apply the troubles that change which events there are."""
    kept: list[Event] = []
    deltas = 0
    for event in events:
        if error is not None and (deltas == ERROR_AFTER_DELTAS or event.payload == DONE):
            break
        if event.payload == DONE and trouble.no_done:
            continue
        deltas += event.is_delta
        kept.append(event)
    if error is not None:
        if "sequence_number" in error:
            error = {**error, "sequence_number": len(kept)}
        # xAI ends the stream after an error; the closing [DONE] does not come.
        kept.append(Event(error))
    return kept


def dump(payload: JSON | str, trouble: Trouble) -> str:
    """Write a payload as xAI does: compact, and not escaped to ASCII."""
    if isinstance(payload, str):
        return payload
    separators = (", ", ": ") if trouble.spaces else (",", ":")
    return json.dumps(payload, ensure_ascii=False, separators=separators)


def frame(event: Event, trouble: Trouble, *, event_lines: bool = False, first: bool = False) -> bytes:
    """Write one event, with the blank line that ends it."""
    end = "\r\n" if trouble.crlf else "\r" if trouble.cr else "\n"
    lines = [": keep-alive", ""] if trouble.comments else []
    if isinstance(event.payload, dict) and (event_lines or trouble.event_lines):
        lines.append(f"event: {event.payload.get('type', 'message')}")
    lines += [f"data: {dump(event.payload, trouble)}", "", ""]
    mark = "\ufeff" if first and trouble.bom else ""
    return (mark + end.join(lines)).encode()

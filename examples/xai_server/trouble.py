"""The switches that make the server misbehave, and the grammar they are written in.

    x-trouble: name[=value], name...

This file knows the names and which values they take; each effect lives with
the code it disturbs. `SWITCHES` is the one list: the error for an unknown name
and the table in the README follow it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


class TroubleError(ValueError):
    """A switch that does not exist, or a value that it does not take."""


@dataclass(frozen=True)
class Trouble:
    """The switches in force for one request; all off by default."""

    status: int | None = None
    error: str | None = None
    retry_after: int | None = None
    recovers: int | None = None
    error_event: str | None = None
    cut: int | None = None
    stall: float | None = None
    stall_after: int | None = None
    usage: str | None = None
    encoding: str | None = None
    split: int | None = None
    join: bool = False
    crlf: bool = False
    cr: bool = False
    comments: bool = False
    bom: bool = False
    event_lines: bool = False
    no_done: bool = False
    incomplete: bool = False
    empty_at: int | None = None
    reasoning_at: int | None = None
    answer_at: int | None = None
    answer_bytes: int | None = None
    events: int | None = None
    spaces: bool = False
    redirect: int | None = None
    choices: int | None = None


@dataclass(frozen=True)
class Switch:
    """One name: how its value is written, what it does, how it is read."""

    name: str
    value: str
    effect: str
    read: Callable[[str], Any]
    default: str | None = None


def _flag(text: str) -> bool:
    if text not in ("", "1", "true"):
        raise ValueError("takes no value")
    return True


def _number(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        number = int(text)
        if not low <= number <= high:
            raise ValueError(f"must lie between {low} and {high}")
        return number

    return read


def _one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return text

    return read


def _seconds(text: str) -> float:
    seconds = float(text)
    if math.isnan(seconds) or seconds < 0:
        raise ValueError("must not be negative")
    return seconds


_MANY = 10_000_000
_COUNT = _number(0, _MANY)

SWITCHES = (
    Switch("status", "=400...599", "answer with this status and an error body", _number(400, 599)),
    Switch(
        "error",
        "=flat, nested, string, html",
        "shape of the error body; alone it means status 400",
        _one_of("flat", "nested", "string", "html"),
        "flat",
    ),
    Switch("retry_after", "=SECONDS", "send `retry-after` with an error", _COUNT),
    Switch(
        "recovers",
        "=N",
        "`status` ends once the SDK's retry count (`x-stainless-retry-count`) reaches N",
        _COUNT,
        "1",
    ),
    Switch(
        "error_event",
        "=flat, nested, failed",
        "after three deltas an error event, then the end without `[DONE]`",
        _one_of("flat", "nested", "failed"),
        "flat",
    ),
    Switch("cut", "=N", "cut the connection after N events, or in the middle of a body", _COUNT, "2"),
    Switch("stall", "=SECONDS", "wait before the headers; without a value until the client leaves", _seconds, "inf"),
    Switch("stall_after", "=N", "hang after N events until the client leaves", _COUNT, "2"),
    Switch(
        "usage",
        "=every_chunk, none, null, wrong_types",
        "where usage appears and what it looks like",
        _one_of("every_chunk", "none", "null", "wrong_types"),
    ),
    Switch(
        "encoding",
        "=gzip, deflate, br, zstd",
        "compress the body, flushed after every event",
        _one_of("gzip", "deflate", "br", "zstd"),
    ),
    Switch("split", "=N", "write N bytes at a time", _number(1, _MANY), "1"),
    Switch("join", "", "write all events at once", _flag),
    Switch("crlf", "", "end lines with CR LF", _flag),
    Switch("cr", "", "end lines with CR", _flag),
    Switch("comments", "", "a keep-alive comment line before every event", _flag),
    Switch("bom", "", "begin the stream with a byte order mark", _flag),
    Switch("event_lines", "", "an `event:` line in every event", _flag),
    Switch("no_done", "", "leave out `[DONE]`", _flag),
    Switch("incomplete", "", "finish as if the token limit had been met", _flag),
    Switch("empty_at", "=MS", "first, empty event this long after the request arrived", _COUNT),
    Switch("reasoning_at", "=MS", "first reasoning not before this", _COUNT),
    Switch("answer_at", "=MS", "first answer text not before this", _COUNT),
    Switch("answer_bytes", "=N", "an answer text of N bytes", _number(1, 64 * 1024 * 1024)),
    Switch("events", "=N", "N answer deltas", _number(1, 1_000_000)),
    Switch("spaces", "", "JSON with blanks after `:` and `,`", _flag),
    Switch("redirect", "=N", "N redirects (307) to the same path first", _number(0, 100), "1"),
    Switch("choices", "=N", "N choices in a chat completion", _number(1, 128)),
)

_BY_NAME = {switch.name: switch for switch in SWITCHES}


def parse_trouble(*texts: str) -> Trouble:
    """Read the switches of several texts; where both name one, the later text wins."""
    found: dict[str, Any] = {}
    for text in texts:
        for item in filter(None, (part.strip() for part in text.split(","))):
            name, equals, value = (part.strip() for part in item.partition("="))
            switch = _BY_NAME.get(name)
            if switch is None:
                raise TroubleError(f"Unknown trouble {name!r}; known are: {', '.join(_BY_NAME)}")
            if not equals:
                value = switch.default or ""
            try:
                found[name] = switch.read(value)
            except ValueError as error:
                expected = switch.value or "no value"
                raise TroubleError(f"Trouble {name!r} takes {expected}, got {value!r} ({error})") from None
    return Trouble(**found)

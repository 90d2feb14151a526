"""What a client library knows of a request, in the words of the observer."""

import sys
from collections.abc import Iterable
from types import FrameType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from opentelemetry import trace

DEFAULT_PORTS = {"https": 443, "http": 80}

_BETWEEN = (f"{__package__}.", "wrapt.")
"""Whose frames are between a wrapper and what called it: our own, and wrapt's where it lacks its extension."""


class Address(NamedTuple):
    """Where a request goes."""

    host: str
    port: int
    path: str


def host_of(url: str) -> str:
    """The host that a URL names: all that other traffic pays, so the URL is not parsed further."""
    parts = url.split("/", 3)
    if len(parts) < 3:
        return ""
    host = parts[2]
    if ":" not in host and "@" not in host:
        return host
    host = host.rpartition("@")[2]
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def address_of(url: str) -> Address:
    """The address of a URL."""
    parts = urlsplit(url)
    return Address(parts.hostname or "", parts.port or DEFAULT_PORTS.get(parts.scheme, 443), parts.path)


def header_pairs(headers: Iterable[tuple[Any, Any]]) -> list[tuple[bytes, bytes]]:
    """Headers as pairs of bytes, whatever of text and bytes they are; their names in lower case."""
    return [(_bytes(name).lower(), _bytes(value)) for name, value in headers]


def known_body(body: Any) -> bytes | None:
    """A body, where it is known before it is sent: not that of a file or a generator, which are not ours to read."""
    if isinstance(body, bytes):
        return body
    if isinstance(body, (str, bytearray)):
        return _bytes(body)
    return None


def suppressed_by(instrumentation: str) -> bool:
    """Whether another instrumentation's wrapper called ours, and its span is the current one.

    Then the suppression that is on is of its making: were it the application's, it would not have begun a span.
    """
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  only the caller can tell
    while frame is not None and str(frame.f_globals.get("__name__", "")).startswith(_BETWEEN):
        frame = frame.f_back
    if frame is None or frame.f_globals.get("__name__") != instrumentation:
        return False
    current = trace.get_current_span()
    return any(value is current for value in frame.f_locals.values())


def _bytes(value: Any) -> bytes:
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    return str(value).encode("utf-8", "replace")

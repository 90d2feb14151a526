"""The settings: keyword arguments first, environment variables second, defaults last. All validation is here.

A setting that is invalid gives one warning that says what was given and what is allowed, and its default is used;
the application runs on.
"""

import logging
import os
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from .notices import not_allowed

_logger = logging.getLogger(__name__)

PREFIX = "OTEL_INSTRUMENTATION_XAI_"
ENABLED = PREFIX + "ENABLED"

_HOST = re.compile(r"\*|(?:[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")
_BAGGAGE_KEY = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_RESERVED = ("gen_ai.", "xai.", "server.", "error.type")


@dataclass(frozen=True)
class Settings:
    """How to observe. The attributes are the keywords of ``XAIInstrumentor().instrument()``."""

    hosts: tuple[str, ...] = ()
    """Further hosts that speak xAI's API: ``host``, ``host:port``, or ``*`` for every host."""
    conversation_id: str = "plain"
    """What a span shows of the conversation id: ``plain``, ``hashed`` or ``off``."""
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    """The secret of hashed ids; random per process unless set."""
    spans: str = "auto"
    """``auto``, ``always`` or ``never``."""
    ledger: str = "memory"
    """Where what conversations have sent is remembered: ``memory``, or nowhere: ``off``."""
    stream_usage: str = "observe"
    """``observe`` takes chat streams as they are; ``request`` has them report usage, unseen by the application."""
    metric_baggage: tuple[str, ...] = ()
    """Baggage keys that are copied to metric attributes."""

    @classmethod
    def read(cls, given: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None) -> "Settings":
        """Settings from keywords and environment; warns of each invalid one and takes its default."""
        environ = os.environ if environ is None else environ
        given = dict(given or {})
        found: dict[str, Any] = {}
        for name, (read, allowed) in _READERS.items():
            value, source = given.pop(name, None), f"{name}="
            if value is None:
                source = PREFIX + name.upper()
                value = environ.get(source) or None
            if value is not None:
                read_value = read(value, source, allowed)
                if read_value is not None:
                    found[name] = read_value
        for name in given:
            _logger.warning("instrument() does not know the setting %r; it knows %s.", name, ", ".join(_READERS))
        return cls(**found)


@dataclass(init=False)
class Configuration:
    """The settings as a declarative configuration file gives them, under ``instrumentation/development: python: xai:``.

    OpenTelemetry reads the file and hands each option over; one that does not exist gives a warning, as anywhere else.
    """

    hosts: Any = None
    conversation_id: Any = None
    key: Any = None
    spans: Any = None
    ledger: Any = None
    stream_usage: Any = None
    metric_baggage: Any = None

    def __init__(self, **options: Any) -> None:
        known = {option.name for option in fields(self)}
        for name, value in options.items():
            if name in known:
                setattr(self, name, value)
            elif name != "enabled":
                _logger.warning(
                    "The configuration of xai does not know %r; it knows %s.", name, ", ".join(sorted(known))
                )


def is_enabled(environ: Mapping[str, str] | None = None) -> bool | None:
    """What the ``..._ENABLED`` variable says, ``None`` where it says nothing."""
    value = (os.environ if environ is None else environ).get(ENABLED)
    if not value:
        return None
    known = {"true": True, "1": True, "false": False, "0": False}.get(value.strip().lower())
    if known is None:
        not_allowed(ENABLED, value, "true, false, 1 or 0", "not set")
    return known


def _one_of(*choices: str) -> Callable[[Any, str, str], str | None]:
    def read(value: Any, source: str, allowed: str) -> str | None:
        known = value.strip().lower() if isinstance(value, str) else value
        if known in choices:
            return str(known)
        not_allowed(source, value, allowed)
        return None

    return read


def _list(value: Any, source: str, allowed: str, valid: Callable[[str], bool]) -> tuple[str, ...] | None:
    """Entries of a comma-separated string or of a sequence of strings; invalid ones are named and left out."""
    if isinstance(value, (bytes, bytearray)) or not isinstance(value, Iterable):
        not_allowed(source, value, allowed)
        return None
    entries = value.split(",") if isinstance(value, str) else list(value)
    kept = []
    for entry in entries:
        text = entry.strip() if isinstance(entry, str) else ""
        if text and valid(text):
            kept.append(text)
        elif text or not isinstance(entry, str):
            not_allowed(source, entry, allowed, "absent")
    return tuple(kept)


def _is_host(entry: str) -> bool:
    if not _HOST.fullmatch(entry):
        return False
    port = entry.rpartition("]")[2].rpartition(":")[2] if ":" in entry.rpartition("]")[2] else "1"
    return 0 < int(port) < 65536


def _hosts(value: Any, source: str, allowed: str) -> tuple[str, ...] | None:
    hosts = _list(value, source, allowed, _is_host)
    return tuple(host.lower() for host in hosts) if hosts is not None else None


def _baggage_keys(value: Any, source: str, allowed: str) -> tuple[str, ...] | None:
    return _list(
        value, source, allowed, lambda key: bool(_BAGGAGE_KEY.fullmatch(key)) and not key.startswith(_RESERVED)
    )


def _key(value: Any, source: str, allowed: str) -> bytes | None:
    if isinstance(value, bytes) and value:
        return value
    if isinstance(value, str) and value:
        return value.encode()
    _logger.warning(
        "%s: this value of type %s is not allowed (allowed: %s); taken as the default.",
        source,
        type(value).__name__,
        allowed,
    )  # never the value: it is a secret
    return None


_READERS: dict[str, tuple[Callable[[Any, str, str], Any], str]] = {
    "hosts": (_hosts, "host or host:port, separated by commas, or *"),
    "conversation_id": (_one_of("plain", "hashed", "off"), "plain, hashed or off"),
    "key": (_key, "text or bytes, not empty"),
    "spans": (_one_of("auto", "always", "never"), "auto, always or never"),
    "ledger": (_one_of("memory", "off"), "memory or off; redis://... comes with a later version"),
    "stream_usage": (_one_of("observe", "request"), "observe or request"),
    "metric_baggage": (
        _baggage_keys,
        "baggage keys separated by commas, none that starts with " + ", ".join(_RESERVED),
    ),
}

"""The client libraries that are installed and whether ours are patched here, and what else records the same calls.

A client library is imported to be looked at: that is the moment at which the ways of switching on patch it.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module, metadata
from importlib.util import find_spec

from opentelemetry.instrumentation.dependencies import get_dependency_conflicts

from ...clients import LIBRARIES, adapter_of
from ...clients.patching import is_wrapped
from ...package import _instruments_any
from .installation import version_of

REQUIREMENTS = {line.partition(" ")[0].replace("-", "_"): line for line in _instruments_any}
"""What each client library must be, as the package's metadata says, by its module."""

_NOT_OBSERVED = ("curl-cffi", "httplib2", "pycurl")
_SDKS = ("openai", "anthropic")
_OTHERS = (
    # name, distribution, calls during which its span is not current (the README's list, by tests/others)
    ("openai-v2", "opentelemetry-instrumentation-openai-v2", None),
    ("genai-openai", "opentelemetry-instrumentation-genai-openai", None),
    ("traceloop", "opentelemetry-instrumentation-openai", "calls of Responses"),
    ("openinference", "openinference-instrumentation-openai", None),
    ("openlit", "openlit", None),
    ("logfire", "logfire", "streams"),
    ("langfuse", "langfuse", "all calls"),
    ("ddtrace", "ddtrace", "all calls"),
)


@dataclass(frozen=True)
class Client:
    """A client library that we can observe."""

    name: str
    version: str | None
    state: str
    """``absent``, ``patched``, ``not_patched``, ``too_old``, ``unsupported``, or ``broken``: it cannot be imported."""
    requirement: str
    problem: str | None = None
    """With ``broken``, the type of the exception."""


@dataclass(frozen=True)
class Package:
    """Any other package that is installed."""

    name: str
    version: str


@dataclass(frozen=True)
class Libraries:
    """What an application may call xAI with."""

    clients: tuple[Client, ...]
    sdks: tuple[Package, ...]
    not_observed: tuple[Package, ...]
    """Calls over these are not seen."""


@dataclass(frozen=True)
class OtherInstrumentation:
    """Something else that records spans of calls to language models."""

    name: str
    distribution: str
    version: str
    active: bool | None
    """In this process; ``None`` where that cannot be told."""
    same_calls: bool
    """Whether its spans are of calls that we record."""
    two_spans: str | None = None
    """Of which of them there are two spans even with ``spans=auto``, its own and ours; ``None`` where of none."""


def libraries() -> Libraries:
    """Import the client libraries and look; of the others, look for their metadata."""
    return Libraries(tuple(_client(name) for name in LIBRARIES), _installed(_SDKS), _installed(_NOT_OBSERVED))


def other_instrumentations(environ: Mapping[str, str] = os.environ) -> tuple[OtherInstrumentation, ...]:
    """Those that are installed, what the client SDKs bring themselves included."""
    found = [
        OtherInstrumentation(name, distribution, version, _is_active(distribution), same_calls=True, two_spans=apart)
        for name, distribution, apart in _OTHERS
        if (version := version_of(distribution))
    ]
    anthropic = version_of("anthropic")
    if anthropic and anthropic.partition(".")[0].isdecimal() and int(anthropic.partition(".")[0]) >= 2:
        on = environ.get("ANTHROPIC_OPEN_TELEMETRY", "").lower() != "false"
        found.append(OtherInstrumentation("anthropic's own", "anthropic", anthropic, on, same_calls=True))
    xai_sdk = version_of("xai-sdk")
    if xai_sdk:
        on = environ.get("XAI_SDK_DISABLE_TRACING", "").lower() not in {"1", "true"}
        found.append(OtherInstrumentation("xai-sdk's own", "xai-sdk", xai_sdk, on, same_calls=True))
    return tuple(found)


def _client(name: str) -> Client:
    version, requirement = version_of(name), REQUIREMENTS[name]
    if name not in sys.modules and find_spec(name) is None:
        return Client(name, None, "absent", requirement)
    try:
        module = import_module(name)
    except Exception as error:
        return Client(name, version, "broken", requirement, type(error).__name__)
    methods = adapter_of(name).methods(module)
    if not methods:
        return Client(name, version, "unsupported", requirement)
    if version and get_dependency_conflicts([requirement]):
        return Client(name, version, "too_old", requirement)
    patched = all(is_wrapped(vars(owner).get(method)) for owner, method in methods)
    return Client(name, version, "patched" if patched else "not_patched", requirement)


def _installed(names: tuple[str, ...]) -> tuple[Package, ...]:
    return tuple(Package(name, version) for name in names if (version := version_of(name)))


def _is_active(distribution: str) -> bool | None:
    """Whether its instrumentor is on; where it has none, only that it is not loaded can be told."""
    entries = metadata.distribution(distribution).entry_points
    names = [entry.module for entry in entries if entry.group == "opentelemetry_instrumentor"] or [distribution]
    module = sys.modules.get(names[0])
    if module is None:
        return False
    instances = [getattr(each, "_instance", None) for each in vars(module).values() if isinstance(each, type)]
    states = [getattr(each, "is_instrumented_by_opentelemetry", None) for each in instances if each is not None]
    return any(states) if states else None

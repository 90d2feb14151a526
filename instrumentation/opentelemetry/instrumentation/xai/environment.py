"""What OpenTelemetry's standard environment variables ask for, as far as it concerns us.

Knows their names, what is allowed, and what is meant where nothing is said; knows no SDK. A value that is not allowed
gives one warning that names variable, value and what is allowed, and the default takes its place.
"""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from .notices import not_allowed_once

SIGNALS = ("traces", "metrics")
OTLP = "otlp"
_OTLP = "OTEL_EXPORTER_OTLP_"
PROTOCOLS = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}
NUMBERS = {
    "OTEL_BSP_MAX_QUEUE_SIZE": 2048,
    "OTEL_BSP_SCHEDULE_DELAY": 5000,
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": 512,
    "OTEL_BSP_EXPORT_TIMEOUT": 30_000,
    "OTEL_METRIC_EXPORT_INTERVAL": 60_000,
    "OTEL_METRIC_EXPORT_TIMEOUT": 30_000,
}
"""The variables that are numbers, with what they are by default."""
_DEFAULT_ENDPOINTS = {"otlp_proto_http": "http://localhost:4318", "otlp_proto_grpc": "http://localhost:4317"}
_LIMITS = tuple(
    f"OTEL_{what}_LIMIT"
    for what in (
        *("ATTRIBUTE_COUNT", "ATTRIBUTE_VALUE_LENGTH", "SPAN_ATTRIBUTE_COUNT", "SPAN_ATTRIBUTE_VALUE_LENGTH"),
        *("SPAN_EVENT_COUNT", "SPAN_LINK_COUNT", "EVENT_ATTRIBUTE_COUNT", "LINK_ATTRIBUTE_COUNT"),
    )
)
_SAMPLERS = ("always_on", "always_off", "traceidratio")

Report = Callable[[str, str, str], None]
"""Takes a variable, the value that is not allowed, and what is allowed."""


class Exporter(NamedTuple):
    """One exporter that a signal is to be sent with."""

    signal: str
    name: str
    """Its entry point in OpenTelemetry's groups of exporters."""
    endpoint: str | None
    """For OTLP, where it sends to; a credential in it is not for showing."""
    corrected: bool
    """Whether the variable for the endpoint is wrong, so that the exporter must be told."""
    source: str
    """The variable that asks for it."""


def is_disabled(environ: Mapping[str, str]) -> str | None:
    """The variable that keeps automatic ways of switching on from doing so, if one does."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return "OTEL_SDK_DISABLED"
    disabled = [name.strip() for name in environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").split(",")]
    return "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS" if "xai" in disabled or "*" in disabled else None


def asks_for_exporter(environ: Mapping[str, str] | None = None) -> bool:
    """Whether the variables ask for an exporter of any signal. Cheap: nothing is looked up but the variables."""
    environ = os.environ if environ is None else environ
    return any(_asked(signal, environ)[0] for signal in SIGNALS)


def exporters(
    signal: str,
    environ: Mapping[str, str] | None = None,
    report: Report = not_allowed_once,
    *,
    default: str | None = None,
) -> list[Exporter]:
    """The exporters that the variables ask for, for one signal; with ``default``, that one where they say nothing."""
    environ = os.environ if environ is None else environ
    names, source = _asked(signal, environ)
    if not names and not environ.get(source) and default:
        names = [default]
    available = exporter_names(signal)
    found: list[Exporter] = []
    for name in names:
        known = name
        if name == OTLP:
            known = _otlp(signal, available, environ, report)
        elif name not in available:
            report(source, name, ", ".join(sorted({OTLP, "none", *available})))
            known = _otlp(signal, available, environ, report)
        if all(exporter.name != known for exporter in found):
            endpoint, corrected = _endpoint(signal, known, environ, report)
            found.append(Exporter(signal, known, endpoint, corrected, source))
    return found


def exporter_names(signal: str) -> Collection[str]:
    """The exporters that are installed for a signal."""
    return entry_point_names(f"opentelemetry_{signal}_exporter")


def number(name: str, environ: Mapping[str, str], report: Report = not_allowed_once, default: float = 0) -> float:
    """A variable that is a number of something, more than none."""
    value, default = environ.get(name, "").strip(), NUMBERS.get(name, default)
    if not value:
        return default
    try:
        found = float(value)
    except ValueError:
        found = -1.0
    if 0 < found < float("inf"):
        return found
    report(name, value, "a number above 0")
    return default


def batch_sizes(environ: Mapping[str, str], report: Report = not_allowed_once) -> tuple[int, int]:
    """How many spans may wait, and how many of them may go at once, which cannot be more."""
    queue = int(number("OTEL_BSP_MAX_QUEUE_SIZE", environ, report)) or 1
    batch = int(number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", environ, report)) or 1
    if batch > queue and environ.get("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "").strip():
        report("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", str(batch), f"at most OTEL_BSP_MAX_QUEUE_SIZE, which is {queue}")
    return queue, min(batch, queue)


def wrong_limits(environ: Mapping[str, str], report: Report = not_allowed_once) -> list[str]:
    """The variables for limits of spans that are no numbers. The SDK cannot even be imported with one of them."""
    wrong = [name for name in _LIMITS if (value := environ.get(name, "").strip()) and not value.isdigit()]
    for name in wrong:
        report(name, environ[name], "a whole number, 0 or more")
    return wrong


def malformed_headers(signal: str, environ: Mapping[str, str], report: Report = not_allowed_once) -> list[str]:
    """The variables for headers of which a part has no name. The exporter would print it, and it may be a secret."""
    names = (f"{_OTLP}HEADERS", f"{_OTLP}{signal.upper()}_HEADERS")
    wrong = [
        name for name in names if any(each.strip() and "=" not in each for each in environ.get(name, "").split(","))
    ]
    for name in wrong:
        report(name, "***", "NAME=VALUE, separated by commas")
    return wrong


def headers_of(name: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The headers of a variable that have a name."""
    pairs = (entry.partition("=") for entry in environ.get(name, "").split(",") if "=" in entry)
    return {key.strip().lower(): unquote(value.strip()) for key, _, value in pairs if key.strip()}


@contextmanager
def hidden(names: Iterable[str]) -> Iterator[None]:
    """Hide variables from what is imported or made meanwhile, and would raise at their sight, or show them."""
    values = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(values)


def one_of(name: str, known: Collection[str], environ: Mapping[str, str], report: Report = not_allowed_once) -> bool:
    """Whether a variable is not set, or has one of the values that are known."""
    value = environ.get(name, "").strip()
    if not value or value.lower() in known or value in known:
        return True
    report(name, value, ", ".join(sorted(known)))
    return False


def entry_point_names(group: str) -> Collection[str]:
    """The names of what is installed for a group of OpenTelemetry's."""
    return {entry.name for entry in entry_points(group=group)}


def otlp_timeout(signal: str, environ: Mapping[str, str], report: Report = not_allowed_once) -> float:
    """Seconds that OTLP may take for one export."""
    for name in (f"{_OTLP}{signal.upper()}_TIMEOUT", f"{_OTLP}TIMEOUT"):
        if environ.get(name, "").strip():
            return number(name, environ, report, default=10)
    return 10


def sampler_is_known(environ: Mapping[str, str], report: Report = not_allowed_once) -> bool:
    """Whether the sampler that is asked for, if any, exists, and its argument is one."""
    known = {*_SAMPLERS, *(f"parentbased_{sampler}" for sampler in _SAMPLERS)}
    if not one_of("OTEL_TRACES_SAMPLER", known | {*entry_point_names("opentelemetry_traces_sampler")}, environ, report):
        return False
    argument = environ.get("OTEL_TRACES_SAMPLER_ARG", "").strip()
    if not argument or not environ.get("OTEL_TRACES_SAMPLER", "").strip().lower().endswith("traceidratio"):
        return True
    try:
        right = 0 <= float(argument) <= 1
    except ValueError:
        right = False
    if not right:
        report("OTEL_TRACES_SAMPLER_ARG", argument, "a number from 0 to 1")
    return right


def _asked(signal: str, environ: Mapping[str, str]) -> tuple[list[str], str]:
    """The names of exporters that are asked for, as they are written, and the variable that asks."""
    source = f"OTEL_{signal.upper()}_EXPORTER"
    value = environ.get(source, "").strip()
    if value:
        names = [name.strip() for name in value.split(",")]
        return [name for name in names if name and name.lower() != "none"], source
    for name in (f"{_OTLP}{signal.upper()}_ENDPOINT", f"{_OTLP}ENDPOINT"):
        if environ.get(name, "").strip():
            return [OTLP], name
    return [], source


def _otlp(signal: str, available: Collection[str], environ: Mapping[str, str], report: Report) -> str:
    """Which OTLP exporter is meant: by protocol, or else the one that is installed, gRPC first as the distro has it."""
    for name in (f"{_OTLP}{signal.upper()}_PROTOCOL", f"{_OTLP}PROTOCOL"):
        value = environ.get(name, "").strip()
        if value in PROTOCOLS:
            return PROTOCOLS[value]
        if value:
            report(name, value, ", ".join(PROTOCOLS))
            break
    return next((name for name in ("otlp_proto_grpc", "otlp_proto_http") if name in available), "otlp_proto_http")


def _endpoint(signal: str, exporter: str, environ: Mapping[str, str], report: Report) -> tuple[str | None, bool]:
    """Where an OTLP exporter sends to, and whether that is not what the variables say."""
    if exporter not in _DEFAULT_ENDPOINTS:
        return None, False
    path = f"/v1/{signal}" if exporter == "otlp_proto_http" else ""
    for name, suffix in ((f"{_OTLP}{signal.upper()}_ENDPOINT", ""), (f"{_OTLP}ENDPOINT", path)):
        value = environ.get(name, "").strip()
        if not value:
            continue
        if _is_url(value) or (exporter == "otlp_proto_grpc" and "://" not in value):
            return value.rstrip("/") + suffix if suffix else value, False
        report(name, value, "http://HOST:PORT or https://HOST:PORT")
        return _DEFAULT_ENDPOINTS[exporter] + path, True
    return _DEFAULT_ENDPOINTS[exporter] + path, False


def _is_url(value: str) -> bool:
    try:
        parts = urlsplit(value)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False

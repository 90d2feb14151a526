"""Where spans and metrics would go: to the SDK that this process has set up, else to what the variables ask for."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from opentelemetry.metrics import get_meter_provider
from opentelemetry.trace import get_tracer_provider

from ...environment import (
    NUMBERS,
    PROTOCOLS,
    SIGNALS,
    Exporter,
    batch_sizes,
    exporter_names,
    exporters,
    number,
    otlp_timeout,
    sampler_is_known,
    wrong_limits,
)
from ...notices import shown
from ...telemetry.instruments import is_placeholder
from .endpoint import Answer, ask, shown_endpoint

_PROTOCOLS = {exporter: protocol for protocol, exporter in PROTOCOLS.items()}
_SILENT_SAMPLERS = ("always_off", "parentbased_always_off")
_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@dataclass(frozen=True)
class Export:
    """One exporter of a signal that the variables ask for."""

    exporter: str
    protocol: str | None
    endpoint: str | None
    """Without credentials; ``None`` for exporters that send nowhere, as to the console."""
    endpoint_source: str
    """The variable for its endpoint."""
    asked_by: str
    installed: bool
    installed_instead: str | None
    """With one that is not installed, the protocol of OTLP for which there is an exporter."""
    reachable: bool | None
    """``None`` where there is nothing to reach, or it was not tried."""
    status: int | None
    answer: str | None


@dataclass(frozen=True)
class Signal:
    """Traces or metrics."""

    name: str
    state: str
    """``exporters`` (the variables ask for some), ``none`` (they ask for none), ``nothing`` (they ask for nothing, and
    there is no SDK), ``sdk`` (where it goes is the application's business), or ``sdk_without_exporter``."""
    provider: str | None
    """The class of the process's provider, ``None`` while it has none."""
    exports: tuple[Export, ...]


@dataclass(frozen=True)
class Telemetry:
    """Both signals."""

    signals: tuple[Signal, ...]
    headers_set: bool
    """Whether headers are given for OTLP, of which nothing more is said."""
    samples_nothing: bool
    """Whether the variables ask for a sampler that lets no span through."""
    problems: tuple[str, ...]
    """Values of the standard variables that are not allowed."""


def telemetry(environ: Mapping[str, str], *, by_variables: bool) -> Telemetry:
    """Find out, and ask the endpoints. ``by_variables`` says whether an SDK of this process was made from them."""
    problems: dict[str, None] = {}

    def report(source: str, value: str, allowed: str) -> None:
        quoted = repr(_shown_value(source, value))
        problems[f"{source}: {quoted} is not allowed (allowed: {allowed}); taken as the default."] = None

    found = [_signal(name, environ, report, by_variables) for name in SIGNALS]
    requests: list[tuple[str, str, str]] = []
    for _, asked in found:
        requests += [(each.signal, _PROTOCOLS[each.name], each.endpoint) for each in asked if each.endpoint]
    answers = dict(zip(requests, ask(requests, environ), strict=True))
    signals = []
    for signal, asked in found:
        installed = exporter_names(signal.name)
        exports = (_export(each, installed, answers, environ) for each in asked)
        signals.append(replace(signal, exports=tuple(exports)))
        if asked:
            otlp_timeout(signal.name, environ, report)
    if any(asked for _, asked in found):
        sampler_is_known(environ, report)
        batch_sizes(environ, report)
        wrong_limits(environ, report)
        for name in NUMBERS:
            number(name, environ, report)
    headers = ("OTEL_EXPORTER_OTLP_HEADERS", *(f"OTEL_EXPORTER_OTLP_{name.upper()}_HEADERS" for name in SIGNALS))
    return Telemetry(
        tuple(signals),
        headers_set=any(environ.get(name) for name in headers),
        samples_nothing=environ.get("OTEL_TRACES_SAMPLER", "").strip().lower() in _SILENT_SAMPLERS,
        problems=tuple(problems),
    )


def _signal(name: str, environ: Mapping[str, str], report: Any, by_variables: bool) -> tuple[Signal, list[Exporter]]:
    provider: Any = get_tracer_provider() if name == "traces" else get_meter_provider()
    set_up = not is_placeholder(provider)
    variable = environ.get(f"OTEL_{name.upper()}_EXPORTER", "").strip()
    asked: list[Exporter] = []
    if set_up and not (by_variables and variable):
        state = "sdk_without_exporter" if _has_no_exporter(provider) else "sdk"
    else:
        asked = exporters(name, environ, report)
        state = "exporters" if asked else "none" if variable else "nothing"
    return Signal(name, state, type(provider).__name__ if set_up else None, ()), asked


def _has_no_exporter(provider: Any) -> bool:
    """Whether a provider is known to drop all it gets. An SDK that keeps its exporters elsewhere is believed."""
    if type(provider).__name__.startswith("NoOp"):
        return True
    processors = getattr(getattr(provider, "_active_span_processor", None), "_span_processors", None)
    readers = getattr(provider, "_metric_readers", None)
    earlier = getattr(getattr(provider, "_sdk_config", None), "metric_readers", None)  # in older SDKs
    return any(each is not None and len(each) == 0 for each in (processors, readers, earlier))


def _export(
    exporter: Exporter,
    installed: Collection[str],
    answers: Mapping[tuple[str, str, str], Answer],
    environ: Mapping[str, str],
) -> Export:
    protocol, own_endpoint = _PROTOCOLS.get(exporter.name), f"OTEL_EXPORTER_OTLP_{exporter.signal.upper()}_ENDPOINT"
    answer = answers.get((exporter.signal, protocol or "", exporter.endpoint or ""))
    return Export(
        exporter=exporter.name,
        protocol=protocol,
        endpoint=None if exporter.endpoint is None else shown_endpoint(exporter.endpoint),
        endpoint_source=own_endpoint if environ.get(own_endpoint, "").strip() else _ENDPOINT,
        asked_by=exporter.source,
        installed=exporter.name in installed,
        installed_instead=next((_PROTOCOLS[name] for name in _PROTOCOLS if name in installed), None)
        if exporter.name not in installed
        else None,
        reachable=answer.reachable if answer else None,
        status=answer.status if answer else None,
        answer=answer.said if answer else None,
    )


def _shown_value(source: str, value: str) -> str:
    """A value that is not allowed, as it may be shown. A wrong URL may have its credentials anywhere."""
    if not source.endswith("_ENDPOINT"):
        return str(shown(value))
    if "@" in value:
        return "***" if "?" in value or "#" in value else "***@" + value.rpartition("@")[2]
    return value.partition("?")[0].partition("#")[0]

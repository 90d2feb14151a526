"""Providers of OpenTelemetry's SDK, made from the standard environment variables by the parts of its configurator.

The one file that imports the SDK: whoever needs a provider imports it then, and not before.
"""

import functools
import os
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from opentelemetry.sdk import _configuration as parts
from opentelemetry.sdk.metrics import MeterProvider, TraceBasedExemplarFilter
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import DEFAULT_ON

from .environment import (
    Exporter,
    batch_sizes,
    entry_point_names,
    exporter_names,
    exporters,
    headers_of,
    hidden,
    malformed_headers,
    number,
    one_of,
    otlp_timeout,
    sampler_is_known,
)


@functools.cache
def resource() -> Resource:
    """What this program is, by the standard variables.

    To be asked for while the program's main part runs: OpenTelemetry looks for it in threads, and once that is over
    none can be started.
    """
    return Resource.create()


def tracer_provider(environ: Mapping[str, str]) -> TracerProvider | None:
    """A tracer provider with the exporters that are asked for, or ``None`` where none is.

    Raises ``LookupError`` with a sentence for the user where an exporter is not installed.
    """
    asked = _asked("traces", environ)
    if not asked:
        return None
    classes, _, _ = parts._import_exporters([each.name for each in asked], [], [])
    known = one_of("OTEL_PYTHON_ID_GENERATOR", entry_point_names("opentelemetry_id_generator"), environ)
    provider = TracerProvider(
        sampler=parts._import_sampler(parts._get_sampler()) if sampler_is_known(environ) else DEFAULT_ON,
        id_generator=parts._import_id_generator(parts._get_id_generator()) if known else RandomIdGenerator(),
        resource=resource(),
        shutdown_on_exit=False,
    )
    queue, batch = batch_sizes(environ)
    for each in asked:
        provider.add_span_processor(
            BatchSpanProcessor(
                _exporter(classes[each.name], each, environ),
                max_queue_size=queue,
                schedule_delay_millis=number("OTEL_BSP_SCHEDULE_DELAY", environ),
                max_export_batch_size=batch,
                export_timeout_millis=number("OTEL_BSP_EXPORT_TIMEOUT", environ),
            )
        )
    return provider


def meter_provider(environ: Mapping[str, str]) -> MeterProvider | None:
    """A meter provider likewise."""
    asked = _asked("metrics", environ)
    if not asked:
        return None
    _, classes, _ = parts._import_exporters([], [each.name for each in asked], [])
    known = one_of("OTEL_METRICS_EXEMPLAR_FILTER", ("always_on", "always_off", "trace_based"), environ)
    return MeterProvider(
        [_reader(classes[each.name], each, environ) for each in asked],
        resource=resource(),
        exemplar_filter=None if known else TraceBasedExemplarFilter(),
        shutdown_on_exit=False,
    )


def _asked(signal: str, environ: Mapping[str, str]) -> list[Exporter]:
    asked, installed = exporters(signal, environ), exporter_names(signal)
    for each in asked:
        if each.name not in installed:
            package = f"opentelemetry-exporter-{each.name.replace('_', '-')}"
            raise LookupError(f"{each.source} asks for {each.name}, which is not installed. pip install {package}")
    return asked


def _reader(kind: Any, exporter: Exporter, environ: Mapping[str, str]) -> MetricReader:
    """A reader for an exporter; some exporters, which are scraped, are readers themselves."""
    if issubclass(kind, MetricReader):
        reader: MetricReader = kind()
        return reader
    return PeriodicExportingMetricReader(
        _exporter(kind, exporter, environ),
        export_interval_millis=number("OTEL_METRIC_EXPORT_INTERVAL", environ),
        export_timeout_millis=number("OTEL_METRIC_EXPORT_TIMEOUT", environ),
    )


def _exporter(kind: Any, exporter: Exporter, environ: Mapping[str, str]) -> Any:
    """Make an exporter, of which no malformed header gets to know."""
    arguments, malformed = _arguments(exporter, environ), malformed_headers(exporter.signal, environ)
    if malformed and exporter.name == "otlp_proto_http":
        general, own = "OTEL_EXPORTER_OTLP_HEADERS", f"OTEL_EXPORTER_OTLP_{exporter.signal.upper()}_HEADERS"
        arguments["headers"] = headers_of(own, environ) or headers_of(general, environ)
        malformed = [general, own]
    with hidden(malformed):
        return _silent_in_children(kind(**arguments))


def _arguments(exporter: Exporter, environ: Mapping[str, str]) -> dict[str, Any]:
    """What an exporter must be told, since it would read it wrong from the variables."""
    if exporter.endpoint is None:
        return {}
    arguments: dict[str, Any] = {"timeout": otlp_timeout(exporter.signal, environ)}
    if exporter.corrected:
        arguments["endpoint"] = exporter.endpoint
    if exporter.name == "otlp_proto_http":
        for name in (f"OTEL_EXPORTER_OTLP_{exporter.signal.upper()}_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"):
            if not one_of(name, ("gzip", "deflate", "none"), environ):
                module = import_module("opentelemetry.exporter.otlp.proto.http")
                arguments.update(compression=module.Compression.NoCompression)
    return arguments


def _silent_in_children(exporter: Any) -> Any:
    """Make an exporter export in this process only: a forked child inherits what it has not recorded itself."""
    process, export = os.getpid(), exporter.export

    def only_here(data: Any, *args: Any, **kwargs: Any) -> Any:
        return export(data, *args, **kwargs) if os.getpid() == process else None

    exporter.export = only_here
    return exporter

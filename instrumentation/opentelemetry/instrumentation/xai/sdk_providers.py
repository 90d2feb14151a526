"""Providers of OpenTelemetry's SDK, made from the standard environment variables by the parts of its configurator.

The one file that imports the SDK: whoever needs a provider imports it then, and not before.
"""

import os
from collections.abc import Mapping
from typing import Any

from opentelemetry.sdk import _configuration as parts
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import DEFAULT_ON

from .environment import NUMBERS, Exporter, exporters, number, otlp_timeout, sampler_is_known


def tracer_provider(environ: Mapping[str, str]) -> TracerProvider | None:
    """A tracer provider with the exporters that are asked for, or ``None`` where none is."""
    asked = exporters("traces", environ)
    if not asked:
        return None
    classes, _, _ = parts._import_exporters([each.name for each in asked], [], [])
    provider = TracerProvider(
        sampler=parts._import_sampler(parts._get_sampler()) if sampler_is_known(environ) else DEFAULT_ON,
        id_generator=parts._import_id_generator(parts._get_id_generator()),
        shutdown_on_exit=False,
    )
    for each in asked:
        provider.add_span_processor(
            BatchSpanProcessor(
                _silent_in_children(classes[each.name](**_arguments(each, environ))),
                max_queue_size=int(number("OTEL_BSP_MAX_QUEUE_SIZE", environ)),
                schedule_delay_millis=number("OTEL_BSP_SCHEDULE_DELAY", environ),
                max_export_batch_size=int(number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", environ)),
                export_timeout_millis=number("OTEL_BSP_EXPORT_TIMEOUT", environ),
            )
        )
    return provider


def meter_provider(environ: Mapping[str, str]) -> MeterProvider | None:
    """A meter provider likewise."""
    asked = exporters("metrics", environ)
    if not asked:
        return None
    _, classes, _ = parts._import_exporters([], [each.name for each in asked], [])
    return MeterProvider([_reader(classes[each.name], each, environ) for each in asked], shutdown_on_exit=False)


def _reader(kind: Any, exporter: Exporter, environ: Mapping[str, str]) -> MetricReader:
    """A reader for an exporter; some exporters, which are scraped, are readers themselves."""
    if issubclass(kind, MetricReader):
        reader: MetricReader = kind()
        return reader
    return PeriodicExportingMetricReader(
        _silent_in_children(kind(**_arguments(exporter, environ))),
        export_interval_millis=number("OTEL_METRIC_EXPORT_INTERVAL", environ) or NUMBERS["OTEL_METRIC_EXPORT_INTERVAL"],
        export_timeout_millis=number("OTEL_METRIC_EXPORT_TIMEOUT", environ),
    )


def _arguments(exporter: Exporter, environ: Mapping[str, str]) -> dict[str, Any]:
    """What an exporter must be told, since it would read it wrong from the variables."""
    if exporter.endpoint is None:
        return {}
    arguments: dict[str, Any] = {"timeout": otlp_timeout(exporter.signal, environ)}
    if exporter.corrected:
        arguments["endpoint"] = exporter.endpoint
    return arguments


def _silent_in_children(exporter: Any) -> Any:
    """Make an exporter export in this process only: a forked child inherits what it has not recorded itself."""
    process, export = os.getpid(), exporter.export

    def only_here(data: Any, *args: Any, **kwargs: Any) -> Any:
        return export(data, *args, **kwargs) if os.getpid() == process else None

    exporter.export = only_here
    return exporter

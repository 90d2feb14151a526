"""Switching on and off, by keyword and by environment."""

import os
import subprocess
import sys
from typing import Any

import pytest

from opentelemetry.instrumentation.xai import XAIInstrumentor, guard

httpx = pytest.importorskip("httpx")

URL = "https://api.x.ai/v1/chat/completions"


def call() -> None:
    """Make one call that is answered from memory."""
    transport = httpx.MockTransport(lambda _request: httpx.Response(200, json={"usage": {"prompt_tokens": 3}}))
    with httpx.Client(transport=transport) as client:
        client.post(URL, json={"model": "grok-4.7"})


@pytest.mark.parametrize("value", ["false", "0", "FALSE"])
def test_the_variable_beats_the_code(value: str, monkeypatch: pytest.MonkeyPatch, instrument: Any) -> None:
    """``OTEL_INSTRUMENTATION_XAI_ENABLED=false`` switches off, whatever the code says."""
    monkeypatch.setenv("OTEL_INSTRUMENTATION_XAI_ENABLED", value)
    original = httpx.Client.send
    telemetry = instrument()
    assert httpx.Client.send is original
    call()
    assert telemetry.spans == []


def test_an_unknown_value_gives_a_warning_and_stays_on(
    monkeypatch: pytest.MonkeyPatch, instrument: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A value that is not allowed is named, with what is, and counts as unset: on."""
    monkeypatch.setenv("OTEL_INSTRUMENTATION_XAI_ENABLED", "perhaps")
    telemetry = instrument()
    call()
    assert len(telemetry.spans) == 1
    (record,) = caplog.records
    assert all(
        part in record.getMessage() for part in ("OTEL_INSTRUMENTATION_XAI_ENABLED", "'perhaps'", "true, false, 1 or 0")
    )


def test_a_provider_that_is_none_at_all_does_not_reach_the_application(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """``instrument()`` never raises: one line in the log, and the application runs without telemetry."""
    monkeypatch.setattr(guard, "raise_faults", False)
    XAIInstrumentor().instrument(meter_provider=object())
    try:
        call()
    finally:
        XAIInstrumentor().uninstrument()
    assert len([record for record in caplog.records if "Telemetry for xAI failed" in record.getMessage()]) == 1


@pytest.mark.parametrize("variables", [{}, {"OTEL_SDK_DISABLED": "true"}])
def test_without_an_sdk_the_application_runs_in_silence(variables: dict[str, str]) -> None:
    """No SDK, or one that is disabled: no output, no error, and a request without a trace context."""
    program = f"""
import httpx
from opentelemetry.instrumentation.xai import XAIInstrumentor
XAIInstrumentor().instrument()
transport = httpx.MockTransport(lambda request: httpx.Response(200, json={{"seen": "traceparent" in request.headers}}))
print(httpx.Client(transport=transport).post({URL!r}, json={{}}).json())
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")} | variables
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60, env=environment
    )
    assert (done.stdout, done.stderr, done.returncode) == ("{'seen': False}\n", "", 0)


def test_providers_that_are_set_after_instrumenting_are_used_from_then_on() -> None:
    """``instrument()`` may come first: spans and metrics go to the global providers once those are set."""
    program = f"""
import httpx
from opentelemetry import metrics, trace
from opentelemetry.instrumentation.xai import XAIInstrumentor
XAIInstrumentor().instrument()
transport = httpx.MockTransport(lambda request: httpx.Response(200, json={{"usage": {{"prompt_tokens": 3}}}}))
client = httpx.Client(transport=transport)
client.post({URL!r}, json={{"model": "m"}})
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
exporter, reader, provider = InMemorySpanExporter(), InMemoryMetricReader(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
metrics.set_meter_provider(MeterProvider([reader]))
client.post({URL!r}, json={{"model": "m"}})
XAIInstrumentor().uninstrument()
XAIInstrumentor().instrument()
client.post({URL!r}, json={{"model": "m"}})
assert len(exporter.get_finished_spans()) == 2
found = {{
    metric.name: metric.data.data_points
    for scope in reader.get_metrics_data().resource_metrics[0].scope_metrics
    for metric in scope.metrics
}}
(point,) = found["gen_ai.client.inference.usage.input_tokens"]
print(point.value, found["gen_ai.client.operation.duration"][0].count)
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60, env=environment
    )
    # Our own table also has the first call; the SDK's histogram begins with its provider.
    assert (done.stdout, done.stderr, done.returncode) == ("9 2\n", "", 0)

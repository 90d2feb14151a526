"""What all tests share: loud faults, a real server, and telemetry that can be looked at."""

import gc
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from opentelemetry.instrumentation.xai import XAIInstrumentor, guard, notices
from opentelemetry.instrumentation.xai import observed as observed_module
from opentelemetry.instrumentation.xai.telemetry import bounded

pytest_plugins = ["sdks.results"]

THOROUGH = os.environ.get("THOROUGH") == "1"
"""Whether to do what adds little and takes long: CI does, ``make test`` by itself is to be over in five minutes."""


def examples(thorough: int) -> int:
    """How many examples to make up: so many where there is time, else a quarter."""
    return thorough if THOROUGH else thorough // 4


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, where there is little time, what takes long, and four of five combinations: the same ones always."""
    if THOROUGH or any("[" in argument for argument in config.args):  # one that is asked for by its name is run
        return
    left_out = {
        item
        for item in items
        if item.get_closest_marker("thorough")
        or (item.get_closest_marker("combinations") and zlib.crc32(item.nodeid.encode()) % 5)
    }
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


TOGETHER = (
    "alerting/test_alerts.py",
    "alerting/test_annotations.py",
    "alerting/test_circumstances.py",
    "alerting/test_simulation.py",
    "dashboards/test_live.py",
    "dashboards/test_names.py",
    "dashboards/test_victoria_metrics.py",
    "examples/test_stack.py",
)
"""Files whose tests look at one costly run: where several processes share the suite, each of these stays with one."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are cores, since there is always one that waits: for a server, or an installation."""
    return min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, 4) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give a test to whichever process is idle, and what belongs together to one, first of all."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return file if file.endswith(TOGETHER) else nodeid

    return Scheduling(config, log)


def pytest_collection_finish() -> None:
    """Take what the suite itself is made of out of the collector's sight: many tests collect, each for its own few."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _loud_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise our own faults instead of logging them."""
    monkeypatch.setattr(guard, "raise_faults", True)
    monkeypatch.setattr(guard, "_logged", set())


@pytest.fixture(autouse=True)
def _own_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test bounds of its own, which a process has once."""
    monkeypatch.setattr(bounded, "_of_process", {})
    monkeypatch.setattr(notices, "_told", set())


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for what is recorded in another thread for as long as a busy machine may need."""
    monkeypatch.setattr(observed_module, "_PATIENCE_S", 2.0)
    monkeypatch.setattr(observed_module, "_PATIENCE_OF_A_LOOP_S", 2.0)


@dataclass
class Point:
    """One exported data point: ``value`` is the sum of a counter, ``count`` and ``total`` those of a histogram."""

    attributes: dict[str, Any]
    value: float | None = None
    count: int | None = None
    total: float | None = None


class Telemetry:
    """Providers of the SDK whose exports can be read back."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.reader = InMemoryMetricReader()
        self.tracer_provider = TracerProvider()
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.meter_provider = MeterProvider([self.reader])

    @property
    def spans(self) -> list[ReadableSpan]:
        """The spans of our own scope that have ended, in that order."""
        return [
            span
            for span in self.exporter.get_finished_spans()
            if span.instrumentation_scope is not None
            and span.instrumentation_scope.name == "opentelemetry.instrumentation.xai"
        ]

    @property
    def span(self) -> ReadableSpan:
        """The one span that has ended."""
        (span,) = self.spans
        return span

    def attributes(self) -> dict[str, Any]:
        """The attributes of the one span."""
        return dict(self.span.attributes or {})

    def metrics(self) -> dict[str, list[Point]]:
        """All data points by metric, as one collection gives them."""
        found: dict[str, list[Point]] = {}
        data = self.reader.get_metrics_data()
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.data.data_points:
                        found.setdefault(metric.name, []).append(
                            Point(
                                dict(point.attributes or {}),
                                getattr(point, "value", None),
                                getattr(point, "count", None),
                                getattr(point, "sum", None),
                            )
                        )
        return found

    def total(self, metric: str) -> float:
        """The sum of a counter over all its attributes."""
        return sum(point.value or 0 for point in self.metrics().get(metric, ()))

    def shutdown(self) -> None:
        """Close the providers."""
        self.tracer_provider.shutdown()
        self.meter_provider.shutdown()


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """Fresh providers."""
    providers = Telemetry()
    yield providers
    providers.shutdown()


@pytest.fixture
def instrument(telemetry: Telemetry) -> Iterator[Any]:
    """A function that switches the instrumentation on, with any settings; off again after the test."""

    def switch_on(**settings: Any) -> Telemetry:
        XAIInstrumentor().instrument(
            tracer_provider=telemetry.tracer_provider,
            meter_provider=telemetry.meter_provider,
            **{"hosts": "127.0.0.1", **settings},
        )
        return telemetry

    yield switch_on
    if XAIInstrumentor().is_instrumented_by_opentelemetry:
        XAIInstrumentor().uninstrument()


@pytest.fixture
def observed(instrument: Any) -> Telemetry:
    """Telemetry with the instrumentation on, for servers on this machine."""
    telemetry: Telemetry = instrument()
    return telemetry


@pytest.fixture(scope="session")
def server() -> Iterator[Any]:
    """The faithful xAI server, on a real socket."""
    xai_server = pytest.importorskip("xai_server", reason="the server needs starlette and uvicorn")
    with xai_server.running(xai_server.ServerSettings(block=16, minimum_tokens=0)) as running:
        yield running

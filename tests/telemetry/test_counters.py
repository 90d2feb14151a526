"""The table of counters: what the SDK exports of it is what real counters would have exported."""

import gc
import os
import subprocess
import sys
import threading
import weakref
from typing import Any

import pytest
from opentelemetry.sdk.metrics import Counter as SDKCounter
from opentelemetry.sdk.metrics import MeterProvider, ObservableCounter
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import View

from opentelemetry.instrumentation.xai import conventions as names
from opentelemetry.instrumentation.xai.telemetry.counters import _MOST_ROWS, Counters, Increment, series
from opentelemetry.instrumentation.xai.telemetry.instruments import instruments_of

COMMON = (("gen_ai.request.model", "grok-4.7"), ("server.address", "api.x.ai"))
OTHER = (("gen_ai.request.model", "grok-4.6"), ("server.address", "api.x.ai"))
DOLLAR = names.TICKS_PER_USD
UNKNOWN = ((names.TOKEN_MODALITY, "unknown"),)
DELTA = {SDKCounter: AggregationTemporality.DELTA, ObservableCounter: AggregationTemporality.DELTA}
CUMULATIVE = {SDKCounter: AggregationTemporality.CUMULATIVE, ObservableCounter: AggregationTemporality.CUMULATIVE}

_ROUNDS: list[list[tuple[tuple[tuple[str, str], ...], list[Increment]]]] = [
    [
        (
            COMMON,
            [
                (series(names.INPUT_TOKENS, UNKNOWN), 10),
                (series(names.OUTPUT_TOKENS, UNKNOWN), 3),
                (series(names.COST), DOLLAR // 4),
            ],
        ),
        (OTHER, [(series(names.INPUT_TOKENS, UNKNOWN), 1), (series(names.OUTPUT_TOKENS, UNKNOWN), 0)]),
        (COMMON, [(series(names.INPUT_TOKENS, ((names.TOKEN_MODALITY, "text"),)), 7)]),
    ],
    [(COMMON, [(series(names.INPUT_TOKENS, UNKNOWN), 5), (series(names.CACHE_READ_INPUT_TOKENS, UNKNOWN), 4)])],
    [],
    [
        (OTHER, [(series(names.INPUT_TOKENS, UNKNOWN), 100), (series(names.COST), DOLLAR * 3 // 2)]),
        (OTHER, [(series(names.COST), DOLLAR // 2)]),
    ],
]


def of_scope(data: Any, scope: str) -> dict[tuple[Any, ...], float]:
    """What a collection exports of one scope, by metric, unit and attributes; only deltas differ in points of 0."""
    return {
        (metric.name, metric.unit, tuple(sorted(point.attributes.items()))): point.value
        for resource in (data.resource_metrics if data else ())
        for scope_metrics in resource.scope_metrics
        if scope_metrics.scope.name == scope
        for metric in scope_metrics.metrics
        for point in metric.data.data_points
        if point.value
    }


def figures(reader: InMemoryMetricReader, scope: str = "ours") -> dict[tuple[Any, ...], float]:
    """What a new collection exports of one scope."""
    return of_scope(reader.get_metrics_data(), scope)


class Twins:
    """Our table and real counters side by side, under the same readers and views."""

    def __init__(self, readers: list[InMemoryMetricReader], views: tuple[View, ...] = ()) -> None:
        self.provider = MeterProvider(readers, views=views, shutdown_on_exit=False)
        self.table = Counters()
        self.table.register(self.provider.get_meter("ours"))
        meter = self.provider.get_meter("theirs")
        self.real = {
            counter.name: meter.create_counter(counter.name, counter.unit, counter.description)
            for counter in names.COUNTERS
        }

    def add(self, common: tuple[tuple[str, str], ...], increments: list[Increment]) -> None:
        """Add to both."""
        self.table.add(common, increments)
        for counted, amount in increments:
            counter = counted.counter
            self.real[counter.name].add(amount / counter.parts, dict(common + counted.further))


@pytest.mark.parametrize(
    "views",
    [
        pytest.param((), id="plain"),
        pytest.param((View(instrument_name="*", attribute_keys={"server.address"}),), id="attribute-filter"),
        pytest.param((View(instrument_name=names.INPUT_TOKENS.name, name="renamed"),), id="rename"),
        pytest.param((View(instrument_name="*", attribute_keys=set()),), id="no-attributes"),
    ],
)
@pytest.mark.parametrize(
    "temporalities",
    [
        pytest.param([CUMULATIVE], id="cumulative"),
        pytest.param([DELTA], id="delta"),
        pytest.param([CUMULATIVE, DELTA, CUMULATIVE], id="several"),
    ],
)
def test_the_figures_are_those_of_real_counters(views: tuple[View, ...], temporalities: list[Any]) -> None:
    """Under every reader and view each export is the one that ``Counter.add`` would have given."""
    readers = [InMemoryMetricReader(preferred_temporality=temporality) for temporality in temporalities]
    twins = Twins(readers, views)
    for calls in _ROUNDS:
        for common, increments in calls:
            twins.add(common, increments)
        for reader in readers:
            data = reader.get_metrics_data()
            assert of_scope(data, "ours") == of_scope(data, "theirs")
    twins.provider.shutdown()


def test_the_cardinality_limit_keeps_the_sum() -> None:
    """Beyond the SDK's cardinality limit the total is that of real counters, in every collection."""
    try:
        view = View(instrument_name="*", aggregation_cardinality_limit=5)
    except TypeError:
        pytest.skip("this SDK has no cardinality limit")
    reader = InMemoryMetricReader()
    twins = Twins([reader], (view,))
    for _ in range(3):
        for number in range(12):
            twins.add((("gen_ai.request.model", f"m{number}"),), [(series(names.INPUT_TOKENS, UNKNOWN), 1)])
        data = reader.get_metrics_data()
        ours, theirs = of_scope(data, "ours"), of_scope(data, "theirs")
        assert sum(ours.values()) == sum(theirs.values())
        assert ours == theirs
    twins.provider.shutdown()


def test_an_increment_of_nothing_makes_the_counter_exist() -> None:
    """A row with 0 is exported as 0, and a table without rows exports nothing."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    table = Counters()
    table.register(provider.get_meter("ours"))
    assert reader.get_metrics_data() is None
    table.add(COMMON, [(series(names.INPUT_TOKENS, UNKNOWN), 0)])
    data: Any = reader.get_metrics_data()
    (point,) = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
    assert (point.value, dict(point.attributes)) == (0, dict(COMMON + UNKNOWN))
    provider.shutdown()


def test_one_provider_has_one_set_of_instruments() -> None:
    """A second set would lose its callbacks, so the same provider is given the same one, however often it is asked for."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    first, second = instruments_of(provider), instruments_of(provider)
    assert first is second
    for instruments in (first, second):
        instruments.counters.add(COMMON, [(series(names.INPUT_TOKENS, UNKNOWN), 1)])
    assert list(figures(reader, "opentelemetry.instrumentation.xai").values()) == [2]
    provider.shutdown()


def test_a_provider_need_not_have_a_hash() -> None:
    """Providers are known by their identity: logfire's compare equal by value, and so have no hash."""

    class Unhashable(MeterProvider):
        __hash__ = None  # type: ignore[assignment]

    provider, other = Unhashable(), Unhashable()
    assert instruments_of(provider) is instruments_of(provider)
    assert instruments_of(provider) is not instruments_of(other)
    provider.shutdown()
    other.shutdown()


def test_another_provider_starts_from_zero() -> None:
    """Sums belong to a provider: another one has its own, from zero."""
    readers = [InMemoryMetricReader(), InMemoryMetricReader()]
    providers = [MeterProvider([reader]) for reader in readers]
    for amount, provider in enumerate(providers, start=1):
        instruments_of(provider).counters.add(COMMON, [(series(names.INPUT_TOKENS, UNKNOWN), amount)])
    for amount, reader in enumerate(readers, start=1):
        assert list(figures(reader, "opentelemetry.instrumentation.xai").values()) == [amount]
    for provider in providers:
        provider.shutdown()


_PLACEHOLDER = """
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.instrumentation.xai.telemetry.counters import series
from opentelemetry.instrumentation.xai.telemetry.instruments import instruments_of
from opentelemetry.instrumentation.xai import conventions as names

early = instruments_of()
assert instruments_of() is early
early.counters.add((), [(series(names.INPUT_TOKENS), 1)])
early.duration.record(1.0)
reader = InMemoryMetricReader()
provider = MeterProvider([reader])
metrics.set_meter_provider(provider)
late = instruments_of()
assert late is early, "the placeholder's instruments move to the real provider"
assert instruments_of(provider) is early
late.counters.add((), [(series(names.INPUT_TOKENS), 1)])
metrics_data = reader.get_metrics_data()
(scope,) = metrics_data.resource_metrics[0].scope_metrics
(metric,) = [metric for metric in scope.metrics if metric.name == names.INPUT_TOKENS.name]
(point,) = metric.data.data_points
assert point.value == 2, point.value
other = MeterProvider([InMemoryMetricReader()])
assert instruments_of(other) is not early
print("done")
"""


def test_instruments_move_from_the_placeholder_to_the_real_provider() -> None:
    """What was counted before the application set its provider is in that provider's exports, and nothing is twice."""
    result = subprocess.run(
        [sys.executable, "-c", _PLACEHOLDER], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == "done\n"
    assert not result.stderr


def test_rows_are_never_removed() -> None:
    """A series that was exported once is in every later export, unchanged if nothing was added."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    table = Counters()
    table.register(provider.get_meter("ours"))
    for number in range(500):
        table.add((("gen_ai.request.model", f"m{number}"),), [(series(names.INPUT_TOKENS), 1)])
        if number % 100 == 0:
            gc.collect()
            assert len(figures(reader)) == number + 1
    assert set(figures(reader).values()) == {1}
    assert len(figures(reader)) == 500
    provider.shutdown()


def test_one_collection_is_one_snapshot() -> None:
    """What is added between two callbacks of a collection is in the next one, for all counters alike."""
    table = Counters()
    pair: list[Increment] = [(series(counter), counter.parts) for counter in names.COUNTERS]
    table.add(COMMON, pair)
    for expected in (1, 1 + len(names.COUNTERS), 1 + 2 * len(names.COUNTERS)):
        seen = []
        for counter in names.COUNTERS:
            seen.append([value for _, value in table._read(counter.name)])
            table.add(COMMON, pair)
        assert seen == [[expected]] * len(names.COUNTERS)


def test_readers_do_not_tear_a_snapshot() -> None:
    """In every export of every reader, sums that are added to together agree, while other threads add."""
    readers = [InMemoryMetricReader() for _ in range(3)]
    provider = MeterProvider(readers)
    table = Counters()
    table.register(provider.get_meter("ours"))
    stop = threading.Event()

    def add() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            table.add(
                (("gen_ai.request.model", f"m{number % 50}"),),
                [
                    (series(names.INPUT_TOKENS), 2),
                    (series(names.CACHE_READ_INPUT_TOKENS), 2),
                    (series(names.OUTPUT_TOKENS), 2),
                ],
            )

    disagreements: list[Any] = []

    def collect(reader: InMemoryMetricReader) -> None:
        for _ in range(60):
            sums: dict[str, float] = {}
            for (name, *_), value in figures(reader).items():
                sums[name] = sums.get(name, 0) + value
            if len(set(sums.values())) > 1:
                disagreements.append(sums)

    adders = [threading.Thread(target=add) for _ in range(2)]
    collectors = [threading.Thread(target=collect, args=(reader,)) for reader in readers]
    for thread in (*adders, *collectors):
        thread.start()
    for thread in collectors:
        thread.join(60)
    stop.set()
    for thread in adders:
        thread.join(10)
    assert disagreements == []
    provider.shutdown()


def test_no_addition_is_lost_between_threads() -> None:
    """Threads that add at the same time lose nothing."""
    table = Counters()

    def add() -> None:
        for _ in range(2000):
            table.add(COMMON, [(series(names.INPUT_TOKENS), 1)])

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [value for _, value in table._read(names.INPUT_TOKENS.name)] == [16_000]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_is_not_held_up_by_its_parents_lock() -> None:
    """A child that is forked while another thread holds the lock adds and reads without waiting, from the parent's sums."""
    code = """
import os, signal, sys, threading
from opentelemetry.instrumentation.xai import conventions as names
from opentelemetry.instrumentation.xai.telemetry.counters import Counters, series

table = Counters()
table.add((), [(series(names.INPUT_TOKENS), 1)])
held, release = threading.Event(), threading.Event()

def hold():
    with table._lock:
        held.set()
        release.wait(30)

threading.Thread(target=hold, daemon=True).start()
held.wait(30)
child = os.fork()
if child == 0:
    signal.alarm(10)
    table.add((), [(series(names.INPUT_TOKENS), 1)])
    os._exit(7 if table._read(names.INPUT_TOKENS.name) == [({}, 2)] else 8)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
release.set()
print(status)
"""
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.stdout == "7\n", result.stderr


def test_rows_are_bounded() -> None:
    """Beyond the bound, further attributes share one row, as in the SDK; the sum stays whole."""
    table = Counters()
    for number in range(_MOST_ROWS + 50):
        table.add((("server.port", number),), ((series(names.INPUT_TOKENS), 1),))
    rows = table._read(names.INPUT_TOKENS.name)
    assert len(rows) == _MOST_ROWS + 1
    assert sum(value for _, value in rows) == _MOST_ROWS + 50
    assert ({"otel.metric.overflow": True}, 50) in rows


def test_a_provider_that_is_gone_takes_its_table_along() -> None:
    """Nothing keeps the tables of providers that the application has dropped."""
    provider = MeterProvider()
    table = weakref.ref(instruments_of(provider).counters)
    provider.shutdown()
    del provider
    gc.collect()
    assert table() is None

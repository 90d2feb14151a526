"""Counters of every call, kept in a table of our own and read by observable instruments.

A ``Counter.add`` costs about ten microseconds and a call would need five of them; a row of this table costs a
tenth of one. What that takes:

* Rows are never removed: the sums are cumulative for the life of the provider, and a row that vanished would look
  like a reset.
* All counters of one collection come from one snapshot, so that sums agree. The SDK calls the callbacks of a
  collection one after the other under its lock; a callback that has already served the snapshot starts the next.
* Readers iterate over the snapshot, never over the table.
* A forked child gets a new lock: the old one may be held by a thread that does not exist there.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from opentelemetry.metrics import CallbackOptions, Meter
from opentelemetry.metrics import Observation as Measurement

from ..conventions import COUNTERS, Counter
from ..forking import after_fork
from ..observation import AttributeValue

Attributes: TypeAlias = tuple[tuple[str, AttributeValue], ...]
_MOST_ROWS = 2000
_MOST_BEGINNINGS = 10
_PATIENCE_S = 5.0
_OVERFLOW: Attributes = (("otel.metric.overflow", True),)  # as the SDK calls what is beyond its own limit
_Snapshot: TypeAlias = Mapping[str, Sequence[tuple[dict[str, AttributeValue], float]]]


class Series:
    """A counter with further attributes. There is one object for each, so that the table need not hash attributes."""

    __slots__ = ("counter", "further")

    def __init__(self, counter: Counter, further: Attributes) -> None:
        self.counter = counter
        self.further = further


Increment: TypeAlias = tuple[Series, int]
_series: dict[tuple[str, Attributes], Series] = {}


def series(counter: Counter, further: Attributes = ()) -> Series:
    """The one object for a counter with these attributes, which are of enumerated values only: it is never removed."""
    return _series.setdefault((counter.name, further), Series(counter, further))


class Counters:
    """The table of one meter provider: sums by common attributes and series."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[Attributes, dict[Series, int]] = {}
        self._begun: set[Attributes] = set()
        self._snapshot: _Snapshot = {}
        self._served: set[str] = {counter.name for counter in COUNTERS}
        self.await_owed: Callable[[float], object] = _nothing
        """Waits so many seconds for amounts that are still to be added, as prices are while they are being loaded."""
        after_fork(self)

    def forked(self) -> None:
        """Take a new lock, in a forked child."""
        self._lock = threading.Lock()

    def add(self, common: Attributes, increments: Iterable[Increment]) -> bool:
        """Add to counters that share attributes, and say whether these are new; 0 makes a counter exist."""
        with self._lock:
            row = self._rows.get(common)
            new = row is None
            if row is None:
                row = self._rows.setdefault(common if len(self._rows) < _MOST_ROWS else _OVERFLOW, {})
            for counted, amount in increments:
                row[counted] = row.get(counted, 0) + amount
        return new

    def begin(self, common: Attributes, increments: Iterable[Increment]) -> None:
        """Make counters exist at 0 that have yet to count: Prometheus' ``rate`` would not see their first event.

        Not where attributes are many: of the label sets that an SDK allows an instrument, the ones without an event may
        take a part only.
        """
        if common in self._begun or len(self._begun) < _MOST_BEGINNINGS:
            self._begun.add(common)
            self.add(common, increments)

    def counts(self, common: Attributes, counted: Series) -> bool:
        """Whether a counter exists."""
        return counted in self._rows.get(common, ())

    def register(self, meter: Meter) -> None:
        """Report the table through observable counters of ``meter``.

        To be called once for each provider, for its life: a second instrument of the same name would drop its
        callback without a word.
        """
        for counter in COUNTERS:
            meter.create_observable_counter(
                counter.name,
                callbacks=[self._callback(counter.name)],
                unit=counter.unit,
                description=counter.description,
            )

    def _callback(self, name: str) -> Callable[[CallbackOptions], Iterable[Measurement]]:
        def observe(_options: CallbackOptions) -> Iterable[Measurement]:
            return [Measurement(value, attributes) for attributes, value in self._read(name)]

        return observe

    def _read(self, name: str) -> Sequence[tuple[dict[str, AttributeValue], float]]:
        if name in self._served:  # a collection begins: of a process that ends, the last one
            self.await_owed(_PATIENCE_S)
        with self._lock:
            if name in self._served:
                self._served.clear()
                self._snapshot = self._taken()
            self._served.add(name)
            return self._snapshot.get(name, ())

    def _taken(self) -> _Snapshot:
        snapshot: dict[str, list[tuple[dict[str, AttributeValue], float]]] = {}
        for common, row in self._rows.items():
            for counted, sum_of_parts in row.items():
                counter = counted.counter
                value = sum_of_parts if counter.parts == 1 else sum_of_parts / counter.parts
                snapshot.setdefault(counter.name, []).append((dict(common + counted.further), value))
        return snapshot


def _nothing(_seconds: float) -> None:
    pass

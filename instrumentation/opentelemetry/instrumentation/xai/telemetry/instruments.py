"""The instruments of one meter provider, created once from the conventions and kept for the provider's life."""

import threading
from typing import Any
from weakref import WeakKeyDictionary

from opentelemetry.metrics import Histogram, MeterProvider, get_meter_provider

from .. import conventions
from ..forking import after_fork
from ..version import __version__
from .counters import Counters

SCOPE = "opentelemetry.instrumentation.xai"


class Instruments:
    """Histograms, and the table of counters."""

    def __init__(self, meter_provider: MeterProvider) -> None:
        meter = meter_provider.get_meter(SCOPE, __version__)
        self.histograms: dict[str, Histogram] = {
            histogram.name: meter.create_histogram(
                histogram.name,
                unit=histogram.unit,
                description=histogram.description,
                explicit_bucket_boundaries_advisory=histogram.buckets,
            )
            for histogram in conventions.HISTOGRAMS
        }
        self.counters = Counters()
        self.counters.register(meter)


class _Known:
    """The instruments of each provider that was asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of_provider: WeakKeyDictionary[Any, Instruments] = WeakKeyDictionary()
        self._of_placeholder: Instruments | None = None
        after_fork(self)

    def forked(self) -> None:
        """Take a new lock, in a forked child."""
        self._lock = threading.Lock()

    def of(self, meter_provider: MeterProvider | None) -> Instruments:
        with self._lock:
            current = get_meter_provider()
            provider = current if meter_provider is None else meter_provider
            instruments = self._of_provider.get(provider)
            if instruments is None:
                if provider is current and self._of_placeholder is not None and not _is_placeholder(provider):
                    instruments, self._of_placeholder = self._of_placeholder, None
                else:
                    instruments = Instruments(provider)
                if _is_placeholder(provider):
                    self._of_placeholder = instruments
                self._of_provider[provider] = instruments
            return instruments


_known = _Known()


def instruments_of(meter_provider: MeterProvider | None = None) -> Instruments:
    """The instruments of a provider, or of the global one: the same ones every time.

    While the global provider is the API's placeholder, instruments made through it move to the real one when that is
    set. The real one must then not be given a second set, whose callbacks it would drop.
    """
    return _known.of(meter_provider)


def _is_placeholder(provider: MeterProvider) -> bool:
    return type(provider).__name__ == "_ProxyMeterProvider"

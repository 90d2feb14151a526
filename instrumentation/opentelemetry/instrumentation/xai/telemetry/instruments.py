"""The instruments of one meter provider, created once from the conventions and kept for the provider's life."""

import copy
import threading
from weakref import ref

from opentelemetry.metrics import Histogram, MeterProvider, NoOpHistogram, get_meter_provider
from opentelemetry.trace import ProxyTracerProvider, TracerProvider

from .. import conventions
from ..forking import after_fork
from ..version import __version__
from .counters import Counters

SCOPE = "opentelemetry.instrumentation.xai"
_STANDARD = {
    "duration": conventions.OPERATION_DURATION,
    "time_to_first_chunk": conventions.OPERATION_TIME_TO_FIRST_CHUNK,
    "token_usage": conventions.TOKEN_USAGE,
}


class Instruments:
    """Histograms, and the table of counters."""

    def __init__(self, meter_provider: MeterProvider) -> None:
        meter = meter_provider.get_meter(SCOPE, __version__)

        def histogram(declared: conventions.Histogram) -> Histogram:
            return meter.create_histogram(
                declared.name,
                unit=declared.unit,
                description=declared.description,
                explicit_bucket_boundaries_advisory=declared.buckets,
            )

        self.duration = histogram(conventions.OPERATION_DURATION)
        self.time_to_first_chunk = histogram(conventions.OPERATION_TIME_TO_FIRST_CHUNK)
        self.token_usage = histogram(conventions.TOKEN_USAGE)
        self.client_first_token = histogram(conventions.CLIENT_TIME_TO_FIRST_TOKEN)
        self.server_first_token = histogram(conventions.SERVER_TIME_TO_FIRST_TOKEN)
        self.counters = Counters()
        self.counters.register(meter)
        self._without: dict[frozenset[str], Instruments] = {}

    def without(self, metrics: frozenset[str]) -> "Instruments":
        """The same instruments, save that those of the conventions' histograms that are named here record nothing."""
        others = self._without.get(metrics)
        if others is None:
            others = copy.copy(self)
            for attribute, declared in _STANDARD.items():
                if declared.name in metrics:
                    setattr(others, attribute, NoOpHistogram(declared.name))
            self._without[metrics] = others
        return others


class _Known:
    """The instruments of each provider that was asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of_provider: dict[int, tuple[ref[MeterProvider], Instruments]] = {}
        """By the provider's identity: some, as logfire's, have no hash."""
        self._of_placeholder: Instruments | None = None
        after_fork(self)

    def forked(self) -> None:
        """Take a new lock, in a forked child."""
        self._lock = threading.Lock()

    def of(self, meter_provider: MeterProvider | None) -> Instruments:
        with self._lock:
            current = get_meter_provider()
            provider = current if meter_provider is None else meter_provider
            instruments = self._found(provider)
            if instruments is None:
                if provider is current and self._of_placeholder is not None and not is_placeholder(provider):
                    instruments, self._of_placeholder = self._of_placeholder, None
                else:
                    instruments = Instruments(provider)
                if is_placeholder(provider):
                    self._of_placeholder = instruments
                self._keep(provider, instruments)
            return instruments

    def _found(self, provider: MeterProvider) -> Instruments | None:
        known, instruments = self._of_provider.get(id(provider), (None, None))
        return instruments if known is not None and known() is provider else None

    def _keep(self, provider: MeterProvider, instruments: Instruments) -> None:
        identity = id(provider)
        self._of_provider[identity] = (ref(provider, lambda _: self._of_provider.pop(identity, None)), instruments)


_known = _Known()


def instruments_of(meter_provider: MeterProvider | None = None) -> Instruments:
    """The instruments of a provider, or of the global one: the same ones every time.

    While the global provider is the API's placeholder, instruments made through it move to the real one when that is
    set. The real one must then not be given a second set, whose callbacks it would drop.
    """
    return _known.of(meter_provider)


def is_placeholder(provider: MeterProvider | TracerProvider) -> bool:
    """Whether a provider only stands in for one that the application may set later."""
    return isinstance(provider, ProxyTracerProvider) or type(provider).__name__ == "_ProxyMeterProvider"

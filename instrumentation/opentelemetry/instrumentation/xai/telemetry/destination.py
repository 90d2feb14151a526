"""Where telemetry goes: to the providers that were given, or the application's global ones, however late it sets them.

Until it does, there may be a fallback. Both signals are looked after apart, since an application may set up one only.
Once a signal has found its provider for good, asking costs one attribute.
"""

from typing import Protocol

from opentelemetry.metrics import MeterProvider, get_meter_provider
from opentelemetry.trace import Tracer, TracerProvider

from opentelemetry import trace

from ..version import __version__
from .instruments import SCOPE, Instruments, instruments_of, is_placeholder


class Fallback(Protocol):
    """Providers to use while there are no others."""

    def tracer_provider(self) -> TracerProvider | None:
        """One for spans, if any."""

    def meter_provider(self) -> MeterProvider | None:
        """One for metrics, if any."""

    def displaced(self, kind: str) -> None:
        """The application has set a provider of its own for ``traces`` or ``metrics``."""


class Destination:
    """The way to a tracer and to the instruments that are right at the moment."""

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        fallback: Fallback | None = None,
    ) -> None:
        self._tracer = None if tracer_provider is None else _tracer_of(tracer_provider)
        self._instruments = None if meter_provider is None else instruments_of(meter_provider)
        self._fallback = fallback
        self._passing: tuple[TracerProvider | None, Tracer] | None = None
        """The tracer that is used while there is no other, and its provider."""

    @property
    def is_open(self) -> bool:
        """Whether there is a signal of which the provider is still to come."""
        no_tracer = self._tracer is None and is_placeholder(trace.get_tracer_provider())
        return no_tracer or (self._instruments is None and is_placeholder(get_meter_provider()))

    def tracer(self) -> Tracer:
        """The tracer to start a span with."""
        return self._find_tracer() if self._tracer is None else self._tracer

    def instruments(self) -> Instruments:
        """The instruments to record with."""
        return self._find_instruments() if self._instruments is None else self._instruments

    def _find_tracer(self) -> Tracer:
        current = trace.get_tracer_provider()
        if not is_placeholder(current):
            self._tracer = _tracer_of(current)
            if self._fallback is not None:
                self._fallback.displaced("traces")
            return self._tracer
        provider = None if self._fallback is None else self._fallback.tracer_provider()
        passing = self._passing
        if passing is None or passing[0] is not provider:
            passing = self._passing = (provider, _tracer_of(current if provider is None else provider))
        return passing[1]

    def _find_instruments(self) -> Instruments:
        if not is_placeholder(get_meter_provider()):
            self._instruments = instruments_of()
            if self._fallback is not None:
                self._fallback.displaced("metrics")
            return self._instruments
        return instruments_of(None if self._fallback is None else self._fallback.meter_provider())


def _tracer_of(provider: TracerProvider) -> Tracer:
    return provider.get_tracer(SCOPE, __version__)

"""The instruments of one meter provider, created once from the conventions and kept for the provider's life."""

import os
import threading
from typing import Any
from weakref import WeakKeyDictionary

from opentelemetry.metrics import Histogram, MeterProvider, get_meter_provider

from .. import conventions
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


_lock = threading.Lock()


def _forked() -> None:
    global _lock  # noqa: PLW0603  the old one may be held by a thread that does not exist here
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)

_of_provider: "WeakKeyDictionary[Any, Instruments]" = WeakKeyDictionary()
_of_placeholder: list[Instruments] = []


def instruments_of(meter_provider: MeterProvider | None = None) -> Instruments:
    """The instruments of a provider, or of the global one: the same ones every time.

    While the global provider is the API's placeholder, instruments made through it move to the real one when that is
    set. The real one must then not be given a second set, whose callbacks it would drop.
    """
    with _lock:
        current = get_meter_provider()
        provider = current if meter_provider is None else meter_provider
        instruments = _of_provider.get(provider)
        if instruments is None:
            if provider is current and _of_placeholder and not _is_placeholder(provider):
                instruments = _of_placeholder.pop()
            else:
                instruments = Instruments(provider)
            if _is_placeholder(provider):
                _of_placeholder[:] = [instruments]
            _of_provider[provider] = instruments
        return instruments


def _is_placeholder(provider: MeterProvider) -> bool:
    return type(provider).__name__ == "_ProxyMeterProvider"

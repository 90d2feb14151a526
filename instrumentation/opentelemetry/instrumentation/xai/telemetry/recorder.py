"""The recorder: one span and a few metric records for each exchange.

The span starts early, so that samplers can decide, children find their parent and the trace is propagated; all else is
derived from the observation at the end, from the same instants as the metrics.
"""

import logging
from collections.abc import MutableMapping, Sequence
from functools import cache

from opentelemetry.context import Context

from opentelemetry import propagate

from .. import conventions as names
from ..guard import guarded
from ..notices import once
from ..observation import AttributeValue, CacheVerdict, Ending, Observation, Request, Usage
from ..prices import Prices
from ..settings import Settings
from .attribute_sets import AttributeSets, KnownSets
from .attributes import is_warm, seconds
from .cache_increments import NO_COST, SAVED_COST, beginning, increments_of, loss
from .counters import Counters, Increment, Series, series
from .covering import Covering, covering
from .destination import Destination
from .instruments import Instruments
from .peers import NO_METRICS
from .spans import CallSpan, CoveringSpan, NoSpan, OwnSpan

_logger = logging.getLogger(__name__)
_UNKNOWN = ((names.TOKEN_MODALITY, "unknown"),)
_INPUT, _OUTPUT = series(names.INPUT_TOKENS, _UNKNOWN), series(names.OUTPUT_TOKENS, _UNKNOWN)
_CACHED = series(names.CACHE_READ_INPUT_TOKENS, _UNKNOWN)
_REASONING = series(names.REASONING_OUTPUT_TOKENS, _UNKNOWN)
_COST = series(names.COST)
# the conventions: an exchange without usage counts 0
_NOTHING: Sequence[Increment] = ((_INPUT, 0), (_OUTPUT, 0))


class Recorder:
    """Starts recordings. One for each ``instrument()``."""

    def __init__(self, settings: Settings, destination: Destination, prices: Prices | None = None) -> None:
        self._settings = settings
        self._destination = destination
        self._prices = Prices() if prices is None else prices
        self._spans = settings.spans
        self._has_ledger = settings.ledger != "off"
        self._tells_of_usage = settings.stream_usage == "observe"
        self._sets = KnownSets(settings.metric_baggage)

    def begin(self, request: Request, started: int, current: Context) -> "Recording":
        """Begin to record an exchange that is sent from ``current``; ``started`` is in nanoseconds since the epoch."""
        covered_by = covering(current, request) if current else None
        return Recording(self, self._span(covered_by, request, started, current), covered_by)

    def _span(self, covered_by: Covering | None, request: Request, started: int, current: Context) -> CallSpan:
        if self._spans == "never":
            return NoSpan(current)
        if covered_by is None or self._spans == "always":
            return OwnSpan(self._settings, self._destination, request, started, current)
        return CoveringSpan(covered_by, self._settings, self._destination, request, started, current)

    def record(
        self,
        observation: Observation,
        verdict: CacheVerdict | None,
        within: Context,
        elsewhere: frozenset[str] = NO_METRICS,
    ) -> None:
        """Record the metrics of an exchange in the context of its span, but those that are recorded elsewhere."""
        instruments, sets = self._destination.instruments(), self._sets.of(observation, within)
        _count(instruments.counters, observation, verdict, sets, self._has_ledger)
        if verdict is not None and not self._prices.absent:
            self._count_money(instruments.counters, observation, verdict, sets)
        _time(instruments.without(elsewhere) if elsewhere else instruments, observation, sets, within)
        if observation.usage is None and self._tells_of_usage and observation.request.usage_unasked:
            _tell(observation)

    def _count_money(
        self, counters: Counters, observation: Observation, verdict: CacheVerdict, sets: AttributeSets
    ) -> None:
        """Count what the cache saved and what losing it cost, as soon as prices are known."""
        usage = observation.usage
        if usage is None or usage.input_tokens is None:
            return
        ours = sets.ours_in_table
        begun = counters.counts(ours, SAVED_COST)
        if begun and not (usage.cached_tokens or verdict.lost):
            return

        def add(saved: int, lost: int) -> None:
            increments: list[Increment] = [(SAVED_COST, saved)]
            if lost:
                increments.append((loss(names.CACHE_LOST_COST, verdict), lost))
            counters.add(ours, increments)
            if not begun:
                counters.begin(ours, NO_COST)

        counters.await_owed = self._prices.wait
        self._prices.count(observation.request.model, usage.input_tokens, usage.cached_tokens or 0, verdict.lost, add)


class Recording:
    """One exchange being recorded."""

    __slots__ = ("_covered_by", "_recorder", "_span", "within")

    def __init__(self, recorder: Recorder, span: CallSpan, covered_by: Covering | None = None) -> None:
        self._recorder = recorder
        self._span = span
        self._covered_by = covered_by
        self.within = span.within
        """The context in which the request is to be sent."""

    @guarded
    def propagate(self, headers: MutableMapping[str, str]) -> None:
        """Write the trace context into a request's headers, as the application's propagators would have it."""
        if self._span.propagates:
            propagate.inject(headers, self.within)

    def finish(self, observation: Observation | None, verdict: CacheVerdict | None = None) -> None:
        """Record the metrics and finish the span, or the span alone where there is no observation. Called once."""
        covered_by = self._covered_by
        try:
            if observation is not None:
                elsewhere = NO_METRICS if covered_by is None else covered_by.recorded(observation)
                self._recorder.record(observation, verdict, self.within, elsewhere)
        finally:
            try:
                self._span.finish(observation, verdict)
            finally:
                if covered_by is not None and (observation is None or observation.ending.is_failure):
                    covered_by.released()


def _tell(observation: Observation) -> None:
    """Tell, once in a process, that a stream has no usage because it did not ask, and how to have it."""
    if observation.ending is Ending.COMPLETE:
        once(
            _logger,
            logging.INFO,
            "A chat stream to xAI ended without usage, so its tokens, cached ones too, are not known: it did not ask. "
            'To have them: stream_options={"include_usage": true} in the request, or '
            "OTEL_INSTRUMENTATION_XAI_STREAM_USAGE=request, which asks in its stead. (This is said once.)",
        )


def _count(
    counters: Counters, observation: Observation, verdict: CacheVerdict | None, sets: AttributeSets, has_ledger: bool
) -> None:
    usage = observation.usage
    ours = [] if verdict is None else increments_of(observation, verdict)
    if usage is not None and usage.cost_ticks is not None:
        ours.append((_COST, usage.cost_ticks))
    if ours and counters.add(sets.ours_in_table, ours) and has_ledger:
        counters.begin(sets.ours_in_table, beginning())
    counters.add(sets.standard_in_table, _NOTHING if usage is None else _increments_of_usage(usage))


@cache  # of enumerated values only
def _input_of(modality: str) -> Series:
    return series(names.INPUT_TOKENS, ((names.TOKEN_MODALITY, modality),))


def _increments_of_usage(usage: Usage) -> list[Increment]:
    increments: list[Increment] = [(_OUTPUT, usage.output_tokens or 0)]
    for modality, tokens in usage.modalities:
        increments.append((_input_of(modality), tokens))
    if not usage.modalities:
        increments.append((_INPUT, usage.input_tokens or 0))
    if usage.cached_tokens is not None:
        increments.append((_CACHED, usage.cached_tokens))
    if usage.reasoning_tokens is not None:
        increments.append((_REASONING, usage.reasoning_tokens))
    return increments


def _time(instruments: Instruments, observation: Observation, sets: AttributeSets, within: Context) -> None:
    timeline, usage = observation.timeline, observation.usage
    if usage is not None:
        if usage.input_tokens is not None:
            instruments.token_usage.record(usage.input_tokens, sets.input, within)
        if usage.output_tokens is not None:
            instruments.token_usage.record(usage.output_tokens, sets.output, within)
    if observation.streamed:
        _time_stream(instruments, observation, sets, within)
    if observation.server_time_to_first_token is not None:
        instruments.server_first_token.record(
            observation.server_time_to_first_token, _warmth(observation, sets.ours), within
        )
    standard = sets.standard
    if observation.error_type is not None:
        standard = {**standard, names.ERROR_TYPE: observation.error_type}
    instruments.duration.record(seconds(timeline, timeline.ended), standard, within)


def _time_stream(instruments: Instruments, observation: Observation, sets: AttributeSets, within: Context) -> None:
    timeline, ours = observation.timeline, _warmth(observation, sets.ours)
    if timeline.first_chunk is not None:
        instruments.time_to_first_chunk.record(seconds(timeline, timeline.first_chunk), sets.standard, within)
    for kind, moment in (
        (names.KIND_REASONING, timeline.first_reasoning_token),
        (names.KIND_ANSWER, timeline.first_answer_token),
    ):
        if moment is not None:
            instruments.client_first_token.record(
                seconds(timeline, moment), {**ours, names.XAI_TOKEN_KIND: kind}, within
            )


def _warmth(observation: Observation, attributes: dict[str, AttributeValue]) -> dict[str, AttributeValue]:
    """Attributes with what is known of how warm the cache was."""
    warm = is_warm(observation)
    return attributes if warm is None else {**attributes, names.XAI_CACHE_WARM: warm}

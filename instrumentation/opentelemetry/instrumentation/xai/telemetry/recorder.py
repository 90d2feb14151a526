"""The recorder: one span and a few metric records for each exchange.

The span starts early, so that samplers can decide, children find their parent and the trace is propagated; all else is
derived from the observation at the end, from the same instants as the metrics.
"""

from collections.abc import MutableMapping

from opentelemetry.context import Context
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import SpanKind, Status, StatusCode, TracerProvider

from opentelemetry import baggage, propagate, trace

from .. import conventions as names
from ..guard import guarded
from ..limits import LONGEST_NAME
from ..observation import AttributeValue, Ending, Observation, Request
from ..settings import Settings
from ..version import __version__
from .attributes import answer_attributes, is_warm, request_attributes, seconds
from .bounded import bounded
from .counters import Increment
from .instruments import SCOPE, instruments_of

_MOST_MODELS = 100
_MOST_SERVERS = 100
_MOST_BAGGAGE_VALUES = 50
_FAILED = frozenset({Ending.HTTP_ERROR, Ending.ERROR_EVENT, Ending.FAILED})
_UNKNOWN = ((names.TOKEN_MODALITY, "unknown"),)


class Recorder:
    """Starts recordings. One for each ``instrument()``."""

    def __init__(
        self,
        settings: Settings,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        self._settings = settings
        self._tracer = trace.get_tracer(SCOPE, __version__, tracer_provider) if settings.spans != "never" else None
        instruments = instruments_of(meter_provider)
        self._counters = instruments.counters
        histograms = instruments.histograms
        self._duration = histograms[names.OPERATION_DURATION.name]
        self._time_to_first_chunk = histograms[names.OPERATION_TIME_TO_FIRST_CHUNK.name]
        self._token_usage = histograms[names.TOKEN_USAGE.name]
        self._client_first_token = histograms[names.CLIENT_TIME_TO_FIRST_TOKEN.name]
        self._server_first_token = histograms[names.SERVER_TIME_TO_FIRST_TOKEN.name]
        self._models = bounded("model", _MOST_MODELS)
        self._response_models = bounded("response model", _MOST_MODELS)
        self._servers = bounded("server", _MOST_SERVERS)
        self._baggage = {key: bounded(f"baggage {key}", _MOST_BAGGAGE_VALUES) for key in settings.metric_baggage}

    def begin(self, request: Request, started: int, current: Context) -> "Recording":
        """Start the span of an exchange as a child of ``current``; ``started`` is in nanoseconds since the epoch."""
        if self._tracer is None:
            return Recording(self, None, current, started)
        name = request.operation if request.model is None else f"{request.operation} {request.model}"
        span = self._tracer.start_span(
            name,
            context=current,
            kind=SpanKind.CLIENT,
            attributes=request_attributes(request, self._settings),
            start_time=started,
        )
        return Recording(self, span, trace.set_span_in_context(span, current), started)

    def finish_span(self, span: trace.Span, observation: Observation | None, started: int) -> None:
        """Set what was learned and end the span at the moment at which the exchange ended."""
        ended = None
        try:
            if observation is not None:
                ended = started + observation.timeline.ended - observation.timeline.issued
                span.set_attributes(answer_attributes(observation, self._settings))
                if observation.ending in _FAILED:
                    span.set_status(Status(StatusCode.ERROR))
        finally:
            span.end(ended)

    def record(self, observation: Observation, within: Context) -> None:
        """Record the metrics of an exchange in the context of its span."""
        ours = self._common(observation.request, within)
        standard = dict(ours)
        standard[names.SERVER_PORT] = observation.request.port
        if observation.response_model is not None:
            standard[names.RESPONSE_MODEL] = self._response_models(observation.response_model)
        self._count(observation, ours, standard)
        self._time(observation, ours, standard, within)

    def _common(self, request: Request, within: Context) -> dict[str, AttributeValue]:
        attributes: dict[str, AttributeValue] = {
            names.OPERATION_NAME: request.operation,
            names.PROVIDER_NAME: names.PROVIDER,
            names.SERVER_ADDRESS: self._servers(request.host),
        }
        if request.model is not None:
            attributes[names.REQUEST_MODEL] = self._models(request.model)
        for key, values in self._baggage.items():
            value = baggage.get_baggage(key, within)
            if value is not None:
                attributes[key] = values(str(value)[:LONGEST_NAME])
        return attributes

    def _count(
        self, observation: Observation, ours: dict[str, AttributeValue], standard: dict[str, AttributeValue]
    ) -> None:
        usage = observation.usage
        increments: list[Increment] = []
        if usage is None:  # the conventions: an exchange without usage counts 0
            increments.append((names.INPUT_TOKENS, _UNKNOWN, 0))
            increments.append((names.OUTPUT_TOKENS, _UNKNOWN, 0))
        else:
            for modality, tokens in usage.modalities:
                increments.append((names.INPUT_TOKENS, ((names.TOKEN_MODALITY, modality),), tokens))
            if not usage.modalities:
                increments.append((names.INPUT_TOKENS, _UNKNOWN, usage.input_tokens or 0))
            increments.append((names.OUTPUT_TOKENS, _UNKNOWN, usage.output_tokens or 0))
            if usage.cached_tokens is not None:
                increments.append((names.CACHE_READ_INPUT_TOKENS, _UNKNOWN, usage.cached_tokens))
            if usage.reasoning_tokens is not None:
                increments.append((names.REASONING_OUTPUT_TOKENS, _UNKNOWN, usage.reasoning_tokens))
            if usage.cost_ticks is not None:
                self._counters.add(tuple(ours.items()), ((names.COST, (), usage.cost_ticks),))
        self._counters.add(tuple(standard.items()), increments)

    def _time(
        self,
        observation: Observation,
        ours: dict[str, AttributeValue],
        standard: dict[str, AttributeValue],
        within: Context,
    ) -> None:
        timeline, usage, warm = observation.timeline, observation.usage, is_warm(observation)
        if warm is not None:
            ours = {**ours, names.XAI_CACHE_WARM: warm}
        if usage is not None:
            for kind, tokens in (("input", usage.input_tokens), ("output", usage.output_tokens)):
                if tokens is not None:
                    self._token_usage.record(tokens, {**standard, names.TOKEN_TYPE: kind}, within)
        if observation.streamed:
            if timeline.first_chunk is not None:
                self._time_to_first_chunk.record(seconds(timeline, timeline.first_chunk), standard, within)
            for kind, moment in (
                ("reasoning", timeline.first_reasoning_token),
                ("answer", timeline.first_answer_token),
            ):
                if moment is not None:
                    self._client_first_token.record(
                        seconds(timeline, moment), {**ours, names.XAI_TOKEN_KIND: kind}, within
                    )
        if observation.server_time_to_first_token is not None:
            self._server_first_token.record(observation.server_time_to_first_token, ours, within)
        if observation.error_type is not None:
            standard = {**standard, names.ERROR_TYPE: observation.error_type}
        self._duration.record(seconds(timeline, timeline.ended), standard, within)


class Recording:
    """One exchange being recorded."""

    __slots__ = ("_recorder", "_span", "_started", "within")

    def __init__(self, recorder: Recorder, span: trace.Span | None, within: Context, started: int) -> None:
        self._recorder = recorder
        self._span = span
        self._started = started
        self.within = within
        """The context in which the request is to be sent."""

    @guarded
    def propagate(self, headers: MutableMapping[str, str]) -> None:
        """Write the trace context into a request's headers, as the application's propagators would have it."""
        if self._span is not None:
            propagate.inject(headers, self.within)

    def finish(self, observation: Observation | None) -> None:
        """Record the metrics and end the span, or end the span alone where there is no observation. Called once."""
        try:
            if observation is not None:
                self._recorder.record(observation, self.within)
        finally:
            if self._span is not None:
                self._recorder.finish_span(self._span, observation, self._started)

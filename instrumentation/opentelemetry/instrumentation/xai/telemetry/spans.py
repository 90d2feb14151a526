"""The span that says what became of a call: one of our own, somebody else's that covers the call, or none."""

from typing import Protocol

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, Status, StatusCode

from opentelemetry import trace

from .. import conventions as names
from ..observation import COMPLETE, AttributeValue, CacheVerdict, Observation, Request
from ..settings import Settings
from .attributes import add_cache, answer_attributes, request_attributes
from .covering import Covering
from .destination import Destination

_CONFLICTS_AND_LIMITS = frozenset({408, 409, 429})


class CallSpan(Protocol):
    """Where the attributes of one exchange go."""

    within: Context
    """The context in which the request is to be sent."""
    propagates: bool
    """Whether the request carries that context on."""

    def finish(self, observation: Observation | None, verdict: CacheVerdict | None) -> None:
        """Set what was learned, at the moment at which the exchange ended. Called once."""


class OwnSpan:
    """A span of our own."""

    __slots__ = ("_settings", "_span", "_started", "within")
    propagates = True

    def __init__(
        self, settings: Settings, destination: Destination, request: Request, started: int, current: Context
    ) -> None:
        self._settings = settings
        self._started = started
        self._span = destination.tracer().start_span(
            request.title,
            context=current,
            kind=SpanKind.CLIENT,
            attributes=request_attributes(request, settings),
            start_time=started,
        )
        self.within = trace.set_span_in_context(self._span, current)

    def finish(self, observation: Observation | None, verdict: CacheVerdict | None) -> None:
        """Set what was learned and end the span."""
        ended = None
        try:
            if observation is not None:
                ended = self._started + observation.timeline.ended - observation.timeline.issued
                self._span.set_attributes(_learned(observation, verdict, self._settings))
                if observation.ending is not COMPLETE and observation.ending.is_failure:
                    self._span.set_status(Status(StatusCode.ERROR))
        finally:
            self._span.end(ended)


class CoveringSpan:
    """Somebody else's span. Where it ends before the exchange does, or never, one of our own is made below it."""

    __slots__ = ("_covering", "_destination", "_request", "_settings", "_started", "within")
    propagates = True

    def __init__(
        self,
        covering: Covering,
        settings: Settings,
        destination: Destination,
        request: Request,
        started: int,
        current: Context,
    ) -> None:
        self._covering = covering
        self._settings = settings
        self._destination = destination
        self._request = request
        self._started = started
        self.within = current

    def finish(self, observation: Observation | None, verdict: CacheVerdict | None) -> None:
        """Add to the span what it lacks."""
        if self._covering.is_lost_with(observation):
            own = OwnSpan(self._settings, self._destination, self._request, self._started, self.within)
            own.finish(observation, verdict)
            return
        attributes = request_attributes(self._request, self._settings)
        if observation is not None:
            attributes |= _learned(observation, verdict, self._settings)
            if not _is_final(observation):
                attributes.pop(names.ERROR_TYPE, None)
        self._covering.add(attributes)


class NoSpan:
    """Metrics only."""

    __slots__ = ("within",)
    propagates = False

    def __init__(self, current: Context) -> None:
        self.within = current

    def finish(self, _observation: Observation | None, _verdict: CacheVerdict | None) -> None:
        """Nothing is said."""


def _learned(observation: Observation, verdict: CacheVerdict | None, settings: Settings) -> dict[str, AttributeValue]:
    attributes = answer_attributes(observation, settings)
    if verdict is not None:
        add_cache(attributes, verdict)
    return attributes


def _is_final(observation: Observation) -> bool:
    """Whether no SDK tries again after that: an attribute can not be taken back from a span that ends well."""
    status = observation.status_code
    if observation.is_final:
        return True
    return status is not None and status < 500 and status not in _CONFLICTS_AND_LIMITS

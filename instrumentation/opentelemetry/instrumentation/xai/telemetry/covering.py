"""Which span of somebody else's describes this very call, if any, and how to add to it what it lacks.

A span is found where it is current while the request is sent. It covers a call when it stands for one inference, of the
model that is asked for, and no earlier call within it was answered or broken off: a second one is another call, unless
it is a retry. (Some spans are never ended, and stay current where a forgotten stream has left them.) What a peer has
set is kept. Peers set most of it when they end their span, over ours: so ours fills what is missing in the end. Status
and outcome are the covering span's own, since only it knows whether a failed attempt was the last.

``opentelemetry-util-genai`` offers more than its span: an object in the context, that its span, event and metrics are
completed from. Nothing of it is imported: what has the fields is filled, by name.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from opentelemetry.context import Context

from opentelemetry import context, trace

from .. import conventions as names
from ..guard import guarded
from ..observation import AttributeValue, Ending, Observation, Request
from .instruments import SCOPE
from .peers import NO_METRICS, Peer, peer_of, users_of_util_genai

_INFERENCE = "opentelemetry.genai.client.inference.context"
_STATE = "_opentelemetry_instrumentation_xai"
_OPERATIONS = frozenset({names.CHAT, "text_completion", "generate_content"})
_NO_FIELDS = frozenset({names.ERROR_TYPE, names.PROVIDER_NAME, names.OPERATION_NAME})
Attributes = Mapping[str, AttributeValue]


class _State:
    """What is remembered of the calls within one covering span; lives as long as the span."""

    __slots__ = ("taken", "written")

    def __init__(self) -> None:
        self.taken = False
        """A call is under way, or was answered."""
        self.written: set[str] = set()
        """The attributes that are ours, so that those of a later attempt may take their place."""


class Covering:
    """A span that covers a call, for the time of one attempt."""

    __slots__ = ("_is_recorded", "_peer", "_span", "_state")

    def __init__(self, span: trace.Span | None, peer: Peer, state: _State) -> None:
        self._peer = peer
        self._span = span
        self._state = state
        self._is_recorded = span is not None and span.is_recording()
        state.taken = True

    @property
    def is_over(self) -> bool:
        """Whether it was ended before the call was, so that nothing can be added any more."""
        return self._is_recorded and self._span is not None and not self._span.is_recording()

    def is_lost_with(self, observation: Observation | None) -> bool:
        """Whether nothing that is added will be seen: it was ended before the call was, or will never be."""
        return self.is_over or (observation is not None and self._is_never_ended(observation))

    def recorded(self, observation: Observation) -> frozenset[str]:
        """The conventions' metrics that its owner records; none of an answer whose end it did not await."""
        ending = observation.ending
        if (ending.is_failure and self._peer.omits_failures) or self._is_never_ended(observation):
            return NO_METRICS
        return NO_METRICS if ending is Ending.COMPLETE and self.is_over else self._peer.metrics

    def _is_never_ended(self, observation: Observation) -> bool:
        broken = observation.streamed and observation.ending is not Ending.COMPLETE
        return broken and self._peer.omits_broken_streams

    def released(self) -> None:
        """The attempt failed: the next one is the same call."""
        self._state.taken = False

    def add(self, attributes: Attributes) -> None:
        """Set what is missing; what an earlier attempt has set is missing too."""
        span, written = self._span, self._state.written
        if span is None or not span.is_recording():
            return
        present = _attributes_of(span)
        ours = {name: value for name, value in attributes.items() if name in written or name not in present}
        span.set_attributes(ours)
        written.update(ours)


class InferenceCovering(Covering):
    """A call of ``opentelemetry-util-genai``, which takes over from an object in the context what it lacks."""

    __slots__ = ("_data",)

    def __init__(self, span: trace.Span | None, data: Any, state: _State) -> None:
        super().__init__(span, users_of_util_genai(), state)
        self._data = data

    def add(self, attributes: Attributes) -> None:
        """Fill the object; all that is in it is of the last attempt."""
        data, written = self._data, self._state.written
        for name in written.difference(attributes):
            field = _field_of(name)
            if hasattr(data, field):
                setattr(data, field, None)
            data.attributes.pop(name, None)
        for name, value in attributes.items():
            field = _field_of(name)
            if value and name not in _NO_FIELDS and hasattr(data, field):
                setattr(data, field, value)
            else:  # a field of which the value is 0 is dropped
                data.attributes[name] = value
        written.update(attributes)


@guarded
def covering(current: Context, request: Request) -> Covering | None:
    """What covers a call that is about to be sent from a context."""
    span = trace.get_current_span(current)
    attributes = _attributes_of(span)
    data = context.get_value(_INFERENCE, current)
    if data is not None and _is_fillable(data):
        if not _may_be_within(attributes, request):
            return None
        state = _state_of(data)
        if state.taken and not request.resend_count:
            return None
        is_its_own = names.OPERATION_NAME in attributes  # not a transport's, which ends with the headers
        return InferenceCovering(span if is_its_own else None, data, state)
    if not _describes(span, attributes, request):
        return None
    state = _state_of(span)
    return None if state.taken and not request.resend_count else Covering(span, peer_of(_scope_of(span)), state)


def is_suppressed_by_peer(current: Context) -> bool:
    """Whether instrumentation is suppressed by a peer, below its own span, for our sake."""
    return peer_of(_scope_of(trace.get_current_span(current))).suppresses


def _describes(span: trace.Span, attributes: Attributes, request: Request) -> bool:
    """Whether a span stands for one inference that may be this call."""
    if not attributes:  # openlit sets its own when the answer is there: until then the conventional name must do
        return span.is_recording() and getattr(span, "name", None) == request.title
    operation = attributes.get(names.OPERATION_NAME)
    if operation is None:
        kind = attributes.get("openinference.span.kind") or attributes.get("llm.request.type")
        is_inference = kind in {"LLM", "chat", "completion"}
    else:
        is_inference = operation in _OPERATIONS
    return is_inference and span.is_recording() and _scope_of(span) != SCOPE and _is_of_model(attributes, request)


def _may_be_within(attributes: Attributes, request: Request) -> bool:
    """Whether the current span is no hindrance to being part of the inference around it."""
    operation = attributes.get(names.OPERATION_NAME)
    return (operation is None or operation in _OPERATIONS) and _is_of_model(attributes, request)


def _is_of_model(attributes: Attributes, request: Request) -> bool:
    """Whether the model is the one that is asked for, perhaps with a provider before its name."""
    model = attributes.get(names.REQUEST_MODEL) or attributes.get("llm.model_name")
    if not isinstance(model, str) or request.model is None or model == request.model:
        return True
    return model.endswith((f"/{request.model}", f":{request.model}"))


def _is_fillable(data: Any) -> bool:
    return isinstance(getattr(data, "attributes", None), dict)


def _field_of(name: str) -> str:
    return name.removeprefix("gen_ai.").replace(".", "_")


def _attributes_of(span: trace.Span) -> Attributes:
    """A span's attributes, which only the SDK's spans show."""
    return getattr(span, "attributes", None) or {}


def _scope_of(span: trace.Span) -> str | None:
    name = getattr(getattr(span, "instrumentation_scope", None), "name", None)
    return name if isinstance(name, str) else None


def _state_of(holder: Any) -> _State:
    """What is remembered with a span or another object."""
    state = getattr(holder, _STATE, None)
    if not isinstance(state, _State):
        state = _State()
        with suppress(AttributeError):  # it takes none: then nothing is remembered
            setattr(holder, _STATE, state)
    return state

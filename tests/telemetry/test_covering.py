"""A span of somebody else's that covers the very call is enriched, and what it does not cover has a span of its own."""

from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, Status, StatusCode

from conftest import Telemetry
from opentelemetry import context, trace
from opentelemetry.instrumentation.xai import guard
from opentelemetry.instrumentation.xai.observation import Ending, Observation, Request, Timeline, Usage
from opentelemetry.instrumentation.xai.settings import Settings
from opentelemetry.instrumentation.xai.telemetry.destination import Destination
from opentelemetry.instrumentation.xai.telemetry.recorder import Recorder, Recording

STARTED = 1_700_000_000_000_000_000
REQUEST = Request("chat", "api.x.ai", 443, "grok-4.7", conversation_id="conv", conversation_id_source="header")
ANSWERED = Observation(
    request=REQUEST,
    timeline=Timeline(0, 1_500_000_000),
    ending=Ending.COMPLETE,
    status_code=200,
    usage=Usage(1000, 300, 0, 0, 25_000_000_000),
    response_id="r1",
    response_model="grok-4.7-0921",
    finish_reasons=("stop",),
    request_id="req-1",
    server_time_to_first_token=0.25,
)
STREAMED = msgspec.structs.replace(
    ANSWERED, streamed=True, server_time_to_first_token=None, timeline=Timeline(0, 1_500_000_000, 40_000_000)
)
REFUSED = Observation(
    request=REQUEST,
    timeline=Timeline(0, 100_000_000),
    ending=Ending.HTTP_ERROR,
    status_code=503,
    error_type="503",
    request_id="req-0",
)
LACKED = {
    "gen_ai.conversation.id": "conv",
    "xai.conversation.id.source": "header",
    "server.address": "api.x.ai",
    "server.port": 443,
    "http.response.status_code": 200,
    "gen_ai.response.id": "r1",
    "gen_ai.response.model": "grok-4.7-0921",
    "gen_ai.response.finish_reasons": ("stop",),
    "gen_ai.usage.input_tokens": 1000,
    "gen_ai.usage.output_tokens": 300,
    "gen_ai.usage.cache_read.input_tokens": 0,
    "gen_ai.usage.reasoning.output_tokens": 0,
    "xai.response.cost_usd": 2.5,
    "xai.request.id": "req-1",
    "xai.server.time_to_first_token": 0.25,
}
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "theirs", "gen_ai.request.model": "grok-4.7"}
XAI_SDK = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "xai",
    "gen_ai.output.type": "text",
    "gen_ai.request.model": "grok-4.7",
    "server.address": "api.x.ai",
    "server.port": 443,
}
OPENINFERENCE = {"openinference.span.kind": "LLM", "llm.system": "openai"}
INFERENCE = "opentelemetry.genai.client.inference.context"

COVERS = [
    pytest.param("opentelemetry.instrumentation.genai.openai", "chat grok-4.7", CHAT, id="util-genai-without-its-key"),
    pytest.param("openinference.instrumentation.openai", "ChatCompletion", OPENINFERENCE, id="openinference"),
    pytest.param("opentelemetry.instrumentation.openai.v1", "openai.chat", CHAT, id="traceloop"),
    pytest.param(
        "older", "openai.chat", {"llm.request.type": "chat", "gen_ai.request.model": "grok-4.7"}, id="old-traceloop"
    ),
    pytest.param("openlit.otel.tracing", "chat grok-4.7", {}, id="openlit"),
    pytest.param("logfire.openai", "Chat Completion with {request_data[model]!r}", CHAT, id="logfire"),
    pytest.param("com.anthropic.sdk.python", "anthropic.messages.create", CHAT, id="anthropic"),
    pytest.param("xai_sdk.sync.chat", "chat.sample grok-4.7", XAI_SDK, id="xai-sdk-sync"),
    pytest.param("xai_sdk.aio.chat", "chat.stream grok-4.7", XAI_SDK, id="xai-sdk-aio"),
    pytest.param("pydantic-ai", "chat grok-4.7", CHAT, id="pydantic-ai"),
    pytest.param("a-gateway", "x", {**CHAT, "gen_ai.request.model": "xai/grok-4.7"}, id="model-with-its-provider"),
]
DOES_NOT = [
    pytest.param("app", "GET /", {"http.request.method": "GET"}, id="server-span"),
    pytest.param("app", "work", {}, id="no-attributes"),
    pytest.param("agents", "invoke_agent a", {**CHAT, "gen_ai.operation.name": "invoke_agent"}, id="agent"),
    pytest.param("agents", "execute_tool t", {"gen_ai.operation.name": "execute_tool"}, id="tool"),
    pytest.param("any", "embeddings m", {**CHAT, "gen_ai.operation.name": "embeddings"}, id="embeddings"),
    pytest.param("any", "chat gpt-9", {**CHAT, "gen_ai.request.model": "gpt-9"}, id="another-model"),
    pytest.param("any", "Chain", {"openinference.span.kind": "CHAIN"}, id="chain"),
    pytest.param("openlit.otel.tracing", "chat gpt-9", {}, id="another-model-in-the-name"),
    pytest.param("opentelemetry.instrumentation.xai", "chat grok-4.7", CHAT, id="ours"),
]


@dataclass
class Data:
    """What ``opentelemetry-util-genai`` puts in the context, as far as we fill it."""

    conversation_id: str | None = None
    provider_name: str | None = None
    response_id: str | None = None
    server_address: str | None = None
    usage_input_tokens: int | None = None
    usage_cache_read_input_tokens: int | None = None
    error_type: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)


class Peer:
    """An instrumentation that has a span around the call."""

    def __init__(self, telemetry: Telemetry, **settings: Any) -> None:
        self.telemetry = telemetry
        self.recorder = Recorder(
            Settings(**{"ledger": "off", **settings}), Destination(telemetry.tracer_provider, telemetry.meter_provider)
        )

    def span(self, scope: str, name: str, attributes: dict[str, Any]) -> Any:
        """Start its span."""
        tracer = self.telemetry.tracer_provider.get_tracer(scope)
        return tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)

    def begin(self, span: Any, request: Request = REQUEST, **more: Any) -> Recording:
        """Begin a call within it."""
        current = trace.set_span_in_context(span)
        for key, value in more.items():
            current = context.set_value(key, value, current)
        return self.recorder.begin(request, STARTED, current)

    def attributes(self, scope: str) -> dict[str, Any]:
        """The attributes of the one span of a scope."""
        (span,) = self.spans(scope)
        return dict(span.attributes or {})

    def spans(self, scope: str = "opentelemetry.instrumentation.xai") -> list[ReadableSpan]:
        """The ended spans of a scope."""
        ended = self.telemetry.exporter.get_finished_spans()
        return [span for span in ended if span.instrumentation_scope and span.instrumentation_scope.name == scope]


@pytest.fixture
def peer(telemetry: Telemetry) -> Peer:
    """A peer, with our settings as they are by default."""
    return Peer(telemetry)


@pytest.mark.parametrize(("scope", "name", "attributes"), COVERS)
def test_a_span_that_covers_the_call_is_enriched(peer: Peer, scope: str, name: str, attributes: dict[str, Any]) -> None:
    """One span: the other's name and values, and all that it lacked."""
    span = peer.span(scope, name, attributes)
    peer.begin(span).finish(ANSWERED)
    span.end()
    (found,) = peer.telemetry.exporter.get_finished_spans()
    assert found.name == name
    ours = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "x_ai", "gen_ai.request.model": "grok-4.7"}
    assert dict(found.attributes or {}) == {**ours, **LACKED, **attributes}
    assert found.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize(("scope", "name", "attributes"), DOES_NOT)
def test_a_span_that_stands_for_something_else_is_left_alone(
    peer: Peer, scope: str, name: str, attributes: dict[str, Any]
) -> None:
    """Ours is then a span of its own, a child of the other."""
    span = peer.span(scope, name, attributes)
    peer.begin(span).finish(ANSWERED)
    (own,) = peer.spans()
    span.end()
    assert own.parent == span.get_span_context()
    assert dict(span.attributes or {}) == attributes


def test_what_the_other_says_in_the_end_is_kept(peer: Peer) -> None:
    """Whatever a peer sets after us stands."""
    span = peer.span("theirs", "chat grok-4.7", CHAT)
    peer.begin(span).finish(ANSWERED)
    span.set_attribute("gen_ai.usage.output_tokens", 11)
    span.end()
    assert peer.attributes("theirs")["gen_ai.usage.output_tokens"] == 11


def test_of_several_attempts_the_last_one_counts(peer: Peer) -> None:
    """A retry belongs to the same span; what was refused leaves no error on a span that ends well."""
    span = peer.span("theirs", "chat grok-4.7", CHAT)
    for number, observation in enumerate((REFUSED, REFUSED, ANSWERED)):
        peer.begin(span, msgspec.structs.replace(REQUEST, resend_count=number)).finish(observation)
    span.end()
    assert not peer.spans()
    attributes = peer.attributes("theirs")
    assert attributes["http.response.status_code"] == 200
    assert attributes["xai.request.id"] == "req-1"
    assert attributes["http.request.resend_count"] == 2
    assert "error.type" not in attributes


def test_retries_need_not_be_numbered(peer: Peer) -> None:
    """After an attempt without an answer the next call within the span is the same call."""
    span = peer.span("theirs", "chat grok-4.7", CHAT)
    peer.begin(span).finish(REFUSED)
    peer.begin(span).finish(None)
    peer.begin(span).finish(ANSWERED)
    span.end()
    assert not peer.spans()


def test_the_second_call_within_a_span_is_another_call(peer: Peer) -> None:
    """Where the first was answered, or is still under way, the second has a span of its own."""
    span = peer.span("theirs", "chat grok-4.7", CHAT)
    first, second = peer.begin(span), peer.begin(span)
    first.finish(ANSWERED)
    second.finish(ANSWERED)
    peer.begin(span).finish(ANSWERED)
    span.end()
    assert len(peer.spans()) == 2
    assert peer.attributes("theirs")["xai.request.id"] == "req-1"


def test_a_span_that_a_forgotten_stream_has_left_current_swallows_nothing(peer: Peer) -> None:
    """After a call that was broken off the next one is another: the span may never be ended."""
    span = peer.span("theirs", "chat grok-4.7", CHAT)
    peer.begin(span).finish(msgspec.structs.replace(ANSWERED, ending=Ending.ABANDONED, finish_reasons=("error",)))
    peer.begin(span).finish(ANSWERED)
    assert len(peer.spans()) == 1


@pytest.mark.parametrize(("ending", "ours"), [(Ending.COMPLETE, True), (Ending.ABANDONED, False)])
def test_an_answer_whose_end_the_other_did_not_await_is_recorded(peer: Peer, ending: Ending, ours: bool) -> None:
    """Its span is over and the answer goes on: it knows nothing of it. Where the call was broken off, it has recorded that."""
    span = peer.span("opentelemetry.instrumentation.openai.v1", "openai.chat", CHAT)
    recording = peer.begin(span)
    span.end()
    recording.finish(msgspec.structs.replace(STREAMED, ending=ending))
    assert ("gen_ai.client.operation.duration" in peer.telemetry.metrics()) is ours


def test_failures_that_the_other_does_not_record_are_recorded(peer: Peer) -> None:
    """openlit 1.34 recorded the duration of answered calls alone: that of a failed one is ours."""
    for observation in (REFUSED, ANSWERED):
        peer.begin(peer.span("openlit.otel.tracing", "chat grok-4.7", {})).finish(observation)
    (point,) = peer.telemetry.metrics()["gen_ai.client.operation.duration"]
    assert (point.attributes["error.type"], point.count) == ("503", 1)


@pytest.mark.parametrize("ending", [Ending.ABANDONED, Ending.FAILED, Ending.ERROR_EVENT])
def test_a_broken_stream_that_the_other_never_ends_is_told_by_a_span_of_ours(peer: Peer, ending: Ending) -> None:
    """openlit ends its span and records with the last event alone: else all is ours. What is refused, it tells."""
    broken = msgspec.structs.replace(STREAMED, ending=ending, finish_reasons=("error",))
    for observation in (broken, REFUSED, STREAMED):
        peer.begin(peer.span("openlit.instrumentation.openai", "chat grok-4.7", CHAT)).finish(observation)
    (own,) = peer.spans()
    assert (own.attributes or {})["gen_ai.response.finish_reasons"] == ("error",)
    (point,) = peer.telemetry.metrics()["gen_ai.client.operation.duration"]
    assert point.count == 1


@pytest.mark.parametrize(
    ("observation", "error_type"),
    [
        pytest.param(msgspec.structs.replace(REFUSED, status_code=400, error_type="400"), "400", id="refused-for-good"),
        pytest.param(msgspec.structs.replace(REFUSED, status_code=429, error_type="429"), None, id="may-be-retried"),
        pytest.param(REFUSED, None, id="unavailable"),
        pytest.param(
            msgspec.structs.replace(ANSWERED, ending=Ending.ERROR_EVENT, error_type="error_event"),
            "error_event",
            id="event",
        ),
        pytest.param(
            msgspec.structs.replace(REFUSED, ending=Ending.FAILED, status_code=None, error_type="timeout"),
            None,
            id="timeout",
        ),
    ],
)
def test_a_failure_is_told_where_nobody_tries_again(
    peer: Peer, observation: Observation, error_type: str | None
) -> None:
    """``error.type`` can not be taken back, so it is written only where no SDK retries; the status stays the other's."""
    span = peer.span("theirs", "chat grok-4.7", CHAT)
    peer.begin(span).finish(observation)
    span.end()
    assert peer.attributes("theirs").get("error.type") == error_type
    assert span.status.status_code is StatusCode.UNSET


def test_a_span_that_ends_too_early_is_not_written_to(peer: Peer, caplog: pytest.LogCaptureFixture) -> None:
    """Ours is then made after all, from when to when the exchange lasted, below the other; nothing is lost."""
    span = peer.span("theirs", "chat grok-4.7", CHAT)
    recording = peer.begin(span)
    span.set_status(Status(StatusCode.OK))
    span.end()
    recording.finish(ANSWERED)
    (own,) = peer.spans()
    assert (own.start_time, own.end_time) == (STARTED, STARTED + 1_500_000_000)
    assert own.parent == span.get_span_context()
    assert LACKED.items() <= dict(own.attributes or {}).items()
    assert dict(span.attributes or {}) == CHAT
    assert not caplog.text


def test_without_an_observation_the_request_is_told(peer: Peer) -> None:
    """Where the end of a call is not known, its beginning is."""
    span = peer.span("theirs", "chat grok-4.7", CHAT)
    peer.begin(span).finish(None)
    span.end()
    assert peer.attributes("theirs")["gen_ai.conversation.id"] == "conv"


@pytest.mark.parametrize(
    ("spans", "own"),
    [("auto", 0), ("always", 1), ("never", 0)],
)
@pytest.mark.parametrize(
    ("scope", "elsewhere"),
    [
        ("opentelemetry.instrumentation.genai.openai", {"duration", "tokens", "first_chunk"}),
        ("opentelemetry.instrumentation.openai.v1", {"duration", "tokens"}),
        ("openlit.otel.tracing", {"duration", "tokens"}),
        ("openlit.instrumentation.openai", {"duration", "tokens", "first_chunk"}),
        ("pydantic-ai", {"tokens", "first_chunk"}),
        ("openinference.instrumentation.openai", set()),
        ("logfire.openai", set()),
        ("com.anthropic.sdk.python", set()),
        ("xai_sdk.sync.chat", set()),
    ],
)
def test_metrics_that_the_other_records_are_left_to_it(
    telemetry: Telemetry, scope: str, elsewhere: set[str], spans: str, own: int
) -> None:
    """Each standard metric once, whatever ``spans`` says; ours, and the counters that nobody else has, always."""
    peer = Peer(telemetry, spans=spans)
    span = peer.span(scope, "chat grok-4.7", CHAT)
    peer.begin(span).finish(STREAMED)
    span.end()
    assert len(peer.spans()) == own
    assert ("xai.request.id" in peer.attributes(scope)) is (spans == "auto")
    standard = {
        "duration": "gen_ai.client.operation.duration",
        "tokens": "gen_ai.client.token.usage",
        "first_chunk": "gen_ai.client.operation.time_to_first_chunk",
    }
    metrics = telemetry.metrics()
    assert {name for name in standard if standard[name] not in metrics} == elsewhere
    assert {"xai.client.cost", "gen_ai.client.inference.usage.cache_read.input_tokens"} <= set(metrics)


def test_what_a_peer_leaves_out_does_not_stay_out(peer: Peer) -> None:
    """A call without the peer has all its metrics again."""
    span = peer.span("opentelemetry.instrumentation.genai.openai", "chat grok-4.7", CHAT)
    peer.begin(span).finish(STREAMED)
    peer.recorder.begin(REQUEST, STARTED, context.Context()).finish(STREAMED)
    (point,) = peer.telemetry.metrics()["gen_ai.client.operation.duration"]
    assert point.count == 1


def test_exemplars_lead_to_the_covering_span(peer: Peer) -> None:
    """Histograms are recorded in the context of the span that describes the call."""
    span = peer.span("openinference.instrumentation.openai", "ChatCompletion", OPENINFERENCE)
    peer.begin(span).finish(STREAMED)
    data = peer.telemetry.reader.get_metrics_data()
    assert data is not None
    exemplars = [
        exemplar
        for metric in data.resource_metrics[0].scope_metrics[0].metrics
        for point in metric.data.data_points
        for exemplar in getattr(point, "exemplars", ())
    ]
    assert {exemplar.span_id for exemplar in exemplars} == {span.get_span_context().span_id}


def test_the_trace_goes_on_from_the_covering_span(peer: Peer) -> None:
    """What is sent carries the other's span as parent."""
    span = peer.span("theirs", "chat grok-4.7", CHAT)
    carrier: dict[str, str] = {}
    recording = peer.begin(span)
    recording.propagate(carrier)
    assert f"{span.get_span_context().span_id:016x}" in carrier["traceparent"]
    assert trace.get_current_span(recording.within) is span


# --- opentelemetry-util-genai -----------------------------------------------------------------------------------------


def test_the_object_in_the_context_is_filled(peer: Peer) -> None:
    """By name where it has a field, else among its attributes, as are zeros, which a field would lose."""
    data = Data()
    span = peer.span("anything.that.uses.it", "chat grok-4.7", CHAT)
    peer.begin(span, **{INFERENCE: data}).finish(ANSWERED)
    assert not peer.spans()
    assert (data.conversation_id, data.response_id, data.usage_input_tokens) == ("conv", "r1", 1000)
    assert data.usage_cache_read_input_tokens is None
    assert data.attributes["gen_ai.usage.cache_read.input_tokens"] == 0
    assert data.attributes["xai.request.id"] == "req-1"
    assert data.provider_name is None
    assert set(peer.telemetry.metrics()) == {
        "xai.client.cost",
        "xai.server.time_to_first_token",
        *(f"gen_ai.client.inference.usage.{kind}" for kind in (
            "input_tokens", "output_tokens", "cache_read.input_tokens", "reasoning.output_tokens",
        )),
    }  # fmt: skip


def test_the_object_has_nothing_of_earlier_attempts(peer: Peer) -> None:
    """What only a refused attempt had said is taken back."""
    data = Data()
    span = peer.span("theirs", "chat grok-4.7", CHAT)
    peer.begin(span, **{INFERENCE: data}).finish(
        msgspec.structs.replace(REFUSED, status_code=400, error_type="400", response_id="r0")
    )
    assert data.attributes["error.type"] == "400"
    peer.begin(span, **{INFERENCE: data}).finish(msgspec.structs.replace(ANSWERED, response_id=None))
    assert data.response_id is None
    assert "error.type" not in data.attributes
    assert data.error_type is None


def test_the_object_counts_where_a_span_of_the_transport_lies_between(peer: Peer) -> None:
    """An HTTP span between the inference and the request does not hide it, nor does it end the call."""
    data = Data()
    http = peer.span("opentelemetry.instrumentation.requests", "POST", {"http.request.method": "POST"})
    recording = peer.begin(http, **{INFERENCE: data})
    http.end()
    recording.finish(ANSWERED)
    assert data.response_id == "r1"
    assert not peer.spans()


def test_the_object_counts_where_the_span_is_not_sampled(telemetry: Telemetry) -> None:
    """What is not sampled is covered all the same: its owner records the metrics."""
    peer = Peer(telemetry)
    span = TracerProvider(sampler=ALWAYS_OFF).get_tracer("theirs").start_span("chat grok-4.7", attributes=CHAT)
    data = Data()
    peer.begin(span, **{INFERENCE: data}).finish(ANSWERED)
    assert data.response_id == "r1"
    assert "gen_ai.client.operation.duration" not in telemetry.metrics()


@pytest.mark.parametrize(
    "attributes", [{"gen_ai.operation.name": "execute_tool"}, {**CHAT, "gen_ai.request.model": "gpt-9"}]
)
def test_the_object_is_not_for_what_is_done_within_the_inference(peer: Peer, attributes: dict[str, Any]) -> None:
    """A tool, or another model's call, that runs inside of an inference has a span of its own."""
    data = Data()
    span = peer.span("theirs", "x", attributes)
    peer.begin(span, **{INFERENCE: data}).finish(ANSWERED)
    assert data == Data()
    assert len(peer.spans()) == 1


@pytest.mark.parametrize("data", [True, None, "text", object()], ids=lambda data: type(data).__name__)
def test_what_is_not_the_object_is_not_filled(peer: Peer, data: Any) -> None:
    """Under the same key there may be anything, some day: then only the span counts."""
    span = peer.span("theirs", "chat grok-4.7", CHAT)
    peer.begin(span, **{INFERENCE: data}).finish(ANSWERED)
    span.end()
    assert peer.attributes("theirs")["xai.request.id"] == "req-1"


def test_a_span_that_breaks_costs_the_enrichment(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A span of a strange make whose attributes fail: the call has its own."""
    monkeypatch.setattr(guard, "raise_faults", False)
    span = peer.span("theirs", "chat grok-4.7", CHAT)
    monkeypatch.setattr(type(span), "attributes", property(lambda _self: 1 / 0))
    recording = peer.begin(span)
    monkeypatch.undo()
    recording.finish(ANSWERED)
    assert len(peer.spans()) == 1

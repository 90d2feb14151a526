"""Observations to spans and metrics: names, attributes and values, exactly."""

import hashlib
import hmac
from typing import Any

import msgspec
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

from conftest import Point, Telemetry
from opentelemetry import baggage, context, trace
from opentelemetry.instrumentation.xai.observation import Ending, Observation, Request, Timeline, Usage
from opentelemetry.instrumentation.xai.settings import Settings
from opentelemetry.instrumentation.xai.telemetry.destination import Destination
from opentelemetry.instrumentation.xai.telemetry.recorder import Recorder
from opentelemetry.instrumentation.xai.version import __version__

MILLISECOND = 1_000_000
STARTED = 1_700_000_000_000_000_000
ISSUED = 5_000_000
REQUEST = Request("chat", "api.x.ai", 443, "grok-4.7", parameters={"gen_ai.request.temperature": 0.5})
STREAMED = Observation(
    request=Request(
        "chat", "api.x.ai", 443, "grok-4.7", stream=True, conversation_id="conv", conversation_id_source="header"
    ),
    timeline=Timeline(
        ISSUED,
        ISSUED + 2000 * MILLISECOND,
        ISSUED + 50 * MILLISECOND,
        ISSUED + 200 * MILLISECOND,
        ISSUED + 400 * MILLISECOND,
    ),
    ending=Ending.COMPLETE,
    streamed=True,
    status_code=200,
    usage=Usage(1000, 300, 500, 200, 25_000_000_000, (("text", 900), ("image", 100))),
    response_id="r1",
    response_model="grok-4.7-0921",
    finish_reasons=("stop", "length"),
    request_id="req-1",
)
WHOLE = Observation(
    request=REQUEST,
    timeline=Timeline(ISSUED, ISSUED + 1500 * MILLISECOND),
    ending=Ending.COMPLETE,
    status_code=200,
    usage=Usage(1000, 300, 0, 0),
    response_model="grok-4.7-0921",
    finish_reasons=("stop",),
    server_time_to_first_token=0.2953,
)
FAILED = Observation(
    request=REQUEST,
    timeline=Timeline(ISSUED, ISSUED + 100 * MILLISECOND),
    ending=Ending.HTTP_ERROR,
    error_type="429",
    status_code=429,
)
OURS = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "x_ai",
    "gen_ai.request.model": "grok-4.7",
    "server.address": "api.x.ai",
}
STANDARD = {**OURS, "server.port": 443}
ANSWERED = {**STANDARD, "gen_ai.response.model": "grok-4.7-0921"}
UNKNOWN = {"gen_ai.token.modality": "unknown"}
COUNTERS = "gen_ai.client.inference.usage."


def record(telemetry: Telemetry, *observations: Observation, current: Any = None, **settings: Any) -> None:
    """Record observations, as one ``instrument()`` without a ledger would."""
    recorder = Recorder(
        Settings(**{"ledger": "off", **settings}), Destination(telemetry.tracer_provider, telemetry.meter_provider)
    )
    for observation in observations:
        within = context.get_current() if current is None else current
        recorder.begin(observation.request, STARTED, within).finish(observation)


def points(telemetry: Telemetry) -> dict[str, list[tuple[dict[str, Any], Any]]]:
    """Each metric's attributes and sums."""

    def total(point: Point) -> float:
        value = point.total if point.value is None else point.value
        assert value is not None
        return value

    return {
        name: [(point.attributes, pytest.approx(total(point))) for point in found]
        for name, found in telemetry.metrics().items()
    }


def test_span_of_a_stream(telemetry: Telemetry) -> None:
    """A streamed call is one CLIENT span with every attribute that the conventions and our own names give it."""
    record(telemetry, STREAMED)
    span = telemetry.span
    assert (span.name, span.kind) == ("chat grok-4.7", SpanKind.CLIENT)
    assert span.status.status_code is StatusCode.UNSET
    assert span.events == ()
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.version == __version__
    assert (span.start_time, span.end_time) == (STARTED, STARTED + 2000 * MILLISECOND)
    assert telemetry.attributes() == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "x_ai",
        "gen_ai.request.model": "grok-4.7",
        "gen_ai.request.stream": True,
        "gen_ai.conversation.id": "conv",
        "xai.conversation.id.source": "header",
        "server.address": "api.x.ai",
        "server.port": 443,
        "http.response.status_code": 200,
        "gen_ai.response.id": "r1",
        "gen_ai.response.model": "grok-4.7-0921",
        "gen_ai.response.finish_reasons": ("stop", "length"),
        "gen_ai.response.time_to_first_chunk": pytest.approx(0.05),
        "xai.response.time_to_first_token": pytest.approx(0.2),
        "xai.response.time_to_first_answer_token": pytest.approx(0.4),
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 300,
        "gen_ai.usage.cache_read.input_tokens": 500,
        "gen_ai.usage.reasoning.output_tokens": 200,
        "xai.response.cost_usd": pytest.approx(2.5),
        "xai.request.id": "req-1",
    }


def test_metrics_of_a_stream(telemetry: Telemetry) -> None:
    """A streamed call gives each metric once, with exactly the attributes that it may have."""
    record(telemetry, STREAMED)
    warm = {**OURS, "xai.cache.warm": True}
    assert points(telemetry) == {
        "gen_ai.client.operation.duration": [(ANSWERED, 2.0)],
        "gen_ai.client.operation.time_to_first_chunk": [(ANSWERED, 0.05)],
        "gen_ai.client.token.usage": [
            ({**ANSWERED, "gen_ai.token.type": "input"}, 1000),
            ({**ANSWERED, "gen_ai.token.type": "output"}, 300),
        ],
        "xai.client.time_to_first_token": [
            ({**warm, "xai.token.kind": "reasoning"}, 0.2),
            ({**warm, "xai.token.kind": "answer"}, 0.4),
        ],
        COUNTERS + "input_tokens": [
            ({**ANSWERED, "gen_ai.token.modality": "text"}, 900),
            ({**ANSWERED, "gen_ai.token.modality": "image"}, 100),
        ],
        COUNTERS + "output_tokens": [({**ANSWERED, **UNKNOWN}, 300)],
        COUNTERS + "cache_read.input_tokens": [({**ANSWERED, **UNKNOWN}, 500)],
        COUNTERS + "reasoning.output_tokens": [({**ANSWERED, **UNKNOWN}, 200)],
        "xai.client.cost": [(OURS, 2.5)],
    }


def test_a_whole_answer(telemetry: Telemetry) -> None:
    """A call that is not streamed has no times of its own but xAI's, and reported zeros are kept."""
    record(telemetry, WHOLE)
    assert telemetry.attributes() == {
        **STANDARD,
        "gen_ai.request.temperature": 0.5,
        "http.response.status_code": 200,
        "gen_ai.response.model": "grok-4.7-0921",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 300,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "gen_ai.usage.reasoning.output_tokens": 0,
        "xai.server.time_to_first_token": 0.2953,
    }
    assert points(telemetry) == {
        "gen_ai.client.operation.duration": [(ANSWERED, 1.5)],
        "gen_ai.client.token.usage": [
            ({**ANSWERED, "gen_ai.token.type": "input"}, 1000),
            ({**ANSWERED, "gen_ai.token.type": "output"}, 300),
        ],
        "xai.server.time_to_first_token": [({**OURS, "xai.cache.warm": False}, 0.2953)],
        COUNTERS + "input_tokens": [({**ANSWERED, **UNKNOWN}, 1000)],
        COUNTERS + "output_tokens": [({**ANSWERED, **UNKNOWN}, 300)],
        COUNTERS + "cache_read.input_tokens": [({**ANSWERED, **UNKNOWN}, 0)],
        COUNTERS + "reasoning.output_tokens": [({**ANSWERED, **UNKNOWN}, 0)],
    }


def test_a_failed_call(telemetry: Telemetry) -> None:
    """A call that failed has status and error type on span and duration, and counts 0 tokens."""
    record(telemetry, FAILED)
    assert telemetry.span.status.status_code is StatusCode.ERROR
    assert telemetry.attributes() == {
        **STANDARD,
        "gen_ai.request.temperature": 0.5,
        "http.response.status_code": 429,
        "error.type": "429",
    }
    assert points(telemetry) == {
        "gen_ai.client.operation.duration": [({**STANDARD, "error.type": "429"}, 0.1)],
        COUNTERS + "input_tokens": [({**STANDARD, **UNKNOWN}, 0)],
        COUNTERS + "output_tokens": [({**STANDARD, **UNKNOWN}, 0)],
    }


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        (Ending.COMPLETE, StatusCode.UNSET),
        (Ending.ABANDONED, StatusCode.UNSET),
        (Ending.HTTP_ERROR, StatusCode.ERROR),
        (Ending.ERROR_EVENT, StatusCode.ERROR),
        (Ending.FAILED, StatusCode.ERROR),
    ],
)
def test_status_of_each_ending(telemetry: Telemetry, ending: Ending, status: StatusCode) -> None:
    """Failures are errors; what completed or was the application's own wish is none."""
    record(telemetry, msgspec.structs.replace(WHOLE, ending=ending))
    assert telemetry.span.status.status_code is status


def test_a_request_of_which_little_is_known(telemetry: Telemetry) -> None:
    """Without a model the span has the operation's name alone; problems and resends are told when there are any."""
    request = Request("chat", "api.x.ai", 8443, problems=("missing", "conflicting"), resend_count=2)
    record(telemetry, Observation(request, Timeline(0, 1), Ending.ABANDONED, finish_reasons=("error",)))
    assert telemetry.span.name == "chat"
    assert telemetry.attributes() == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "x_ai",
        "server.address": "api.x.ai",
        "server.port": 8443,
        "xai.conversation.id.problems": ("missing", "conflicting"),
        "http.request.resend_count": 2,
        "gen_ai.response.finish_reasons": ("error",),
    }
    assert all(
        "gen_ai.request.model" not in point.attributes for found in telemetry.metrics().values() for point in found
    )


def test_a_span_that_is_not_sampled_has_its_metrics(telemetry: Telemetry) -> None:
    """Metrics do not depend on sampling."""
    telemetry.tracer_provider = TracerProvider(sampler=ALWAYS_OFF)
    telemetry.tracer_provider.add_span_processor(SimpleSpanProcessor(telemetry.exporter))
    record(telemetry, STREAMED)
    assert telemetry.spans == []
    assert len(points(telemetry)) == 9


def test_without_spans_there_are_metrics(telemetry: Telemetry) -> None:
    """``spans="never"`` makes no span, propagates nothing, and records the same metrics."""
    recorder = Recorder(
        Settings(spans="never", ledger="off"), Destination(telemetry.tracer_provider, telemetry.meter_provider)
    )
    recording = recorder.begin(STREAMED.request, STARTED, context.get_current())
    carrier: dict[str, str] = {}
    recording.propagate(carrier)
    assert carrier == {}
    assert not trace.get_current_span(recording.within).get_span_context().is_valid
    recording.finish(STREAMED)
    assert telemetry.spans == []
    assert len(points(telemetry)) == 9


def test_the_span_is_a_child_and_the_parent_of_what_is_sent(telemetry: Telemetry) -> None:
    """The span continues the caller's trace, and its own context is what is propagated."""
    tracer = telemetry.tracer_provider.get_tracer("application")
    recorder = Recorder(Settings(), Destination(telemetry.tracer_provider, telemetry.meter_provider))
    with tracer.start_as_current_span("parent") as parent:
        recording = recorder.begin(REQUEST, STARTED, context.get_current())
    carrier: dict[str, str] = {}
    recording.propagate(carrier)
    recording.finish(WHOLE)
    span = telemetry.span
    assert span.parent is not None
    assert span.context is not None
    assert span.parent.span_id == parent.get_span_context().span_id
    assert carrier["traceparent"].split("-")[1:3] == [f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("plain", "conv é"),
        ("hashed", hmac.new(b"k", "conv é".encode(), hashlib.sha256).hexdigest()[:32]),
        ("off", None),
    ],
)
@pytest.mark.parametrize("source", ["header", "response"])
def test_what_a_span_shows_of_the_conversation_id(
    telemetry: Telemetry, mode: str, expected: str | None, source: str
) -> None:
    """The id is shown plain, as a keyed hash, or not at all; where it came from is always told."""
    request = msgspec.structs.replace(REQUEST, conversation_id="conv é", conversation_id_source="header")
    observation = msgspec.structs.replace(WHOLE, request=request)
    if source == "response":
        observation = msgspec.structs.replace(WHOLE, conversation_id="conv é")
    record(telemetry, observation, conversation_id=mode, key=b"k")
    assert telemetry.attributes().get("gen_ai.conversation.id") == expected
    assert telemetry.attributes()["xai.conversation.id.source"] == source


def test_the_id_that_was_sent_precedes_the_one_in_the_response(telemetry: Telemetry) -> None:
    """A response's conversation id is only used where the request had none."""
    record(telemetry, msgspec.structs.replace(STREAMED, conversation_id="other"))
    assert telemetry.attributes()["gen_ai.conversation.id"] == "conv"


def test_hashes_differ_between_processes_unless_a_key_is_set() -> None:
    """The default key is random."""
    assert Settings().key != Settings().key
    assert len(Settings().key) >= 16


@pytest.mark.parametrize(
    ("usage", "warm"),
    [
        (Usage(1000, 1, 500), True),
        (Usage(1000, 1, 499), False),
        (Usage(1000, 1, 0), False),
        (Usage(0, 1, 0), True),
        (Usage(1000, 1), None),
        (Usage(None, 1, 500), None),
        (None, None),
    ],
)
def test_warm(telemetry: Telemetry, usage: Usage | None, warm: bool | None) -> None:
    """Times to first token tell a warm cache from a cold one, or nothing where xAI did not say."""
    record(telemetry, msgspec.structs.replace(WHOLE, usage=usage), msgspec.structs.replace(STREAMED, usage=usage))
    metrics = telemetry.metrics()
    for name in ("xai.server.time_to_first_token", "xai.client.time_to_first_token"):
        for point in metrics[name]:
            assert point.attributes.get("xai.cache.warm") is warm


def test_first_token_without_reasoning(telemetry: Telemetry) -> None:
    """A kind of token that never came has no record; the first token is then that of the other kind."""
    timeline = Timeline(ISSUED, ISSUED + 9, ISSUED + 1, None, ISSUED + 400 * MILLISECOND)
    record(telemetry, msgspec.structs.replace(STREAMED, timeline=timeline))
    (point,) = telemetry.metrics()["xai.client.time_to_first_token"]
    assert point.attributes["xai.token.kind"] == "answer"
    assert telemetry.attributes()["xai.response.time_to_first_token"] == pytest.approx(0.4)


def test_the_span_lasts_as_long_as_the_histogram_says(telemetry: Telemetry) -> None:
    """Duration on the span and in the histogram are one and the same."""
    record(telemetry, STREAMED)
    span = telemetry.span
    assert span.end_time is not None
    assert span.start_time is not None
    (point,) = telemetry.metrics()["gen_ai.client.operation.duration"]
    assert point.total == pytest.approx((span.end_time - span.start_time) * 1e-9, abs=1e-12)


def test_exemplars_lead_to_the_span(telemetry: Telemetry) -> None:
    """Histograms are recorded in the span's context, so their exemplars carry its ids."""
    record(telemetry, STREAMED)
    span = telemetry.span
    assert span.context is not None
    data = telemetry.reader.get_metrics_data()
    assert data is not None
    found = 0
    for metric in data.resource_metrics[0].scope_metrics[0].metrics:
        for point in metric.data.data_points:
            if hasattr(point, "bucket_counts"):
                assert point.exemplars, metric.name
                for exemplar in point.exemplars:
                    assert (exemplar.span_id, exemplar.trace_id) == (span.context.span_id, span.context.trace_id)
                    found += 1
    assert found == 6


def test_buckets_are_those_of_the_conventions(telemetry: Telemetry) -> None:
    """Seconds and tokens have the advised bucket boundaries."""
    record(telemetry, STREAMED)
    data = telemetry.reader.get_metrics_data()
    assert data is not None
    for metric in data.resource_metrics[0].scope_metrics[0].metrics:
        for point in metric.data.data_points:
            if hasattr(point, "explicit_bounds"):
                ends = (1, 67108864) if metric.unit == "{token}" else (0.01, 81.92)
                ends = (0.1, 60) if metric.name.endswith("time_to_first_token") else ends
                assert (point.explicit_bounds[0], point.explicit_bounds[-1]) == ends
                assert len(point.explicit_bounds) == 14


def test_metric_baggage(telemetry: Telemetry) -> None:
    """Baggage keys asked for are on every metric and on no span; past 50 values of a key they become ``_other``."""
    recorder = Recorder(
        Settings(metric_baggage=("tenant", "route"), ledger="off"),
        Destination(telemetry.tracer_provider, telemetry.meter_provider),
    )
    for number in range(53):
        current = baggage.set_baggage("tenant", f"t{number}", baggage.set_baggage("secret", "s"))
        recorder.begin(REQUEST, STARTED, current).finish(STREAMED)
    assert all("tenant" not in (span.attributes or {}) for span in telemetry.spans)
    for name, found in telemetry.metrics().items():
        values = {point.attributes["tenant"] for point in found}
        assert values == {*(f"t{number}" for number in range(50)), "_other"}, name
        assert not any({"secret", "route"} & set(point.attributes) for point in found)


def test_baggage_of_any_type_is_text(telemetry: Telemetry) -> None:
    """Baggage may be any object: what metrics carry is its text."""
    recorder = Recorder(
        Settings(metric_baggage=("route",)), Destination(telemetry.tracer_provider, telemetry.meter_provider)
    )
    recorder.begin(REQUEST, STARTED, baggage.set_baggage("route", ["a", 1])).finish(STREAMED)
    (point,) = telemetry.metrics()["gen_ai.client.operation.duration"]
    assert point.attributes["route"] == "['a', 1]"


def test_models_and_servers_are_bounded(telemetry: Telemetry) -> None:
    """Past 100 models of either kind, or servers, metrics say ``_other``; spans say what it was."""
    recorder = Recorder(Settings(), Destination(telemetry.tracer_provider, telemetry.meter_provider))
    for number in range(103):
        request = Request("chat", f"h{number}.api.x.ai", 443, f"m{number}")
        recorder.begin(request, STARTED, context.get_current()).finish(
            msgspec.structs.replace(WHOLE, request=request, response_model=f"r{number}")
        )
    found = telemetry.metrics()["gen_ai.client.operation.duration"]
    for attribute in ("gen_ai.request.model", "gen_ai.response.model", "server.address"):
        values = {point.attributes[attribute] for point in found}
        assert len(values) == 101
        assert "_other" in values
    assert {span.name for span in telemetry.spans} == {f"chat m{number}" for number in range(103)}


def test_what_identifies_a_call_is_on_no_metric(telemetry: Telemetry) -> None:
    """Conversation, response and request ids are never metric attributes."""
    record(telemetry, STREAMED)
    text = repr(telemetry.metrics())
    for secret in ("conv'", "r1'", "req-1"):
        assert secret not in text


def test_a_propagator_that_fails_does_not_lose_the_span(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the application's propagator costs the propagation, not the span."""
    from opentelemetry.instrumentation.xai import guard

    monkeypatch.setattr(guard, "raise_faults", False)
    recorder = Recorder(Settings(), Destination(telemetry.tracer_provider, telemetry.meter_provider))
    recording = recorder.begin(REQUEST, STARTED, context.get_current())
    recording.propagate(None)  # type: ignore[arg-type]
    recording.finish(WHOLE)
    assert telemetry.span.name == "chat grok-4.7"


def test_a_fault_in_metrics_still_ends_the_span(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """The span is ended whatever recording the metrics raises."""
    monkeypatch.setattr(Recorder, "record", lambda *_args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        record(telemetry, WHOLE)
    assert telemetry.span.end_time == STARTED + 1500 * MILLISECOND


def test_a_fault_in_attributes_still_ends_the_span(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """The span is ended whatever its attributes raise."""
    from opentelemetry.instrumentation.xai.telemetry import spans

    monkeypatch.setattr(spans, "answer_attributes", lambda *_args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        record(telemetry, WHOLE)
    assert telemetry.span.end_time == STARTED + 1500 * MILLISECOND

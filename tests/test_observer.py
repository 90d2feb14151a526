"""The face that client adapters see: what is watched, and that each call ends once, whatever happens."""

import gc
import json
import logging
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from opentelemetry.instrumentation.utils import suppress_http_instrumentation, suppress_instrumentation

from conftest import Telemetry
from opentelemetry import context, trace
from opentelemetry.instrumentation.xai import guard
from opentelemetry.instrumentation.xai.cache_ledger import CacheLedger
from opentelemetry.instrumentation.xai.exchange import Exchange
from opentelemetry.instrumentation.xai.observation import Ending
from opentelemetry.instrumentation.xai.observer import Failures, ObservedCall, Observer
from opentelemetry.instrumentation.xai.settings import Settings
from opentelemetry.instrumentation.xai.tap import tap
from opentelemetry.instrumentation.xai.telemetry.destination import Destination
from opentelemetry.instrumentation.xai.telemetry.recorder import Recorder, Recording
from opentelemetry.instrumentation.xai.telemetry.spans import OwnSpan
from opentelemetry.instrumentation.xai.wire.chat_completions import ChatCompletions

CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
STREAM = [(b"content-type", b"text/event-stream")]
JSON = [(b"content-type", b"application/json")]
FIRST = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
DONE = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


class CutError(Exception):
    """What a client library raises when the connection is cut."""


class PoolError(Exception):
    """Another exception of a client library."""


FAILURES = Failures(timeout=(TimeoutError,), transport=(CutError,), decoding="client.DecodingError")


class Clock:
    """A clock that moves by a millisecond each time it is asked."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        self.now += 1_000_000
        return self.now


Watch = Callable[..., ObservedCall]


@pytest.fixture
def observer(telemetry: Telemetry) -> Observer:
    """An observer with clocks of its own."""
    recorder = Recorder(Settings(), Destination(telemetry.tracer_provider, telemetry.meter_provider))
    return Observer(Settings(), recorder, None, Clock(), lambda: 1_700_000_000_000_000_000)


@pytest.mark.parametrize(
    "broken", ["wire.fingerprint.Fingerprinter.setting", "CacheLedger.issued", "CacheLedger._answered"]
)
def test_a_fault_of_the_ledger_costs_no_span(
    broken: str, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the ledger fails, the call is recorded all the same, without what the ledger would have said."""

    def fail(*_arguments: Any) -> Any:
        raise ValueError

    monkeypatch.setattr(guard, "raise_faults", False)
    place = broken if broken.startswith("wire") else f"cache_ledger.{broken}"
    monkeypatch.setattr(f"opentelemetry.instrumentation.xai.{place}", fail)
    recorder = Recorder(Settings(), Destination(telemetry.tracer_provider, telemetry.meter_provider))
    observer = Observer(Settings(), recorder, CacheLedger(), Clock())
    body = b'{"model":"grok-4.7","messages":[]}'
    call = observer.watch("POST", "api.x.ai", 443, CHAT, (), body, {}, FAILURES)
    assert call is not None
    call.headers_received(200, ())
    call.finished(b'{"usage":{"prompt_tokens":3,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":1}}}')
    assert telemetry.attributes()["gen_ai.usage.input_tokens"] == 3
    assert not [name for name in telemetry.attributes() if name.startswith("xai.cache")]


@pytest.fixture
def watch(observer: Observer) -> Watch:
    """A function that begins to observe a chat request."""

    def begin(path: str = CHAT, headers: Any = (), carrier: Any = None, **body: Any) -> ObservedCall:
        content = json.dumps({"model": "grok-4.7", **body}).encode()
        call = observer.watch(
            "POST", "api.x.ai", 443, path, headers, content, {} if carrier is None else carrier, FAILURES
        )
        assert call is not None
        return call

    return begin


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Log our own faults, as in production."""
    monkeypatch.setattr(guard, "raise_faults", False)


@pytest.fixture(autouse=True)
def _no_context_is_left() -> Iterator[None]:
    """After every test the context is the one before it."""
    before = context.get_current()
    yield
    assert context.get_current() == before


# --- what is watched ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "host", "path"),
    [
        ("GET", "api.x.ai", CHAT),
        ("POST", "api.x.ai", "/v1/models"),
        ("POST", "api.openai.com", CHAT),
        ("POST", "management-api.x.ai", CHAT),
    ],
)
def test_other_requests_are_left_alone(observer: Observer, method: str, host: str, path: str) -> None:
    """A request that is not ours is not watched, and nothing is written into it."""
    carrier: dict[str, str] = {}
    assert observer.watch(method, host, 443, path, (), b"{}", carrier, FAILURES) is None
    assert carrier == {}


@pytest.mark.parametrize("suppress", [suppress_instrumentation, suppress_http_instrumentation])
def test_suppression_is_honoured(observer: Observer, suppress: Callable[[], AbstractContextManager[Any]]) -> None:
    """Where the application or another instrumentation suppresses ours, nothing is watched."""
    with suppress():
        assert observer.watch("POST", "api.x.ai", 443, CHAT, (), b"{}", {}, FAILURES) is None
    call = observer.watch("POST", "api.x.ai", 443, CHAT, (), b"{}", {}, FAILURES)
    assert call is not None
    call.failed(CutError())


def test_a_call_inside_a_call_is_not_watched_twice(observer: Observer, watch: Watch, telemetry: Telemetry) -> None:
    """A client that sends through another client is observed once, by the outer one; the next call is its own."""
    outer = watch()
    assert observer.watch("POST", "api.x.ai", 443, CHAT, (), b"{}", {}, FAILURES) is None
    outer.headers_received(200, JSON)
    outer.finished(b"{}")
    watch().failed(CutError())
    assert len(telemetry.spans) == 2


def test_the_span_is_current_while_the_request_is_sent(watch: Watch, telemetry: Telemetry) -> None:
    """From the request until its headers the span is current, and its context is what the request carries."""
    carrier: dict[str, str] = {}
    call = watch(carrier=carrier)
    current = trace.get_current_span().get_span_context()
    assert carrier["traceparent"].split("-")[2] == f"{current.span_id:016x}"
    call.headers_received(200, STREAM)
    assert not trace.get_current_span().get_span_context().is_valid
    call.closed()
    assert telemetry.span.context is not None
    assert telemetry.span.context.span_id == current.span_id


def test_no_context_is_held_while_a_body_is_read(watch: Watch) -> None:
    """Once the headers are there, no token of a context is kept that another task would have to give back."""
    call = watch()
    call.headers_received(200, STREAM)
    assert call._tokens is None
    assert call._body is None

    def finish() -> None:
        call.bytes_received(FIRST)
        call.bytes_received(DONE)

    thread = threading.Thread(target=finish)
    thread.start()
    thread.join(10)
    assert not call._open


def test_a_coroutine_thrown_away_detaches_nothing(
    watch: Watch, telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    """A ``GeneratorExit`` may come in another context, where detaching would be an error; the call is abandoned."""
    before = context.get_current()
    call = watch()
    tokens = call._tokens
    thread = threading.Thread(target=call.failed, args=(GeneratorExit(),))
    thread.start()
    thread.join(10)
    assert telemetry.span.attributes is not None
    assert telemetry.span.attributes["gen_ai.response.finish_reasons"] == ("error",)
    assert caplog.records == []
    assert tokens is not None
    context.detach(tokens[1])
    assert context.get_current() == before


# --- moments and endings -----------------------------------------------------------------------------------------


def test_moments_are_those_of_the_clock(watch: Watch, telemetry: Telemetry) -> None:
    """The span lasts from the request's issue to the terminal event, and no longer."""
    call = watch(stream=True)  # issued at 1 ms
    assert call.headers_received(200, STREAM)
    call.bytes_received(FIRST)  # at 2 ms
    call.bytes_received(DONE)  # at 3 ms
    assert not call._open
    call.bytes_received(FIRST)
    call.finished()
    span = telemetry.span
    assert (span.start_time, span.end_time) == (1_700_000_000_000_000_000, 1_700_000_000_002_000_000)
    assert telemetry.attributes()["xai.response.time_to_first_token"] == pytest.approx(0.001)


def test_content_handed_in_whole(watch: Watch, telemetry: Telemetry) -> None:
    """A body that was read by the client itself is taken as it is."""
    call = watch()
    assert not call.headers_received(200, JSON)
    call.finished(b'{"id":"c","usage":{"prompt_tokens":7}}')
    assert telemetry.attributes()["gen_ai.usage.input_tokens"] == 7


@pytest.mark.parametrize(
    ("error", "before", "within"),
    [
        (TimeoutError(), "timeout", "timeout"),
        (CutError(), f"{__name__}.CutError", "stream_interrupted"),
        (PoolError(), f"{__name__}.PoolError", f"{__name__}.PoolError"),
        (ValueError(), "ValueError", "ValueError"),
        (KeyboardInterrupt(), None, None),
        (GeneratorExit(), None, None),
    ],
)
@pytest.mark.parametrize("in_body", [True, False])
def test_failures(
    watch: Watch, telemetry: Telemetry, error: BaseException, before: str | None, within: str | None, in_body: bool
) -> None:
    """What the client raised decides the error type; cancellation is no error."""
    call = watch()
    if in_body:
        call.headers_received(200, STREAM)
        call.bytes_received(FIRST)
    call.failed(error)
    assert call._tokens is None
    expected = within if in_body else before
    assert telemetry.attributes().get("error.type") == expected
    assert telemetry.span.status.is_ok == (expected is None)
    reasons = telemetry.attributes().get("gen_ai.response.finish_reasons")
    assert reasons == (("error",) if in_body or expected is None else None)


_ENDINGS: dict[str, Callable[[ObservedCall], None]] = {
    "finished": lambda call: call.finished(),
    "failed": lambda call: call.failed(CutError()),
    "closed": lambda call: call.closed(),
    "forgotten": lambda call: call.forgotten(),
    "terminal": lambda call: call.bytes_received(DONE),
}


@pytest.mark.parametrize("first", _ENDINGS)
def test_the_first_ending_stands(watch: Watch, telemetry: Telemetry, first: str) -> None:
    """Whatever is told after a call's end changes nothing and records nothing."""
    call = watch()
    call.headers_received(200, STREAM)
    call.bytes_received(FIRST)
    _ENDINGS[first](call)
    attributes = telemetry.attributes()
    for ending in _ENDINGS.values():
        ending(call)
    assert telemetry.attributes() == attributes
    assert telemetry.metrics()["gen_ai.client.operation.duration"][0].count == 1


def test_a_call_ends_once_from_whichever_thread(watch: Watch, telemetry: Telemetry) -> None:
    """Threads that end the same call at the same time record one span."""
    rounds = 100
    for _ in range(rounds):
        call = watch()
        call.headers_received(200, STREAM)
        barrier = threading.Barrier(len(_ENDINGS))

        def end(ending: Callable[[ObservedCall], None], call: ObservedCall = call, barrier: Any = barrier) -> None:
            barrier.wait(10)
            ending(call)

        threads = [threading.Thread(target=end, args=(ending,)) for ending in _ENDINGS.values()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    assert len(telemetry.spans) == rounds
    assert sum(point.count or 0 for point in telemetry.metrics()["gen_ai.client.operation.duration"]) == rounds


def test_a_forgotten_call_is_recorded_although_its_thread_holds_a_lock(watch: Watch, telemetry: Telemetry) -> None:
    """The collector may close a call inside a lock that recording needs: it is recorded once that lock is free."""
    call = watch()
    call.headers_received(200, STREAM)
    recorded = threading.Event()
    lock = threading.Lock()
    finish = Recording.finish

    def finish_under_lock(recording: Recording, observation: Any, verdict: Any) -> None:
        with lock:
            finish(recording, observation, verdict)
        recorded.set()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recording, "finish", finish_under_lock)
        with lock:
            call.forgotten()  # would wait for ever if it recorded in this thread
            assert telemetry.spans == []
        assert recorded.wait(10)
    assert telemetry.attributes()["gen_ai.response.finish_reasons"] == ("error",)


def test_nothing_of_a_call_is_kept_after_its_end(watch: Watch) -> None:
    """A call that is over is free to go."""
    call = watch()
    call.headers_received(200, STREAM)
    call.finished()
    gone = weakref.ref(call)
    del call
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("path", [CHAT, RESPONSES, MESSAGES])
def test_uneventful_chunks_are_passed_over(path: str, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a long stream of the same kind of text only a few chunks are looked at, and its end is never missed."""
    text = {
        CHAT: 'data: {"choices":[{"index":0,"delta":{"content":"%d"}}]}\n\n',
        RESPONSES: 'data: {"type":"response.output_text.delta","delta":"%d"}\n\n',
        MESSAGES: 'data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"%d"}}\n\n',
    }[path]
    seen: list[bytes] = []
    read = Exchange.bytes_received

    def noted(exchange: Exchange, data: bytes, moment: int) -> None:
        seen.append(data)
        read(exchange, data, moment)

    monkeypatch.setattr(Exchange, "bytes_received", noted)
    call = watch(path, stream=True)
    call.headers_received(200, STREAM)
    chunks = [(text % number).encode() for number in range(200)]
    assert list(tap(call, chunks)) == chunks
    assert len(seen) < 8
    assert not call._open


# --- the conversation id -----------------------------------------------------------------------------------------

TURNS = [{"role": "user"}, {"role": "assistant"}, {"role": "user"}]


@pytest.mark.parametrize(
    ("path", "header", "key", "turns", "identity", "source", "problems"),
    [
        (CHAT, "h", None, TURNS, "h", "header", None),
        (CHAT, "h", "b", TURNS, "h", "header", ("wrong_carrier", "conflicting")),
        (CHAT, "h", "h", TURNS, "h", "header", ("wrong_carrier",)),
        (CHAT, None, "b", TURNS, "b", "body", ("wrong_carrier",)),
        (CHAT, None, None, TURNS, None, None, ("missing",)),
        (CHAT, "", "", TURNS, None, None, ("missing",)),
        (CHAT, None, None, [{"role": "user"}], None, None, None),
        (CHAT, None, 5, [{"role": "user"}], None, None, None),
        (RESPONSES, "h", None, TURNS, "h", "header", None),
        (RESPONSES, "h", "b", TURNS, "b", "body", ("conflicting",)),
        (RESPONSES, None, "b", TURNS, "b", "body", None),
        (RESPONSES, None, None, TURNS, None, None, ("missing",)),
        (RESPONSES, "h", "", TURNS, "h", "header", None),
        (MESSAGES, "h", "b", TURNS, "h", "header", ("wrong_carrier", "conflicting")),
        (MESSAGES, None, "b", TURNS, "b", "body", ("wrong_carrier",)),
        (MESSAGES, None, None, TURNS, None, None, ("missing",)),
    ],
)
def test_the_conversation_id(
    watch: Watch,
    telemetry: Telemetry,
    path: str,
    header: str | None,
    key: Any,
    turns: Any,
    identity: str | None,
    source: str | None,
    problems: Any,
) -> None:
    """Responses: body, then header; others: header, then body; empty is absent, and what is wrong with it is told."""
    body = {"input" if path == RESPONSES else "messages": turns}
    if key is not None:
        body["prompt_cache_key"] = key
    watch(path, [] if header is None else [(b"x-grok-conv-id", header.encode())], **body).failed(CutError())
    attributes = telemetry.attributes()
    assert attributes.get("gen_ai.conversation.id") == identity
    assert attributes.get("xai.conversation.id.source") == source
    assert attributes.get("xai.conversation.id.problems") == problems


@pytest.mark.parametrize(
    ("count", "expected"), [(b"2", 2), (b"0", None), (b"", None), (b"x", None), (b"-1", None), (b"9" * 99, 999_999_999)]
)
def test_resends(watch: Watch, telemetry: Telemetry, count: bytes, expected: int | None) -> None:
    """An SDK's retry count is the resend count; the first attempt has none."""
    watch(CHAT, [(b"x-stainless-retry-count", count)]).failed(CutError())
    assert telemetry.attributes().get("http.request.resend_count") == expected


@pytest.mark.parametrize(
    "body", [None, b"", b"no json", b"[]", b'{"model": 5, "stream": "yes", "temperature": 1' + b"0" * 400 + b"}"]
)
def test_a_body_that_is_not_known_is_no_obstacle(observer: Observer, telemetry: Telemetry, body: bytes | None) -> None:
    """A request whose body is unknown or strange is observed all the same."""
    call = observer.watch("POST", "api.x.ai", 443, CHAT, [(b"x-grok-conv-id", b"\xff")], body, {}, FAILURES)
    assert call is not None
    call.failed(CutError())
    assert telemetry.span.name == "chat"
    assert telemetry.attributes()["gen_ai.conversation.id"] == "\ufffd"


def test_credentials_and_content_are_never_recorded(watch: Watch, telemetry: Telemetry) -> None:
    """Of all that a request and its answer say, no credential, prompt, answer or user ever reaches telemetry."""
    secret = "hunter2"
    call = watch(
        CHAT,
        [(b"authorization", b"Bearer hunter2"), (b"x-api-key", b"hunter2"), (b"cookie", b"hunter2")],
        messages=[{"role": "user", "content": secret}],
        user=secret,
        metadata={"a": secret},
        tools=[{"name": secret}],
    )
    call.headers_received(400, [*JSON, (b"set-cookie", b"hunter2")])
    call.finished(json.dumps({"error": {"message": secret, "code": secret, "type": secret}, "choices": []}).encode())
    span = telemetry.span
    assert secret not in f"{span.to_json()} {telemetry.metrics()}"


# --- our own faults ----------------------------------------------------------------------------------------------


def _whole_life(observer: Observer) -> None:
    """A streamed and a whole call from beginning to end, as an adapter drives them."""
    for headers, content in ((STREAM, None), (JSON, b'{"id":"c"}')):
        call = observer.watch("POST", "api.x.ai", 443, CHAT, (), b"{}", {}, FAILURES)
        if call is not None:
            call.headers_received(200, headers)
            if content is None:
                call.bytes_received(FIRST)
                call.bytes_received(FIRST)
            call.finished(content)


@pytest.mark.parametrize(
    ("owner", "name", "spans"),
    [
        pytest.param(Recorder, "begin", 0, id="begin"),
        pytest.param(Exchange, "headers_received", 2, id="headers"),
        pytest.param(Exchange, "bytes_received", 2, id="bytes"),
        pytest.param(ChatCompletions, "read_event", 2, id="event"),
        pytest.param(ChatCompletions, "read_body", 2, id="document"),
        pytest.param(Exchange, "content_received", 2, id="content"),
        pytest.param(Recorder, "record", 2, id="record"),
        pytest.param(OwnSpan, "finish", 0, id="finish-span"),
        pytest.param(Recording, "finish", 0, id="finish"),
        pytest.param(Recording, "propagate", 0, id="propagate"),
        pytest.param(Exchange, "end", 2, id="end"),
    ],
)
@pytest.mark.usefixtures("quiet")
def test_a_fault_of_ours_stays_ours(
    observer: Observer,
    telemetry: Telemetry,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    owner: Any,
    name: str,
    spans: int,
) -> None:
    """A fault at any moment is logged once, raised never, and where the body was at fault the span is ended all the same."""

    def faulty(*_args: Any) -> Any:
        raise RuntimeError("secret")

    monkeypatch.setattr(owner, name, faulty)
    _whole_life(observer)
    _whole_life(observer)
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert 1 <= len(errors) <= 2
    assert len({record.getMessage().partition(" with ")[0] for record in errors}) == len(errors)
    assert "secret" not in caplog.text
    assert len(telemetry.spans) == spans * 2


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("document", [b'{"id":"c"}', b"[1]"])
def test_a_fault_in_a_document_that_came_in_chunks_still_ends_the_span(
    watch: Watch, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch, document: bytes
) -> None:
    """A body is read at its end; a fault there costs its facts, not the span nor the metrics."""
    monkeypatch.setattr(ChatCompletions, "read_body", lambda *_args: 1 / 0)
    call = watch()
    call.headers_received(200, JSON)
    call.bytes_received(document)
    call.finished()
    assert telemetry.attributes()["http.response.status_code"] == 200
    assert telemetry.metrics()["gen_ai.client.operation.duration"][0].count == 1


@pytest.mark.usefixtures("quiet")
def test_after_a_fault_in_the_bytes_the_rest_is_let_pass(
    watch: Watch, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault while reading bytes ends the looking, not the observing: the call still ends at its end."""
    call = watch()
    call.headers_received(200, STREAM)
    call.bytes_received(FIRST)
    with monkeypatch.context() as patch:
        patch.setattr(ChatCompletions, "read_event", lambda *_args: 1 / 0)
        call.bytes_received(FIRST)
    call.bytes_received(DONE)
    assert call._open
    call.finished()
    assert telemetry.attributes()["gen_ai.response.id"] == "c"
    assert telemetry.span.status.is_ok


def test_in_our_own_tests_faults_are_loud(watch: Watch, monkeypatch: pytest.MonkeyPatch, telemetry: Telemetry) -> None:
    """Under the test suite every fault is raised, and the call still ends."""
    monkeypatch.setattr(ChatCompletions, "read_event", lambda *_args: 1 / 0)
    call = watch()
    call.headers_received(200, STREAM)
    with pytest.raises(ZeroDivisionError):
        call.bytes_received(FIRST)
    call.finished()
    assert telemetry.span.attributes is not None


def test_endings_are_told_to_the_exchange_with_the_moment(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """The moment of the end is asked of the clock once, when the call ends."""
    ended: list[Any] = []
    end = Exchange.end

    def noted(exchange: Exchange, ending: Ending, moment: int, error_type: str | None = None) -> Any:
        ended.append((ending, moment, error_type))
        return end(exchange, ending, moment, error_type)

    monkeypatch.setattr(Exchange, "end", noted)
    call = watch()
    call.failed(TimeoutError())
    assert ended == [(Ending.FAILED, 2_000_000, "timeout")]


# --- where instrumentation is suppressed ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("scope", "is_observed"), [("logfire.openai", True), ("logfire", False), ("app", False)])
def test_suppression_by_logfire_below_its_own_span_is_not_for_us(
    observer: Observer, telemetry: Telemetry, scope: str, is_observed: bool
) -> None:
    """It does so lest there be a second span; there is none, and its span has what it lacked. Anybody else's counts."""
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "grok-4.7"}
    span = telemetry.tracer_provider.get_tracer(scope).start_span("Chat Completion", attributes=attributes)
    with trace.use_span(span, end_on_exit=True), suppress_instrumentation():
        call = observer.watch("POST", "api.x.ai", 443, CHAT, (), b'{"model":"grok-4.7"}', {}, FAILURES)
        assert (call is not None) is is_observed
        if call is not None:
            call.headers_received(200, JSON)
            call.finished(b'{"id":"c"}')
    assert telemetry.spans == []
    assert ((span.attributes or {}).get("gen_ai.response.id") == "c") is is_observed

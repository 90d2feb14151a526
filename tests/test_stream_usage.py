"""Asking for usage as adapters see it: what a call says to send, what it hides, and that no fault of ours loses a byte."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from conftest import Telemetry
from opentelemetry.instrumentation.xai import guard, stream_usage
from opentelemetry.instrumentation.xai.observer import Failures, ObservedCall, Observer, Overheard
from opentelemetry.instrumentation.xai.settings import Settings
from opentelemetry.instrumentation.xai.stream_usage import Hiding
from opentelemetry.instrumentation.xai.tap import AsyncTap, tap
from opentelemetry.instrumentation.xai.telemetry.destination import Destination
from opentelemetry.instrumentation.xai.telemetry.recorder import Recorder
from opentelemetry.instrumentation.xai.wire.usage_event import UsageEvents

BODY = b'{"model":"grok-4.7","messages":[],"stream":true}'
STREAM = [(b"content-type", b"text/event-stream")]
FIRST = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
LAST = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}\n\n'
DONE = b"data: [DONE]\n\n"
FAILURES = Failures((TimeoutError,), (ConnectionError,), "client.DecodingError")


@pytest.fixture
def observer(telemetry: Telemetry) -> Observer:
    """An observer that asks."""
    settings = Settings(stream_usage="request")
    return Observer(settings, Recorder(settings, Destination(telemetry.tracer_provider, telemetry.meter_provider)))


def watch(observer: Observer, body: bytes | None = BODY, host: str = "api.x.ai") -> ObservedCall:
    """A call that is about to be sent."""
    call = observer.watch("POST", host, 443, "/v1/chat/completions", (), body, {}, FAILURES)
    assert call is not None
    return call


@pytest.fixture
def call(observer: Observer) -> ObservedCall:
    """A call that asked, and whose answer has begun."""
    call = watch(observer)
    assert call.ask() is not None
    assert call.headers_received(200, STREAM)
    return call


class Chunks:
    """A body, of a library that is asynchronous or not, which may break off."""

    def __init__(self, *chunks: bytes, error: Exception | None = None) -> None:
        self.chunks = chunks
        self.error = error

    def __iter__(self) -> Iterator[bytes]:
        yield from self.chunks
        if self.error is not None:
            raise self.error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self:
            yield chunk


def read(call: Any, chunks: Chunks, asynchronous: bool) -> list[bytes]:
    """What comes of a body through the tap; an exception as its name."""
    pieces: list[bytes] = []

    async def main() -> None:
        async for piece in AsyncTap(call, chunks, None):
            pieces.append(piece)

    try:
        if asynchronous:
            asyncio.run(main())
        else:
            pieces.extend(tap(call, chunks))
    except ConnectionError:
        pieces.append(b"cut")
    return pieces


colours = pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])


@colours
@pytest.mark.parametrize("overheard", [False, True])
def test_a_tap_hides_by_itself(asynchronous: bool, overheard: bool, call: ObservedCall, telemetry: Telemetry) -> None:
    """Chunks go on as they came, without the one that was not asked for; a chunk of nothing was one before."""
    chunks = Chunks(
        FIRST, b"", *[FIRST.replace(b'"a"', b'"%d"' % n) for n in range(4)], LAST, USAGE[:9], USAGE[9:], DONE
    )
    listener = Overheard(call) if overheard else call
    kept = [chunk for chunk in chunks.chunks if chunk not in (USAGE[:9], USAGE[9:])]
    pieces = []
    for piece in read(listener, chunks, asynchronous):
        pieces.append(piece)
    assert pieces == kept
    assert telemetry.attributes()["gen_ai.usage.input_tokens"] == 7


@colours
@pytest.mark.parametrize(
    ("rest", "kept"),
    [(DONE[:-2], [DONE[:-2]]), (b"dat", [b"dat"]), (USAGE[:-1], []), (USAGE[:20], [])],
)
@pytest.mark.parametrize("error", [None, ConnectionError()], ids=["over", "cut"])
def test_what_is_held_goes_on_at_the_end(
    asynchronous: bool, rest: bytes, kept: list[bytes], error: Any, call: ObservedCall
) -> None:
    """However a body ends, what was held back comes before its end, and nothing of the event that is hidden."""
    expected = [FIRST, *kept, *([b"cut"] if error else [])]
    assert read(call, Chunks(FIRST, rest, error=error), asynchronous) == expected


def test_a_whole_body_is_cleared_at_once(call: ObservedCall) -> None:
    """Where the library has read all of it."""
    assert call.hiding is not None
    assert call.hiding.whole(FIRST + USAGE + DONE) == FIRST + DONE
    assert call.hiding.whole(FIRST) is FIRST
    call.finished(FIRST + USAGE + DONE)


def test_what_is_thrown_in_goes_through_too(call: ObservedCall) -> None:
    """A library that goes on after an exception was thrown into its body."""

    async def one() -> AsyncIterator[bytes]:
        try:
            yield FIRST
        except ValueError:
            yield USAGE + DONE

    async def main() -> bytes:
        body = AsyncTap(call, one())
        assert await body.__anext__() == FIRST
        return await body.athrow(ValueError())

    assert asyncio.run(main()) == DONE


def test_without_the_setting_there_is_nothing_to_ask_or_hide(telemetry: Telemetry) -> None:
    """The default: an adapter sends what the application sends."""
    recorder = Recorder(Settings(), Destination(telemetry.tracer_provider, telemetry.meter_provider))
    call = watch(Observer(Settings(), recorder))
    assert call.ask() is None
    call.headers_received(200, STREAM)
    assert call.hiding is None
    call.finished()


def test_an_adapter_that_does_not_ask_hides_nothing(observer: Observer) -> None:
    """Whoever cannot send another body, does not call ``ask``: then what comes is the application's."""
    call = watch(observer)
    call.headers_received(200, STREAM)
    assert call.hiding is None
    call.finished()


@pytest.mark.parametrize("body", [None, b"", BODY.replace(b"true", b"false"), b"no json"])
def test_what_is_no_stream_has_no_question(body: bytes | None, observer: Observer) -> None:
    """Without a body that is known, or without a stream, the application's request is sent."""
    call = watch(observer, body)
    assert call.ask() is None
    call.headers_received(200, STREAM)
    call.finished()


def test_a_document_has_nothing_to_hide(observer: Observer) -> None:
    """An answer that is no stream, as errors are, goes on as it is."""
    call = watch(observer)
    call.ask()
    call.headers_received(500, [(b"content-type", b"application/json")])
    assert call.hiding is None
    call.finished()


def test_the_body_that_is_sent_is_the_calls_own(observer: Observer) -> None:
    """On a lower layer the same call has the body that asks."""
    call = watch(observer)
    asked = call.ask()
    assert asked is not None
    assert json.loads(asked)["stream_options"] == {"include_usage": True}
    assert observer.watch("POST", "api.x.ai", 443, "/v1/chat/completions", (), asked, {}, FAILURES) is None
    call.failed(ConnectionError())


def test_a_fault_while_hiding_loses_no_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was held back goes on, with all that follows."""
    monkeypatch.setattr(guard, "raise_faults", False)
    hiding = Hiding()
    assert hiding.feed(b"data: {") == b""
    with monkeypatch.context() as broken:
        broken.setattr(UsageEvents, "feed", lambda *_: 1 / 0)
        assert hiding.feed(b"}") == b"data: {}"
    assert hiding.feed(USAGE) == USAGE
    assert hiding.close() == b""
    hiding = Hiding()
    hiding.feed(b"data: {")
    monkeypatch.setattr(UsageEvents, "close", lambda *_: 1 / 0)
    assert hiding.close() == b"data: {"


def test_what_is_known_of_servers_is_bounded(observer: Observer, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many servers there are; those that are not remembered are asked all the same."""
    monkeypatch.setattr(stream_usage, "_MOST_SERVERS", 2)
    for number in range(4):
        for _ in range(2):
            call = watch(observer, host=f"{number}.api.x.ai")
            assert call.ask() is not None
            call.headers_received(200, STREAM)
            call.finished()
    questions = observer._questions
    assert questions is not None
    assert len(questions._attitudes) == 2

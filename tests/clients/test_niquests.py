"""What applications of niquests rely on, synchronous and asynchronous: an environment of its own has it."""

import asyncio
import contextlib
import gc
import json
import pickle
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

niquests = pytest.importorskip("niquests")

from opentelemetry.instrumentation.utils import suppress_http_instrumentation  # noqa: E402

from clients.gateway import DELIVERIES, comparable, events, serving  # noqa: E402
from clients.replay import answer, replaying  # noqa: E402
from clients.wire import BODY, DOCUMENT, EVENTS, PATH, STREAM, WHOLE, coded, coding_header, complete  # noqa: E402
from conftest import Telemetry  # noqa: E402
from opentelemetry import context, trace  # noqa: E402
from opentelemetry.instrumentation.xai import XAIInstrumentor  # noqa: E402

# urllib3-future leaves sockets to the collector now and then, with us or without
pytestmark = pytest.mark.filterwarnings(r"ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")
HEADERS = {"authorization": "Bearer k"}

WAYS: dict[str, Callable[[Any], Any]] = {
    "content": lambda response: [response.content],
    "text": lambda response: [response.text.encode()],
    "iter_content": lambda response: response.iter_content(),
    "iter_content-7": lambda response: response.iter_content(7),
    "iter_raw": lambda response: response.iter_raw(),
    "iter_lines": lambda response: response.iter_lines(),
    "iter": iter,
    "raw.read": lambda response: [response.raw.read()],
    "raw.read-10": lambda response: iter(lambda: response.raw.read(10), b""),
    "raw.stream": lambda response: response.raw.stream(),
    "raw.data": lambda response: [response.raw.data],
}


def seen_of(response: Any, pieces: list[Any]) -> tuple[Any, ...]:
    """What an application can see of an answer that was read."""
    return (
        b"".join(piece for piece in pieces if isinstance(piece, bytes)),
        [piece for piece in pieces if not isinstance(piece, bytes)],
        type(response),
        repr(response),
        isinstance(response.raw, niquests.models.BaseHTTPResponse),
        (type(response.raw).__module__, type(response.raw).__qualname__),
        response.status_code,
        list(response.headers.items()),
        response.raw.closed,
        response._content_consumed,
    )


def sight(url: str, how: str, *, stream: bool = True) -> tuple[Any, ...]:
    """All that a synchronous application can see."""
    pieces: list[Any] = []
    with niquests.Session() as session:
        try:
            response = session.post(url + PATH, json=STREAM, stream=stream)
        except Exception as error:
            return type(error), str(error)[:40]
        try:
            pieces.extend(WAYS[how](response))
        except Exception as error:
            pieces.append((type(error), str(error)[:40]))
        seen = seen_of(response, pieces)
        response.close()
        return seen


def async_sight(url: str, how: str, *, stream: bool = True) -> tuple[Any, ...]:
    """All that an asynchronous application can see."""

    async def main() -> tuple[Any, ...]:
        pieces: list[Any] = []
        async with niquests.AsyncSession() as session:
            try:
                response = await session.post(url + PATH, json=STREAM, stream=stream)
            except Exception as error:
                return type(error), str(error)[:40]
            try:
                if not stream:
                    pieces.append(response.content)
                elif how == "content":
                    pieces.append(await response.content)
                elif how == "iter_lines":
                    async for piece in response.iter_lines():
                        pieces.append(piece)
                elif how.startswith("raw"):
                    pieces.append(await (response.raw.data if how == "raw.data" else response.raw.read()))
                else:
                    async for piece in await getattr(response, how)():
                        pieces.append(piece)
            except Exception as error:
                pieces.append((type(error), str(error)[:40]))
            seen = seen_of(response, pieces)
            if stream:
                await response.close()
            return seen

    return asyncio.run(main())


WITHOUT = b"".join(events(asked=False))
colours = pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])


@pytest.mark.combinations
@colours
@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("delivery", DELIVERIES, ids=str)
def test_usage_that_was_asked_for_is_hidden(
    how: str, delivery: dict[str, Any], asynchronous: bool, instrument: Any
) -> None:
    """However a stream comes and is read: bytes, states and exceptions are those of one that was not asked."""
    if asynchronous and how in ("iter", "iter_content-7", "raw.read-10", "raw.stream", "text"):
        pytest.skip("a way of synchronous applications")
    if how == "iter_lines" and "end" in delivery:
        pytest.skip("finds a line too much wherever a piece ends with half a line end")
    look = async_sight if asynchronous else sight
    with serving(**delivery) as gateway:
        without = look(gateway.url, how)
        telemetry = instrument(stream_usage="request")
        assert comparable(look(gateway.url, how)) == comparable(without)
        assert gateway.asked == [False, True]
    if "cut" not in delivery and b"[DONE]" in without[0]:
        assert telemetry.attributes()["gen_ai.usage.input_tokens"] == 1200


@colours
def test_content_that_was_read_for_the_application_is_cleared_of_usage(asynchronous: bool, instrument: Any) -> None:
    """Without ``stream`` too."""
    telemetry = instrument(stream_usage="request")
    with serving() as gateway:
        assert (async_sight if asynchronous else sight)(gateway.url, "content", stream=False)[0] == WITHOUT
    assert telemetry.attributes()["gen_ai.usage.input_tokens"] == 1200


@pytest.mark.parametrize("stream", [False, True])
def test_the_request_of_the_application_stays_its_own(stream: bool, instrument: Any) -> None:
    """It is what the response names, unchanged, with what the library found out on its way."""
    instrument(stream_usage="request")
    with serving() as gateway, niquests.Session() as session:
        request = session.prepare_request(niquests.Request("POST", gateway.url + PATH, json=STREAM))
        body, headers = request.body, dict(request.headers)
        response = session.send(request, stream=stream)
        assert response.content == WITHOUT
        assert response.request is request
        assert response.conn_info is not None
        assert request.body is body
        assert {**request.headers, "traceparent": ""} == {**headers, "traceparent": ""}
        with pytest.raises(niquests.ConnectionError) as raised:
            request.url = f"http://127.0.0.1:1{PATH}"
            session.send(request)
    assert raised.value.request is request
    assert gateway.asked == [True]


@colours
@pytest.mark.parametrize("follow", [True, False], ids=["followed", "not-followed"])
def test_redirects_carry_the_question_and_show_the_application_its_own(
    follow: bool, asynchronous: bool, instrument: Any
) -> None:
    """The request of a redirect is one of the application's, also where the application is to send it."""
    instrument(stream_usage="request")

    async def script(url: str) -> Any:
        async with niquests.AsyncSession() as session:
            return await session.post(url + PATH, json=STREAM, allow_redirects=follow)

    with serving(redirects=True) as gateway:
        if asynchronous:
            response = asyncio.run(script(gateway.url))
        else:
            with niquests.Session() as session:
                response = session.post(gateway.url + PATH, json=STREAM, allow_redirects=follow)
    request = response.request if follow else response.next
    assert json.loads(request.body) == STREAM
    assert request.headers["content-length"] == str(len(request.body))
    assert request.headers["accept-encoding"] != "identity"
    assert gateway.asked == [True, True][: 1 + follow]
    if follow:
        assert response.content == WITHOUT


def test_what_is_promised_is_not_asked(instrument: Any) -> None:
    """The library's own hooks would see the answer before us."""
    instrument(stream_usage="request")
    with serving() as gateway, niquests.Session(multiplexed=True) as session:
        response = session.post(gateway.url + PATH, json=STREAM)
        session.gather()
        assert response.content == WITHOUT
    assert gateway.asked == [False]


@pytest.mark.combinations
@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut"])
@pytest.mark.parametrize("coding", ["plain", "gzip", "br", "damaged"])
def test_an_answer_looks_the_same_as_without_us(how: str, cut: bool, coding: str, instrument: Any) -> None:
    """However it is read: bytes, types, states, headers and exceptions are those of an uninstrumented run."""
    with replaying(*answer(coded(coding), headers=coding_header(coding), cut=cut)) as url:
        without = sight(url, how)
        telemetry = instrument()
        assert sight(url, how) == without
        gc.collect()
        assert len(telemetry.spans) == 1
        if not cut and coding != "damaged":
            assert complete(telemetry)


@pytest.mark.combinations
@pytest.mark.parametrize("how", ["content", "iter_content", "iter_raw", "iter_lines", "raw.read", "raw.data"])
@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut"])
@pytest.mark.parametrize("coding", ["plain", "gzip", "br", "damaged"])
def test_an_asynchronous_answer_looks_the_same_as_without_us(how: str, cut: bool, coding: str, instrument: Any) -> None:
    """The same for asynchronous sessions."""
    with replaying(*answer(coded(coding), headers=coding_header(coding), cut=cut)) as url:
        without = async_sight(url, how)
        telemetry = instrument()
        assert async_sight(url, how) == without
        gc.collect()
        assert len(telemetry.spans) == 1
        if not cut and coding != "damaged":
            assert complete(telemetry)


@pytest.mark.parametrize("look", [sight, async_sight], ids=["sync", "async"])
@pytest.mark.parametrize("case", ["whole", "cut", "damaged"])
def test_what_is_read_before_it_is_returned_is_seen(case: str, look: Any, instrument: Any) -> None:
    """Without a stream: the same answer or exception, and the span ends by its name."""
    body = {"whole": EVENTS, "cut": EVENTS[:2], "damaged": coded("damaged")}[case]
    headers = coding_header("damaged" if case == "damaged" else "plain")
    with replaying(*answer(body, headers=headers, cut=case == "cut")) as url:
        without = look(url, "content", stream=False)
        telemetry = instrument()
        assert look(url, "content", stream=False) == without
    expected = {"whole": None, "cut": "stream_interrupted", "damaged": "niquests.exceptions.ContentDecodingError"}
    assert telemetry.attributes().get("error.type") == expected[case]


def test_a_response_can_be_pickled(observed: Telemetry) -> None:
    """As ever."""
    with replaying(*answer(EVENTS)) as url, niquests.Session() as session:
        response = session.post(url + PATH, json=STREAM, stream=True)
        assert pickle.loads(pickle.dumps(response)).content == WHOLE
    assert complete(observed)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_a_request_leaves_as_it_was_but_for_the_trace_context(
    asynchronous: bool, observed: Telemetry, server: Any
) -> None:
    """Body and headers arrive as the application made them, plus the context of our span, which is current no more."""
    before = context.get_current()

    async def main() -> None:
        async with niquests.AsyncSession() as session:
            await session.post(server.url + PATH, json=BODY, headers=HEADERS)
            assert context.get_current() == before

    if asynchronous:
        asyncio.run(main())
    else:
        with niquests.Session() as session:
            session.post(server.url + PATH, json=BODY, headers=HEADERS)
        assert context.get_current() == before
    arrived = server.requests[-1]
    assert json.loads(arrived.body) == BODY
    assert int(arrived.headers["traceparent"].split("-")[2], 16) == observed.span.get_span_context().span_id
    assert observed.attributes()["gen_ai.request.model"] == "grok-4.7"


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_a_redirect_is_followed_within_one_span(asynchronous: bool, observed: Telemetry, server: Any) -> None:
    """Redirects belong to the exchange."""
    headers = {**HEADERS, "x-trouble": "redirect=2"}

    async def main() -> Any:
        async with niquests.AsyncSession() as session:
            return await session.post(server.url + PATH, json=BODY, headers=headers)

    if asynchronous:
        response = asyncio.run(main())
    else:
        with niquests.Session() as session:
            response = session.post(server.url + PATH, json=BODY, headers=headers)
    assert [entry.status_code for entry in response.history] == [307, 307]
    assert observed.attributes()["http.response.status_code"] == 200
    assert observed.attributes()["gen_ai.usage.input_tokens"] > 0


def test_a_stream_that_the_loop_closes_is_as_without_us(observed: Telemetry, recwarn: Any) -> None:
    """An asynchronous answer that is forgotten is gone when the application lets go of it: nothing of ours keeps it."""

    async def main(url: str) -> None:
        async with niquests.AsyncSession() as session:
            response = await session.post(url + PATH, json=STREAM, stream=True)
            chunks = await response.iter_content(10)
            await chunks.__anext__()
            del chunks, response
            await asyncio.sleep(0.05)
            assert len(observed.spans) == 1

    gc.disable()
    try:
        with replaying(*answer(EVENTS * 50), gap_s=0.01) as url:
            asyncio.run(main(url))
    finally:
        gc.enable()
    assert observed.attributes()["gen_ai.response.finish_reasons"] == ("error",)


def test_concurrent_calls_have_the_right_parents(observed: Telemetry, server: Any) -> None:
    """Fifteen tasks at once: each span is a child of the span that its own task opened."""
    tracer = observed.tracer_provider.get_tracer("application")

    async def one(session: Any, index: int) -> None:
        with tracer.start_as_current_span(f"task {index}") as parent:
            body = {**STREAM, "model": f"grok-{index}"}
            response = await session.post(server.url + PATH, json=body, headers=HEADERS, stream=True)
            async for _ in await response.iter_content():
                assert trace.get_current_span() is parent

    async def main() -> None:
        async with niquests.AsyncSession() as session:
            await asyncio.gather(*(one(session, index) for index in range(15)))

    asyncio.run(main())
    parents = {span.context.span_id: span.name for span in observed.exporter.get_finished_spans() if span.context}
    assert len(observed.spans) == 15
    for span in observed.spans:
        assert span.parent is not None
        assert parents[span.parent.span_id] == f"task {span.name.rpartition('-')[2]}"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_bystander_is_not_touched(stream: bool, observed: Telemetry) -> None:
    """Another path: no span, and the body's class is the library's; nor is what is suppressed."""
    with replaying(*answer([DOCUMENT])) as url, niquests.Session() as session:
        raw = session.post(url + "/v1/embeddings", json=BODY, stream=stream).raw
        assert "close" not in vars(type(raw)) or type(raw).__mro__[1].__name__ != type(raw).__name__
        with suppress_http_instrumentation():
            assert session.post(url + PATH, json=BODY).content == DOCUMENT
    assert observed.spans == []


@pytest.fixture
def http2_server() -> Iterator[str]:
    """The faithful server over HTTP/2, which is what connections that are shared need."""
    pytest.importorskip("h2")
    hypercorn = pytest.importorskip("hypercorn.asyncio")
    from hypercorn.config import Config

    from xai_server import create_app

    config = Config()
    config.bind = ["127.0.0.1:0"]
    config.accesslog = config.errorlog = None
    sockets = config.create_sockets()
    config.create_sockets = lambda: sockets  # type: ignore[method-assign]
    loop = asyncio.new_event_loop()
    done = asyncio.Event()
    serving = hypercorn.serve(create_app(), config, shutdown_trigger=done.wait)
    thread = threading.Thread(target=loop.run_until_complete, args=(serving,))
    thread.start()
    address = sockets.insecure_sockets[0].getsockname()
    for _ in range(200):  # until it listens
        with contextlib.suppress(OSError), socket.create_connection(address):
            break
        time.sleep(0.02)
    yield f"http://127.0.0.1:{address[1]}"
    loop.call_soon_threadsafe(done.set)
    thread.join(10)
    loop.close()


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("how", ["gathered", "asked"])
def test_promised_answers_are_seen_when_they_come(
    how: str, stream: bool, asynchronous: bool, observed: Telemetry, http2_server: str
) -> None:
    """Over one shared connection: nobody waits for a promise but the application, and each call is one span."""
    body, url = STREAM if stream else BODY, http2_server + PATH

    async def main() -> None:
        async with niquests.AsyncSession(multiplexed=True, disable_http1=True) as session:
            promises = [await session.post(url, json=body, headers=HEADERS, stream=stream) for _ in range(3)]
            assert [promise.lazy for promise in promises] == [True] * 3
            assert observed.spans == []
            if how == "gathered" or not stream:
                await session.gather()
            assert all([await promise.content if stream else promise.content for promise in promises])

    if asynchronous:
        asyncio.run(main())
    else:
        with niquests.Session(multiplexed=True, disable_http1=True) as session:
            promises = [session.post(url, json=body, headers=HEADERS, stream=stream) for _ in range(3)]
            assert [promise.lazy for promise in promises] == [True] * 3
            assert observed.spans == []
            if how == "gathered":
                session.gather()
            assert all(promise.content for promise in promises)
    assert [dict(span.attributes or {})["gen_ai.response.finish_reasons"] for span in observed.spans] == [("stop",)] * 3


def test_originals_come_back(instrument: Any) -> None:
    """``uninstrument()`` puts the very same functions back; a stream that outlives it ends its span."""
    originals = niquests.Session.send, niquests.AsyncSession.send, niquests.adapters.HTTPAdapter.send
    telemetry = instrument()
    with replaying(*answer(EVENTS)) as url, niquests.Session() as session:
        response = session.post(url + PATH, json=STREAM, stream=True)
        XAIInstrumentor().uninstrument()
        assert (niquests.Session.send, niquests.AsyncSession.send, niquests.adapters.HTTPAdapter.send) == originals
        assert response.content == WHOLE
        assert session.post(url + PATH, json=STREAM).content == WHOLE
    assert complete(telemetry)

"""What applications of httpx and httpx2 rely on, and what must not change when they are observed."""

import asyncio
import copy
import datetime
import functools
import gc
import gzip
import importlib
import importlib.util
import inspect
import json
import subprocess
import sys
import threading
import zlib
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from opentelemetry.instrumentation.utils import suppress_http_instrumentation, suppress_instrumentation
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from clients.loops import complaints
from clients.replay import answer, replaying
from conftest import Telemetry
from opentelemetry import context, propagate, trace
from opentelemetry.instrumentation.xai import XAIInstrumentor, guard
from opentelemetry.instrumentation.xai import observed as observed_module

MODULES = [name for name in ("httpx", "httpx2") if importlib.util.find_spec(name)]
BODY = {"model": "grok-4.7", "messages": [{"role": "user", "content": "hi"}]}
URL = "https://api.x.ai/v1/chat/completions"
ANSWER = {
    "id": "one",
    "model": "grok-4.7",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9},
}
EVENTS = [
    b'data: {"id":"one","model":"grok-4.7","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n',
    b'data: {"id":"one","model":"grok-4.7","choices":[{"index":0,"delta":{"content":"h\xc3\xa9"}}]}\n\n',
    b'data: {"id":"one","model":"grok-4.7","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
    b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}}\n\n',
    b"data: [DONE]\n\n",
]


@pytest.fixture(params=MODULES)
def lib(request: Any) -> Any:
    """httpx, then httpx2."""
    return importlib.import_module(request.param)


def mock_of(lib: Any, **response: Any) -> Any:
    """A transport that answers from memory."""
    return lib.MockTransport(lambda _request: lib.Response(200, **(response or {"json": ANSWER})))


# --- the application gets what it would have got ----------------------------------------------------------------------


def _sight(lib: Any, url: str, how: str) -> tuple[Any, ...]:
    """All that an application can see of an answer."""
    with lib.Client() as client:
        request = client.build_request("POST", f"{url}/v1/chat/completions", json=BODY)
        pieces: list[bytes] = []
        if how == "send":
            response = client.send(request)
            pieces.append(response.content)
        else:
            response = client.send(request, stream=True)
            try:
                pieces.extend(getattr(response, how)())
            except Exception as error:
                pieces.append(repr(type(error)).encode())
            finally:
                response.close()
        return (
            type(response),
            response.status_code,
            response.headers.raw,
            b"".join(piece if isinstance(piece, bytes) else piece.encode() for piece in pieces),
            response.is_closed,
            response.is_stream_consumed,
            response.num_bytes_downloaded,
            type(response.elapsed),
            response.encoding,
            response.http_version,
            [type(entry) for entry in response.history],
            sorted(response.extensions),
        )


@pytest.mark.parametrize("how", ["send", "iter_raw", "iter_bytes", "iter_text", "iter_lines"])
@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut"])
@pytest.mark.parametrize("coding", ["plain", "gzip", "damaged"])
def test_an_answer_looks_the_same_as_without_us(lib: Any, how: str, cut: bool, coding: str, instrument: Any) -> None:
    """Bytes, types, states, headers and exceptions are those of an uninstrumented run."""
    if cut and how == "send":
        pytest.skip("raises: has a test of its own")
    body = EVENTS
    if coding == "gzip":
        body = [gzip.compress(b"".join(EVENTS))]
    elif coding == "damaged":
        body = [b"\x1f\x8b this is no gzip"]
    if coding == "damaged" and how == "send":
        pytest.skip("raises: has a test of its own")
    headers = "" if coding == "plain" else "content-encoding: gzip\r\n"
    with replaying(*answer(body, headers=headers, cut=cut)) as url:
        without = _sight(lib, url, how)
        telemetry = instrument()
        assert _sight(lib, url, how) == without
        assert len(telemetry.spans) == 1


@pytest.mark.parametrize("case", ["cut", "damaged"])
def test_an_exception_is_the_one_without_us(lib: Any, case: str, instrument: Any) -> None:
    """A broken body raises the same type with the same text, streamed or not, and ends the span."""
    body, headers = (EVENTS, "") if case == "cut" else ([b"\x1f\x8b no gzip"], "content-encoding: gzip\r\n")
    parts = answer(body, content_type="application/json", headers=headers, cut=case == "cut")

    def failure(url: str) -> tuple[Any, str]:
        with lib.Client() as client, pytest.raises(lib.HTTPError) as caught:
            client.post(f"{url}/v1/chat/completions", json=BODY)
        return type(caught.value), str(caught.value)

    with replaying(*parts) as url:
        without = failure(url)
        telemetry = instrument()
        assert failure(url) == without
    expected = "stream_interrupted" if case == "cut" else f"{lib.__name__}.DecodingError"
    assert telemetry.attributes()["error.type"] == expected


def test_elapsed_is_there_after_reading_and_after_closing(lib: Any, observed: Telemetry, server: Any) -> None:
    """``Response.elapsed`` works, though httpx2 reads it from the stream that we replaced."""
    with lib.Client(headers={"authorization": "Bearer k"}) as client:
        url = f"{server.url}/v1/chat/completions"
        assert client.post(url, json=BODY).elapsed > datetime.timedelta(0)
        with client.stream("POST", url, json={**BODY, "stream": True}) as response:
            response.read()
        assert response.elapsed > datetime.timedelta(0)
    assert len(observed.spans) == 2


def test_a_request_leaves_as_it_was_but_for_the_trace_context(lib: Any, observed: Telemetry, server: Any) -> None:
    """Body and headers arrive as the application made them, plus the context of our span."""
    body = json.dumps({**BODY, "messages": [{"role": "user", "content": "\u6f22 \u00e9"}]}).encode()
    with lib.Client(headers={"authorization": "Bearer k", "x-own": "1"}) as client:
        client.post(f"{server.url}/v1/chat/completions", content=body, headers={"content-type": "application/json"})
    arrived = server.requests[-1]
    span = observed.span.get_span_context()
    assert arrived.body == body
    version, trace_id, span_id, flags = arrived.headers["traceparent"].split("-")
    assert (version, int(trace_id, 16), int(span_id, 16)) == ("00", span.trace_id, span.span_id)
    assert int(flags, 16) & 1
    assert set(arrived.headers) - {"traceparent"} == {
        "host", "accept", "accept-encoding", "connection", "user-agent", "authorization", "x-own", "content-type",
        "content-length",
    }  # fmt: skip


def test_a_redirect_is_followed_within_one_span(lib: Any, observed: Telemetry, server: Any) -> None:
    """Redirects belong to the exchange: one span, with the last answer's facts."""
    with lib.Client(headers={"authorization": "Bearer k"}, follow_redirects=True) as client:
        response = client.post(f"{server.url}/v1/chat/completions", json=BODY, headers={"x-trouble": "redirect=2"})
    assert [entry.status_code for entry in response.history] == [307, 307]
    assert observed.attributes()["http.response.status_code"] == 200
    assert observed.attributes()["gen_ai.usage.input_tokens"] > 0


def test_a_redirect_that_is_not_followed_is_an_answer(lib: Any, observed: Telemetry, server: Any) -> None:
    """Without following, the redirect itself is the answer."""
    with lib.Client(headers={"authorization": "Bearer k"}) as client:
        response = client.post(f"{server.url}/v1/chat/completions", json=BODY, headers={"x-trouble": "redirect=1"})
    assert response.next_request is not None
    assert observed.attributes()["http.response.status_code"] == 307


def test_an_auth_flow_is_one_exchange(lib: Any, observed: Telemetry, server: Any) -> None:
    """An auth class that answers a challenge makes two requests of one call."""

    class Challenge(lib.Auth):  # type: ignore[misc]
        requires_response_body = True

        def auth_flow(self, request: Any) -> Iterator[Any]:
            response = yield request
            assert response.status_code == 401
            assert b"error" in response.content
            request.headers["authorization"] = "Bearer k"
            yield request

    with lib.Client(auth=Challenge()) as client:
        assert client.post(f"{server.url}/v1/chat/completions", json=BODY).status_code == 200
    assert observed.attributes()["http.response.status_code"] == 200


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
def test_event_hooks_see_and_may_read_the_response(lib: Any, streamed: bool, observed: Telemetry, server: Any) -> None:
    """Hooks run as ever; a response that a hook has read is still observed in full."""
    seen: list[Any] = []

    def on_response(response: Any) -> None:
        seen.append((response.status_code, response.read()))

    hooks = {"request": [lambda request: seen.append(request.method)], "response": [on_response]}
    with lib.Client(headers={"authorization": "Bearer k"}, event_hooks=hooks) as client:
        request = client.build_request("POST", f"{server.url}/v1/chat/completions", json=BODY)
        response = client.send(request, stream=streamed)
        assert response.read() == seen[1][1]
    assert seen[0] == "POST"
    assert observed.attributes()["gen_ai.usage.input_tokens"] > 0


def test_mock_transports_are_observed(lib: Any, observed: Telemetry) -> None:
    """An answer that comes from memory counts, also where its body is a generator."""
    with lib.Client(transport=mock_of(lib)) as client:
        assert client.post(URL, json=BODY).json() == ANSWER
    with lib.Client(
        transport=mock_of(lib, content=iter(EVENTS), headers={"content-type": "text/event-stream"})
    ) as client:
        assert client.post(URL, json={**BODY, "stream": True}).content == b"".join(EVENTS)
    assert [dict(span.attributes or {})["gen_ai.usage.input_tokens"] for span in observed.spans] == [7, 7]


def test_asynchronous_custom_transports_are_observed(lib: Any, observed: Telemetry) -> None:
    """A transport of the application's own, with a byte stream of its own, is covered."""

    class Stream(lib.AsyncByteStream):  # type: ignore[misc]
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for event in EVENTS:
                yield event

    class Transport(lib.AsyncBaseTransport):  # type: ignore[misc]
        async def handle_async_request(self, _request: Any) -> Any:
            return lib.Response(200, headers={"content-type": "text/event-stream"}, stream=Stream())

    async def main() -> bytes:
        async with lib.AsyncClient(transport=Transport()) as client:
            async with client.stream("POST", URL, json={**BODY, "stream": True}) as response:
                return b"".join([piece async for piece in response.aiter_raw()])

    assert asyncio.run(main()) == b"".join(EVENTS)
    assert observed.attributes()["gen_ai.usage.output_tokens"] == 2


def test_a_transport_that_uses_another_client_is_one_exchange(lib: Any, observed: Telemetry) -> None:
    """A retrying or caching transport that sends through a client of its own is not counted twice."""
    inner = lib.Client(transport=mock_of(lib))

    class Outer(lib.BaseTransport):  # type: ignore[misc]
        def handle_request(self, request: Any) -> Any:
            response = inner.send(request)
            return lib.Response(response.status_code, headers=response.headers, content=response.content)

    with lib.Client(transport=Outer()) as client:
        client.post(URL, json=BODY)
    assert len(observed.spans) == 1


@pytest.mark.parametrize("stream_usage", ["observe", "request"])
def test_http2_is_observed(lib: Any, stream_usage: str, instrument: Any) -> None:
    """Several streams over one HTTP/2 connection, each with its own span."""
    observed: Telemetry = instrument(stream_usage=stream_usage)
    pytest.importorskip("h2")
    hypercorn = pytest.importorskip("hypercorn.asyncio")
    from hypercorn.config import Config

    from xai_server import create_app

    async def main() -> list[str]:
        config = Config()
        config.bind = ["127.0.0.1:0"]
        sockets = config.create_sockets()
        port = sockets.insecure_sockets[0].getsockname()[1]
        config.create_sockets = lambda: sockets  # type: ignore[method-assign]
        config.accesslog = config.errorlog = None
        done = asyncio.Event()
        serving = asyncio.create_task(hypercorn.serve(create_app(), config, shutdown_trigger=done.wait))
        for _ in range(100):  # until it listens
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            except OSError:
                await asyncio.sleep(0.02)
        async with lib.AsyncClient(http1=False, http2=True, headers={"authorization": "Bearer k"}) as client:

            async def one() -> str:
                url = f"http://127.0.0.1:{port}/v1/chat/completions"
                async with client.stream("POST", url, json={**BODY, "stream": True}) as response:
                    assert b"prompt_tokens" not in await response.aread()
                    return str(response.http_version)

            versions = await asyncio.gather(*(one() for _ in range(5)))
        done.set()
        await asyncio.wait_for(serving, 10)
        return versions

    assert asyncio.run(main()) == ["HTTP/2"] * 5
    assert len(observed.spans) == 5
    for span in observed.spans:
        attributes = dict(span.attributes or {})
        assert attributes["gen_ai.response.finish_reasons"] == ("stop",)
        assert ("gen_ai.usage.input_tokens" in attributes) is (stream_usage == "request")


def test_a_stream_object_can_be_copied_and_read_by_itself(lib: Any, observed: Telemetry) -> None:
    """The stream that we put in place is as good as the library's: copied, or read without its response."""
    headers = {"content-type": "text/event-stream"}
    with lib.Client(transport=mock_of(lib, content=iter(EVENTS), headers=headers)) as client:
        response = client.send(client.build_request("POST", URL, json={**BODY, "stream": True}), stream=True)
        assert type(copy.copy(response.stream)) is type(response.stream)
        chunks = iter(response.stream)
        del response
        gc.collect()
        assert list(chunks) == EVENTS
    assert [dict(span.attributes or {})["gen_ai.response.finish_reasons"] for span in observed.spans] == [("stop",)]


def test_headers_are_read_leniently(lib: Any, observed: Telemetry) -> None:
    """A media type in any case; several lines of one header are one list."""
    coded = zlib.compress(gzip.compress(b"".join(EVENTS)))
    headers = [("Content-Type", "Text/Event-Stream"), ("Content-Encoding", "gzip"), ("Content-Encoding", "deflate")]
    with lib.Client(transport=mock_of(lib, content=iter([coded]), headers=headers)) as client:
        client.post(URL, json={**BODY, "stream": True})
    assert observed.attributes()["gen_ai.usage.input_tokens"] == 7


def test_what_the_server_says_is_bounded(lib: Any, observed: Telemetry) -> None:
    """However long the names in an answer are, the span's are not."""
    long = "x" * 100_000
    answer = {"id": long, "model": long, "status": long, "prompt_cache_key": long, "usage": {"input_tokens": 1}}
    with lib.Client(transport=mock_of(lib, json=answer, headers={"x-request-id": long})) as client:
        client.post("https://api.x.ai/v1/responses", json={"model": long, "previous_response_id": long})
    assert max(len(str(value)) for value in observed.attributes().values()) <= 300


def test_a_coroutine_that_is_thrown_away_leaves_the_context_clean(lib: Any, observed: Telemetry) -> None:
    """A call that is driven by hand and closed in mid-send does not stay the current span."""

    class Never(lib.AsyncBaseTransport):  # type: ignore[misc]
        async def handle_async_request(self, _request: Any) -> Any:
            await Forever()

    class Forever:
        def __await__(self) -> Iterator[None]:
            yield

    async def main() -> None:
        before = context.get_current()
        work = lib.AsyncClient(transport=Never()).post(URL, json=BODY)
        work.send(None)
        work.close()
        assert context.get_current() == before

    asyncio.run(main())
    assert observed.attributes()["gen_ai.response.finish_reasons"] == ("error",)


# --- other wrappers around the same methods ------------------------------------------------------------------------------


@pytest.fixture
def wrapped_before(lib: Any, monkeypatch: Any) -> list[str]:
    """Somebody else's wrappers around both ``send`` methods, which look at the text of each answer that is not streamed."""
    texts: list[str] = []
    original, async_original = lib.Client.send, lib.AsyncClient.send

    @functools.wraps(original)
    def send(self: Any, request: Any, *, stream: bool = False, **more: Any) -> Any:
        response = original(self, request, stream=stream, **more)
        texts.append("" if stream else response.text)
        return response

    async def async_send(self: Any, request: Any, *, stream: bool = False, **more: Any) -> Any:
        response = await async_original(self, request, stream=stream, **more)
        texts.append("" if stream else response.text)
        return response

    monkeypatch.setattr(lib.Client, "send", send)
    monkeypatch.setattr(lib.AsyncClient, "send", async_send)
    return texts


def _post(lib: Any, url: str, body: Any, *, asynchronous: bool) -> Any:
    """Post in either colour."""
    if not asynchronous:
        with lib.Client(headers={"authorization": "Bearer k"}) as client:
            return client.post(url, json=body)

    async def main() -> Any:
        async with lib.AsyncClient(headers={"authorization": "Bearer k"}) as client:
            return await client.post(url, json=body)

    return asyncio.run(main())


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_a_wrapper_below_ours_gets_what_the_caller_asked_for(
    lib: Any, asynchronous: bool, wrapped_before: list[str], instrument: Any, server: Any
) -> None:
    """A wrapper that was there first still sees answers with their content, and the call is observed in full."""
    telemetry = instrument()
    url = f"{server.url}/v1/chat/completions"
    answers = [_post(lib, url, body, asynchronous=asynchronous).text for body in (BODY, {**BODY, "stream": True})]
    assert answers == wrapped_before
    assert [dict(span.attributes or {})["gen_ai.response.finish_reasons"] for span in telemetry.spans] == [
        ("stop",)
    ] * 2
    assert dict(telemetry.spans[0].attributes or {})["gen_ai.usage.input_tokens"] > 0


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("case", ["cut", "damaged", "refused"])
def test_a_wrapper_below_ours_changes_no_ending(
    lib: Any, asynchronous: bool, case: str, wrapped_before: list[str], instrument: Any
) -> None:
    """What breaks while such an answer is being read is told apart from what breaks before it."""
    body, headers = (EVENTS, "") if case == "cut" else ([b"\x1f\x8b no gzip"], "content-encoding: gzip\r\n")
    pieces = (
        [b""]
        if case == "refused"
        else answer(body, content_type="application/json", headers=headers, cut=case == "cut")
    )
    telemetry = instrument()
    with replaying(*pieces) as url, pytest.raises(lib.HTTPError) as caught:
        _post(lib, f"{url}/v1/chat/completions", BODY, asynchronous=asynchronous)
    attributes = telemetry.attributes()
    name = f"{lib.__name__}.{type(caught.value).__name__}"
    assert attributes["error.type"] == ("stream_interrupted" if case == "cut" else name)
    assert attributes.get("http.response.status_code") == (None if case == "refused" else 200)
    assert attributes.get("gen_ai.response.finish_reasons") == (None if case == "refused" else ("error",))


# --- bodies that break ---------------------------------------------------------------------------------------------------


def _coded(coding: str, *, damaged: bool) -> bytes:
    """The events in a coding, truncated or damaged in the middle."""
    content = b"".join(EVENTS[:1] * 200)
    if coding == "zstd":
        coded = pytest.importorskip("zstandard").compress(content)
    elif coding == "br":
        coded = pytest.importorskip("brotli").compress(content)
    else:
        coded = gzip.compress(content) if coding == "gzip" else zlib.compress(content)
    return b"\x00\xffno" + coded[4:] if damaged else coded[: len(coded) * 2 // 3]


@pytest.mark.combinations
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("how", ["send", "bytes", "lines"])
@pytest.mark.parametrize("damaged", [False, True], ids=["truncated", "damaged"])
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_a_body_that_cannot_be_decompressed_ends_as_the_application_saw_it(
    lib: Any, coding: str, damaged: bool, how: str, asynchronous: bool, observed: Telemetry
) -> None:
    """An ERROR named by the client's exception, or, where the client is content with the part, an interrupted stream."""
    with lib.Client() as client:
        if coding not in str(client.headers["accept-encoding"]):
            pytest.skip("the client library has no such decoder")
    pieces = answer([_coded(coding, damaged=damaged)], headers=f"content-encoding: {coding}\r\n")
    body = {**BODY, "stream": True}

    def read(url: str) -> None:
        with lib.Client() as client:
            if how == "send":
                client.post(url, json=body)
            else:
                with client.stream("POST", url, json=body) as response:
                    list(getattr(response, f"iter_{how}")())

    async def aread(url: str) -> None:
        async with lib.AsyncClient() as client:
            if how == "send":
                await client.post(url, json=body)
            else:
                async with client.stream("POST", url, json=body) as response:
                    async for _ in getattr(response, f"aiter_{how}")():
                        pass

    raised = None
    with replaying(*pieces) as url:
        try:
            asyncio.run(aread(f"{url}/v1/chat/completions")) if asynchronous else read(f"{url}/v1/chat/completions")
        except lib.DecodingError as error:
            raised = error
    expected = "stream_interrupted" if raised is None else f"{lib.__name__}.DecodingError"
    assert damaged is False or raised is not None
    assert observed.attributes()["error.type"] == expected
    assert observed.attributes()["gen_ai.response.finish_reasons"] == ("error",)
    assert observed.span.status.status_code is trace.StatusCode.ERROR


@pytest.mark.parametrize("how", ["send", "iter_raw", "iter_lines"])
@pytest.mark.parametrize("end", [b"", b'data: {"id":"one","choices":[{"ind'], ids=["between-events", "in-an-event"])
def test_a_stream_whose_end_is_the_connections_end_may_be_cut(
    lib: Any, how: str, end: bytes, observed: Telemetry
) -> None:
    """Without a length, a cut is no error of the connection: the answer shows that it never finished."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    with replaying(head, *EVENTS[:2], end) as url:
        _sight(lib, url, how)
    assert observed.attributes()["error.type"] == "stream_interrupted"
    assert observed.attributes()["gen_ai.response.finish_reasons"] == ("error",)


def test_a_stream_under_another_content_type_is_a_stream(lib: Any, observed: Telemetry) -> None:
    """A gateway that relays the events as plain text changes nothing, read whole or as a stream."""
    for how in ("send", "iter_bytes"):
        with replaying(*answer(EVENTS, content_type="text/plain")) as url, lib.Client() as client:
            request = client.build_request("POST", f"{url}/v1/chat/completions", json={**BODY, "stream": True})
            response = client.send(request, stream=how != "send")
            assert response.read() == b"".join(EVENTS)
    assert [
        (attributes["gen_ai.response.finish_reasons"], "xai.response.time_to_first_token" in attributes)
        for attributes in (dict(span.attributes or {}) for span in observed.spans)
    ] == [(("stop",), True)] * 2


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("how", ["raise_for_status", "read-first", "other"])
def test_a_response_hook_that_raises_hides_no_status(
    lib: Any, how: str, asynchronous: bool, observed: Telemetry, server: Any
) -> None:
    """A hook that turns an error status into an exception, as many applications have: the span says which status."""
    url, headers = f"{server.url}/v1/chat/completions", {"authorization": "Bearer k", "x-trouble": "status=429"}

    def check(response: Any) -> None:
        if how == "other":
            raise KeyError("no such header")
        response.raise_for_status()

    def hook(response: Any) -> None:
        if how == "read-first":
            response.read()
        check(response)

    async def async_hook(response: Any) -> None:
        if how == "read-first":
            await response.aread()
        check(response)

    async def main() -> None:
        async with lib.AsyncClient(event_hooks={"response": [async_hook]}, headers=headers) as client:
            await client.post(url, json=BODY)

    with pytest.raises((lib.HTTPStatusError, KeyError)):
        if asynchronous:
            asyncio.run(main())
        else:
            with lib.Client(event_hooks={"response": [hook]}, headers=headers) as client:
                client.post(url, json=BODY)
    assert observed.attributes()["http.response.status_code"] == 429
    assert observed.attributes()["error.type"] == "429"
    assert "xai.request.id" in observed.attributes()


def test_too_many_redirects_are_named_so(lib: Any, observed: Telemetry, server: Any) -> None:
    """A client that gives up on redirects raises its own exception, which is none of the redirects' status."""
    headers = {"authorization": "Bearer k", "x-trouble": "redirect=9"}
    with lib.Client(headers=headers, follow_redirects=True, max_redirects=2) as client:
        with pytest.raises(lib.TooManyRedirects):
            client.post(f"{server.url}/v1/chat/completions", json=BODY)
    assert observed.attributes()["error.type"] == f"{lib.__name__}.TooManyRedirects"
    assert "http.response.status_code" not in observed.attributes()


# --- breaking off ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def busy() -> Iterator[None]:
    """Threads that never let go of the interpreter by themselves."""
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            sum(range(1000))

    threads = [threading.Thread(target=work, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    yield
    done.set()
    for thread in threads:
        thread.join(10)


@pytest.mark.usefixtures("busy")
def test_closing_early_never_waits_for_another_thread(lib: Any, observed: Telemetry, monkeypatch: Any) -> None:
    """A stream that the application closes is recorded at once, in place: an event loop is not held up."""
    monkeypatch.setattr(observed_module._thread, "start_new_thread", lambda *_: pytest.fail("handed to a thread"))
    headers = {"content-type": "text/event-stream"}

    class Stream(lib.AsyncByteStream):  # type: ignore[misc]
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for event in EVENTS:
                yield event

    async def main() -> None:
        transport = lib.MockTransport(lambda _request: lib.Response(200, headers=headers, stream=Stream()))
        async with lib.AsyncClient(transport=transport) as client:
            async with client.stream("POST", URL, json={**BODY, "stream": True}) as response:
                chunks = response.aiter_raw()
                await chunks.__anext__()
                await response.aclose()
                assert len(observed.spans) == 1

    asyncio.run(main())
    assert observed.attributes()["gen_ai.response.finish_reasons"] == ("error",)


@pytest.mark.combinations
@pytest.mark.parametrize("how", ["aiter_raw", "aiter_bytes", "aiter_lines"])
def test_an_asynchronous_stream_that_is_left_open_is_closed_as_without_us(
    lib: Any, how: str, instrument: Any, server: Any
) -> None:
    """The event loop that ends closes the client's own generators, with what comes of it as ever, and none of ours."""

    async def main() -> None:
        client = lib.AsyncClient(headers={"authorization": "Bearer k"})
        url = f"{server.url}/v1/chat/completions"
        request = client.build_request("POST", url, json={**BODY, "stream": True}, headers={"x-trouble": "events=400"})
        response = await client.send(request, stream=True)
        chunks = getattr(response, how)()
        await chunks.__anext__()
        left_open.append((chunks, response))

    left_open: list[Any] = []
    without = complaints(main)
    if complaints(main) != without:
        pytest.skip("this version of the client is by itself not the same twice")
    telemetry: Telemetry = instrument()
    assert complaints(main) == without
    left_open.clear()
    gc.collect()
    assert len(telemetry.spans) == 10


# --- layers, and tasks that are none ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("within", ["task", "thread"])
def test_what_a_hook_starts_is_a_call_of_its_own(lib: Any, within: str, observed: Telemetry, server: Any) -> None:
    """A task or thread that is started while a request is sent inherits its context, and is observed all the same."""
    url = f"{server.url}/v1/chat/completions"
    other = {**BODY, "messages": [{"role": "user", "content": "Is this allowed?"}]}
    audits: list[Any] = []

    async def main() -> None:
        async with lib.AsyncClient(headers={"authorization": "Bearer k"}) as plain:

            async def audit(_request: Any) -> None:
                if within == "task":
                    audits.append(asyncio.create_task(plain.post(url, json=other)))
                else:
                    audits.append(asyncio.create_task(asyncio.to_thread(_post, lib, url, other, asynchronous=False)))
                await asyncio.sleep(0.05)  # it is sent while we are

            async with lib.AsyncClient(
                headers={"authorization": "Bearer k"}, event_hooks={"request": [audit], "response": []}
            ) as client:
                assert (await client.post(url, json=BODY)).status_code == 200
            for task in audits:
                assert (await task).status_code == 200

    asyncio.run(main())
    assert len(observed.spans) == 2


@pytest.mark.parametrize("new_task", [False, True], ids=["same-task", "task"])
def test_an_asynchronous_layer_below_is_the_same_exchange(
    lib: Any, new_task: bool, observed: Telemetry, server: Any
) -> None:
    """A transport that sends through a client of its own is one exchange, also where it does so in a task."""

    class Outer(lib.AsyncBaseTransport):  # type: ignore[misc]
        async def handle_async_request(self, request: Any) -> Any:
            async with lib.AsyncClient() as inner:
                sent = lib.Request(request.method, request.url, headers=request.headers, content=await request.aread())
                sending = inner.send(sent)
                response = await (asyncio.create_task(sending) if new_task else sending)
                return lib.Response(response.status_code, content=response.content)

    async def main() -> None:
        async with lib.AsyncClient(transport=Outer(), headers={"authorization": "Bearer k"}) as client:
            await client.post(f"{server.url}/v1/chat/completions", json=BODY)

    asyncio.run(main())
    assert len(observed.spans) == 1


# --- what is not ours is left alone -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("POST", "https://api.openai.com/v1/chat/completions"),
        ("POST", "https://management-api.x.ai/v1/chat/completions"),
        ("POST", "https://api.x.ai.example.com/v1/chat/completions"),
        ("POST", "https://api.x.ai/v1/embeddings"),
        ("GET", "https://api.x.ai/v1/responses/one"),
        ("GET", "https://api.x.ai/v1/models"),
    ],
)
def test_a_bystander_is_not_touched(lib: Any, method: str, url: str, observed: Telemetry) -> None:
    """Another host, or another path of xAI's: no span, no metric, no header, the stream as the library made it."""
    arrived: list[Any] = []

    def handle(request: Any) -> Any:
        arrived.append(request)
        return lib.Response(200, content=iter([b"{}"]))

    with lib.Client(transport=lib.MockTransport(handle)) as client:
        response = client.send(client.build_request(method, url), stream=True)
        assert "opentelemetry" not in type(response.stream).__module__
        response.read()
    assert "traceparent" not in arrived[0].headers
    assert observed.spans == []
    assert all(not points for points in observed.metrics().values())


@pytest.mark.parametrize("suppress", [suppress_instrumentation, suppress_http_instrumentation])
def test_suppression_is_honoured(lib: Any, suppress: Any, observed: Telemetry) -> None:
    """What runs under OpenTelemetry's suppression is not observed."""
    with lib.Client(transport=mock_of(lib)) as client:
        with suppress():
            client.post(URL, json=BODY)
        assert observed.spans == []
        client.post(URL, json=BODY)
    assert len(observed.spans) == 1


def test_without_a_request_body_that_is_known_the_call_is_still_a_span(lib: Any, observed: Telemetry) -> None:
    """A body that is a generator is not ours to read: the span has the answer's facts and no request model."""
    with lib.Client(transport=mock_of(lib)) as client:
        client.post(URL, content=iter([json.dumps(BODY).encode()]))
    assert observed.span.name == "chat"
    assert "gen_ai.request.model" not in observed.attributes()
    assert observed.attributes()["gen_ai.usage.input_tokens"] == 7


# --- parentage -------------------------------------------------------------------------------------------------------------


def test_fifty_concurrent_calls_have_the_right_parents(lib: Any, observed: Telemetry, server: Any) -> None:
    """Tasks: each span is a child of the span that its own task opened, and the context is clean afterwards."""
    tracer = observed.tracer_provider.get_tracer("application")

    async def one(client: Any, index: int) -> None:
        with tracer.start_as_current_span(f"task {index}") as parent:
            body = {**BODY, "stream": True, "model": f"grok-{index}"}
            async with client.stream("POST", f"{server.url}/v1/chat/completions", json=body) as response:
                assert trace.get_current_span() is parent
                async for _ in response.aiter_bytes():
                    assert trace.get_current_span() is parent
            assert trace.get_current_span() is parent

    async def main() -> None:
        async with lib.AsyncClient(headers={"authorization": "Bearer k"}, timeout=30) as client:
            await asyncio.gather(*(one(client, index) for index in range(50)))

    asyncio.run(main())
    parents = {span.context.span_id: span.name for span in observed.exporter.get_finished_spans() if span.context}
    assert len(observed.spans) == 50
    for span in observed.spans:
        assert span.parent is not None
        assert parents[span.parent.span_id] == f"task {span.name.rpartition('-')[2]}"


def test_threads_have_the_right_parents(lib: Any, observed: Telemetry, server: Any) -> None:
    """Threads: the same."""
    tracer = observed.tracer_provider.get_tracer("application")

    def one(index: int) -> None:
        with (
            tracer.start_as_current_span(f"thread {index}"),
            lib.Client(headers={"authorization": "Bearer k"}) as client,
        ):
            client.post(f"{server.url}/v1/chat/completions", json={**BODY, "model": f"grok-{index}"})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(16)))
    parents = {span.context.span_id: span.name for span in observed.exporter.get_finished_spans() if span.context}
    for span in observed.spans:
        assert span.parent is not None
        assert parents[span.parent.span_id] == f"thread {span.name.rpartition('-')[2]}"
    assert len(observed.spans) == 16


def test_the_span_is_current_only_while_sending(lib: Any, observed: Telemetry) -> None:
    """A transport's own span becomes a child of ours; what reads the body runs in the application's context."""
    current: list[Any] = []

    def body() -> Iterator[bytes]:
        for event in EVENTS:
            current.append(trace.get_current_span())
            yield event

    def handle(_request: Any) -> Any:
        current.append(trace.get_current_span())
        return lib.Response(200, headers={"content-type": "text/event-stream"}, content=body())

    with lib.Client(transport=lib.MockTransport(handle)) as client, client.stream("POST", URL, json=BODY) as response:
        response.read()
    ours = observed.span.get_span_context()
    assert current[0].get_span_context() == ours
    assert all(span is trace.INVALID_SPAN for span in current[1:])


def test_a_stream_may_be_closed_in_another_context(lib: Any, observed: Telemetry, server: Any, caplog: Any) -> None:
    """Closing a stream from another task, or thread, detaches nothing and logs nothing."""

    async def main() -> None:
        async with lib.AsyncClient(headers={"authorization": "Bearer k"}) as client:
            body = {**BODY, "stream": True}
            request = client.build_request("POST", f"{server.url}/v1/chat/completions", json=body)
            response = await asyncio.create_task(client.send(request, stream=True))
            await asyncio.create_task(response.aclose())

    asyncio.run(main())
    assert len(observed.spans) == 1
    assert "detach" not in caplog.text


def test_metrics_work_for_unsampled_spans(lib: Any, telemetry: Telemetry) -> None:
    """A sampler that drops every span costs no metric, and the context is propagated as not sampled."""
    provider = TracerProvider(sampler=ALWAYS_OFF)
    XAIInstrumentor().instrument(tracer_provider=provider, meter_provider=telemetry.meter_provider)
    try:
        with lib.Client(transport=mock_of(lib)) as client:
            request = client.build_request("POST", URL, json=BODY)
            client.send(request)
    finally:
        XAIInstrumentor().uninstrument()
    assert not int(request.headers["traceparent"].rpartition("-")[2], 16) & 1
    assert telemetry.spans == []
    assert telemetry.total("gen_ai.client.inference.usage.input_tokens") == 7
    assert telemetry.metrics()["gen_ai.client.operation.duration"][0].count == 1


# --- on and off ---------------------------------------------------------------------------------------------------------------


def test_clients_made_before_are_covered_and_originals_come_back(lib: Any, instrument: Any) -> None:
    """``instrument()`` covers clients that exist; ``uninstrument()`` puts the very same functions back."""
    originals = lib.Client.send, lib.AsyncClient.send
    signature = inspect.signature(lib.Client.send)
    with lib.Client(transport=mock_of(lib)) as client:
        telemetry = instrument()
        assert inspect.signature(lib.Client.send) == signature
        assert inspect.iscoroutinefunction(lib.AsyncClient.send)
        client.post(URL, json=BODY)
        kept = client.send
        XAIInstrumentor().uninstrument()
        assert (lib.Client.send, lib.AsyncClient.send) == originals
        client.post(URL, json=BODY)
        assert kept(client.build_request("POST", URL, json=BODY)).status_code == 200
    assert len(telemetry.spans) == 1


def test_a_stream_that_outlives_uninstrument_still_ends(lib: Any, instrument: Any, server: Any) -> None:
    """A call that has begun is told to its end, whatever is switched off meanwhile."""
    telemetry = instrument()
    with lib.Client(headers={"authorization": "Bearer k"}) as client:
        with client.stream("POST", f"{server.url}/v1/chat/completions", json={**BODY, "stream": True}) as response:
            XAIInstrumentor().uninstrument()
            response.read()
    assert telemetry.attributes()["gen_ai.response.finish_reasons"] == ("stop",)


def test_instrumenting_again_wraps_once(lib: Any, instrument: Any) -> None:
    """On, off and on again: one span for each call, also where another library has wrapped ours meanwhile."""
    original = lib.Client.send
    telemetry = instrument()
    ours = lib.Client.send

    def theirs(*args: Any, **kwargs: Any) -> Any:
        return ours(*args, **kwargs)

    theirs.__wrapped__ = ours  # type: ignore[attr-defined]
    lib.Client.send = theirs
    try:
        XAIInstrumentor().uninstrument()
        assert lib.Client.send is theirs
        with lib.Client(transport=mock_of(lib)) as client:
            client.post(URL, json=BODY)
            assert telemetry.spans == []
            instrument()
            client.post(URL, json=BODY)
        assert len(telemetry.spans) == 1
    finally:
        lib.Client.send = original


def test_subclasses_that_override_send_are_covered(lib: Any, observed: Telemetry) -> None:
    """A client class of the application's own still passes the wrapped method."""

    class Own(lib.Client):  # type: ignore[misc]
        def send(self, *args: Any, **kwargs: Any) -> Any:
            return super().send(*args, **kwargs)

    with Own(transport=mock_of(lib)) as client:
        client.post(URL, json=BODY)
    assert len(observed.spans) == 1


@pytest.mark.skipif(len(MODULES) < 2, reason="needs both httpx and httpx2")
def test_alias_httpx_does_not_wrap_twice() -> None:
    """When httpx2 stands in for httpx, one class is seen under two names and wrapped once."""
    program = """
import httpx2
if not hasattr(httpx2, "alias_httpx"):
    raise SystemExit(0)
httpx2.alias_httpx()
import httpx
assert httpx.Client is httpx2.Client
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.instrumentation.xai import XAIInstrumentor
original = httpx2.Client.send
exporter, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
XAIInstrumentor().instrument(tracer_provider=provider)
transport = httpx.MockTransport(lambda request: httpx.Response(200, json={}))
httpx.Client(transport=transport).post("https://api.x.ai/v1/chat/completions", json={})
assert len(exporter.get_finished_spans()) == 1, exporter.get_finished_spans()
XAIInstrumentor().uninstrument()
assert httpx2.Client.send is original
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_library_that_is_imported_later_is_patched_then() -> None:
    """``instrument()`` imports no client library; the application's own import brings the patch."""
    program = f"""
import sys
from opentelemetry.instrumentation.xai import XAIInstrumentor
XAIInstrumentor().instrument()
assert not {{"httpx", "httpx2"}} & set(sys.modules), sys.modules.keys()
import {MODULES[-1]} as lib
assert hasattr(lib.Client.send, "__wrapped__")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


# --- our own faults --------------------------------------------------------------------------------------------------------------

MOMENTS = [
    "opentelemetry.instrumentation.xai.observer.read_request",
    "opentelemetry.instrumentation.xai.telemetry.recorder.Recorder.begin",
    "opentelemetry.propagate.inject",
    "opentelemetry.instrumentation.xai.exchange.Exchange.headers_received",
    "opentelemetry.instrumentation.xai.exchange.Exchange.bytes_received",
    "opentelemetry.instrumentation.xai.exchange.Exchange.content_received",
    "opentelemetry.instrumentation.xai.exchange.Exchange.end",
    "opentelemetry.instrumentation.xai.telemetry.recorder.Recorder.record",
    "opentelemetry.instrumentation.xai.telemetry.spans.OwnSpan.finish",
]


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment.rpartition("xai.")[2])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
def test_a_fault_of_ours_is_logged_once_and_goes_no_further(
    lib: Any, moment: str, streamed: bool, observed: Telemetry, monkeypatch: Any, caplog: Any
) -> None:
    """A bug at any moment: the application gets its answer, and the log one line that quotes nothing."""

    def broken(*_args: Any, **_kwargs: Any) -> Any:
        raise ValueError("canary: what the application sent")

    monkeypatch.setattr(guard, "raise_faults", False)
    monkeypatch.setattr(moment, broken)
    content = (
        {"content": iter(EVENTS * 2), "headers": {"content-type": "text/event-stream"}}
        if streamed
        else {"json": ANSWER}
    )
    before = context.get_current()
    with lib.Client(transport=mock_of(lib, **content)) as client:
        response = client.post(URL, json={**BODY, "stream": streamed})
    assert response.content == (b"".join(EVENTS * 2) if streamed else response.content)
    assert context.get_current() == before
    del response
    gc.collect()
    reached = not (streamed and "content_received" in moment) and not (not streamed and "bytes_received" in moment)
    faults = [record for record in caplog.records if "Telemetry for xAI failed" in record.getMessage()]
    assert len(faults) == (1 if reached else 0)
    assert "canary" not in caplog.text


@pytest.mark.parametrize("moment", MOMENTS[2:-1], ids=lambda moment: moment.rpartition("xai.")[2])
def test_after_a_fault_the_span_still_ends(lib: Any, moment: str, observed: Telemetry, monkeypatch: Any) -> None:
    """What was understood before a fault is exported: a span is never lost for a bug in reading an answer."""

    def broken(*_args: Any, **_kwargs: Any) -> Any:
        raise ValueError

    monkeypatch.setattr(guard, "raise_faults", False)
    monkeypatch.setattr(moment, broken)
    with lib.Client(
        transport=mock_of(lib, content=iter(EVENTS), headers={"content-type": "text/event-stream"})
    ) as client:
        client.post(URL, json={**BODY, "stream": True})
    assert observed.span.name == "chat grok-4.7"


def test_under_the_test_suite_a_fault_is_raised(lib: Any, observed: Telemetry, monkeypatch: Any) -> None:
    """For us, a bug is loud."""

    def broken(*_args: Any, **_kwargs: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(MOMENTS[0], broken)
    with lib.Client(transport=mock_of(lib)) as client, pytest.raises(ZeroDivisionError):
        client.post(URL, json=BODY)


def test_a_forgotten_stream_is_recorded_even_if_the_collector_runs_inside_a_lock(lib: Any, observed: Telemetry) -> None:
    """The collector may run while this very thread holds a lock that recording needs: no deadlock, and no loss."""
    with lib.Client(
        transport=mock_of(lib, content=iter(EVENTS), headers={"content-type": "text/event-stream"})
    ) as client:
        response = client.send(client.build_request("POST", URL, json={**BODY, "stream": True}), stream=True)
        chunks = response.iter_raw()
        next(chunks)
        exported = threading.Event()
        lock = threading.Lock()

        class Locked:
            def on_start(self, *_args: Any, **_kwargs: Any) -> None: ...

            def _on_ending(self, *_args: Any) -> None: ...

            def on_end(self, _span: Any) -> None:
                with lock:
                    exported.set()

            def shutdown(self) -> None: ...

            def force_flush(self, *_args: Any) -> bool:
                return True

        observed.tracer_provider.add_span_processor(Locked())  # type: ignore[arg-type]
        with lock:
            del response, chunks
            gc.collect()
            assert not exported.is_set()
        assert exported.wait(5)
    assert observed.attributes()["gen_ai.response.finish_reasons"] == ("error",)


def test_the_propagators_of_the_application_are_used(lib: Any, observed: Telemetry) -> None:
    """What is written into the request is up to the configured propagator."""

    class Own:
        fields = {"x-own-trace"}

        def inject(self, carrier: Any, context: Any = None, setter: Any = None) -> None:
            setter.set(carrier, "x-own-trace", "here")

        def extract(self, carrier: Any, context: Any = None, getter: Any = None) -> Any:
            return context

    before = propagate.get_global_textmap()
    propagate.set_global_textmap(Own())  # type: ignore[arg-type]
    with lib.Client(transport=mock_of(lib)) as client:
        request = client.build_request("POST", URL, json=BODY)
        client.send(request)
    propagate.set_global_textmap(before)
    assert request.headers["x-own-trace"] == "here"
    assert "traceparent" not in request.headers
    assert len(observed.spans) == 1

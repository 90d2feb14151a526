"""What applications of aiohttp rely on, and what must not change when they are observed."""

import asyncio
import gc
import gzip
import io
import json
import warnings
import zlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any
from unittest import mock

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from clients.gateway import events, serving
from clients.replay import answer, replaying
from conftest import Telemetry
from opentelemetry import context, trace
from opentelemetry.instrumentation.xai import XAIInstrumentor, guard

aiohttp = pytest.importorskip("aiohttp")
from aiohttp import test_utils, web  # noqa: E402  they need it

BODY = {"model": "grok-4.7", "messages": [{"role": "user", "content": "hi"}]}
STREAM = {**BODY, "stream": True}
PATH = "/v1/chat/completions"
ANSWER = json.dumps(
    {
        "id": "one",
        "model": "grok-4.7",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9},
    }
).encode()
EVENTS = [
    b'data: {"id":"one","model":"grok-4.7","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n',
    b'data: {"id":"one","model":"grok-4.7","choices":[{"index":0,"delta":{"content":"h\xc3\xa9"}}]}\n\n',
    b'data: {"id":"one","model":"grok-4.7","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
    b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}}\n\n',
    b"data: [DONE]\n\n",
]
RAW = b"".join(EVENTS)


def run(work: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> Any:
    """Run a program."""
    return asyncio.run(work(*arguments))


@asynccontextmanager
async def posted(url: str, body: Any = STREAM, **session: Any) -> AsyncIterator[Any]:
    """A response to a request of a session of its own."""
    async with aiohttp.ClientSession(**session) as client, client.post(url + PATH, json=body) as response:
        yield response


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    """A span's attributes."""
    return dict(span.attributes or {})


# --- all ways of reading ------------------------------------------------------------------------------------------------


async def _pieces(reading: Any) -> bytes:
    return b"".join([piece if isinstance(piece, bytes) else piece[0] async for piece in reading])


async def _until_empty(read: Callable[[], Any]) -> bytes:
    pieces = []
    while True:
        piece = await read()
        piece, last = (piece, not piece) if isinstance(piece, bytes) else (piece[0], piece == (b"", False))
        if last:
            return b"".join(pieces)
        pieces.append(piece)


async def _nowait(response: Any) -> bytes:
    pieces = []
    while not response.content.at_eof():
        pieces.append(response.content.read_nowait() or await response.content.read(1))
    return b"".join(pieces)


async def _encoded(text: Any) -> bytes:
    return str(await text).encode()


WAYS: dict[str, Callable[[Any], Any]] = {
    "read": lambda response: response.read(),
    "text": lambda response: _encoded(response.text()),
    "content.read": lambda response: response.content.read(),
    "content.read(n)": lambda response: _until_empty(lambda: response.content.read(7)),
    "readany": lambda response: _until_empty(response.content.readany),
    "readchunk": lambda response: _until_empty(response.content.readchunk),
    "readline": lambda response: _until_empty(response.content.readline),
    "readuntil": lambda response: _until_empty(lambda: response.content.readuntil(b"\n\n")),
    "readexactly": lambda response: response.content.readexactly(len(RAW)),
    "read_nowait": _nowait,
    "async for": lambda response: _pieces(response.content),
    "iter_any": lambda response: _pieces(response.content.iter_any()),
    "iter_chunked": lambda response: _pieces(response.content.iter_chunked(11)),
    "iter_chunks": lambda response: _pieces(response.content.iter_chunks()),
}
every_way = pytest.mark.parametrize("way", WAYS)


@every_way
@pytest.mark.parametrize("size", [1, 50, 100_000], ids=["bytes", "pieces", "whole"])
def test_every_way_of_reading_is_seen(way: str, size: int, observed: Telemetry) -> None:
    """Whatever takes the body, wherever it was cut, the application gets its bytes and the span all facts."""
    pieces = [RAW[start : start + size] for start in range(0, len(RAW), size)]

    async def main(url: str) -> None:
        async with posted(url) as response:
            assert await WAYS[way](response) == RAW

    with replaying(*answer(pieces)) as url:
        run(main, url)
    attributes = observed.attributes()
    assert attributes["gen_ai.response.finish_reasons"] == ("stop",)
    assert (attributes["gen_ai.usage.input_tokens"], attributes["gen_ai.usage.output_tokens"]) == (7, 2)
    assert "gen_ai.response.time_to_first_chunk" in attributes


def test_json_is_seen(observed: Telemetry) -> None:
    """``response.json()`` of an answer that is not streamed."""

    async def main(url: str) -> None:
        async with posted(url, BODY) as response:
            assert (await response.json())["id"] == "one"

    with replaying(*answer([ANSWER[:9], ANSWER[9:]], content_type="application/json")) as url:
        run(main, url)
    assert observed.attributes()["gen_ai.usage.input_tokens"] == 7


def test_what_had_arrived_before_the_headers_were_told_is_seen(observed: Telemetry) -> None:
    """The whole answer in one packet lies in the reader before the application has its response."""

    async def main(url: str) -> None:
        async with posted(url) as response:
            await asyncio.sleep(0.05)
            assert not observed.spans
            assert response.content.is_eof()
            assert await response.content.read() == RAW

    with replaying(b"".join(answer([RAW]))) as url:
        run(main, url)
    assert observed.attributes()["gen_ai.usage.input_tokens"] == 7


def test_the_reader_alone_is_enough(observed: Telemetry) -> None:
    """An application that keeps ``response.content`` and lets the response go is not taken for one that left."""

    async def main(url: str) -> None:
        async with aiohttp.ClientSession() as client:
            content = (await client.post(url + PATH, json=STREAM)).content
            await asyncio.sleep(0.05)
            gc.collect()
            assert not observed.spans
            assert await _pieces(content.iter_any()) == RAW

    with replaying(*answer(EVENTS)) as url:
        run(main, url)
    assert observed.attributes()["gen_ai.response.finish_reasons"] == ("stop",)


def test_the_span_ends_with_the_terminal_event(observed: Telemetry) -> None:
    """Not with the connection, whatever the application does after it."""

    async def main(url: str) -> None:
        async with posted(url) as response:
            async for line in response.content:
                assert bool(observed.spans) is (b"[DONE]" in line)
                if observed.spans:
                    break

    with replaying(*answer(EVENTS)) as url:
        run(main, url)
    assert len(observed.spans) == 1


def test_a_read_that_is_given_up_does_not_end_the_call(observed: Telemetry) -> None:
    """``wait_for`` around a single read is a heartbeat: the application goes on reading."""

    async def main(url: str) -> None:
        async with posted(url) as response:
            pieces, waits = [], 0
            while not response.content.at_eof():
                try:
                    pieces.append(await asyncio.wait_for(response.content.readany(), 0.02))
                except asyncio.TimeoutError:
                    waits += 1
            assert b"".join(pieces) == RAW
            assert waits > 2

    with replaying(*answer(EVENTS), gap_s=0.06) as url:
        run(main, url)
    assert observed.attributes()["gen_ai.response.finish_reasons"] == ("stop",)


@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut"])
@pytest.mark.parametrize("coding", ["plain", "gzip", "damaged"])
@pytest.mark.parametrize("way", ["read", "readany", "async for", "iter_chunks"])
def test_an_answer_looks_the_same_as_without_us(way: str, coding: str, cut: bool, instrument: Any) -> None:
    """Bytes, types, states, headers and exceptions are those of an uninstrumented run."""

    class Own(aiohttp.ClientResponse):  # type: ignore[misc]
        pass

    async def sight(url: str) -> tuple[Any, ...]:
        async with posted(url, response_class=Own) as response:
            await asyncio.sleep(0.05)  # all of it has arrived: no race of what is read before the cut
            try:
                got = await WAYS[way](response)
            except Exception as error:
                got = (type(error), str(error), type(error.__cause__))
            return (
                got, type(response), response.status, response.raw_headers, response.closed, response.connection is None,
                isinstance(response.content, aiohttp.StreamReader), type(response.content).__name__,
                response.content.at_eof(), response.content.total_bytes, type(response.content.exception()),
                repr(response.content), response.method, response.request_info.method, response.url, response.ok,
            )  # fmt: skip

    body = EVENTS if coding == "plain" else [gzip.compress(RAW) if coding == "gzip" else b"\x1f\x8b this is no gzip"]
    headers = "" if coding == "plain" else "content-encoding: gzip\r\n"
    with replaying(*answer(body, headers=headers, cut=cut)) as url:
        without = run(sight, url)
        telemetry = instrument()
        assert run(sight, url) == without
    failed = cut or coding == "damaged"
    expected = "aiohttp.http_exceptions.ContentEncodingError" if coding == "damaged" else "stream_interrupted"
    assert telemetry.attributes().get("error.type") == (expected if failed else None)


# --- content codings -----------------------------------------------------------------------------------------------------


def _coded(coding: str, content: bytes) -> bytes:
    if coding not in aiohttp.ClientRequest.DEFAULT_HEADERS["Accept-Encoding"]:
        pytest.skip("aiohttp has no such decoder")
    if coding in ("gzip", "deflate"):
        return gzip.compress(content) if coding == "gzip" else zlib.compress(content)
    compressed: bytes = pytest.importorskip({"br": "brotli", "zstd": "zstandard"}[coding]).compress(content)
    return compressed


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
@pytest.mark.parametrize("plain", [True, False], ids=["decompressed", "as-sent"])
@pytest.mark.parametrize("where", ["session", "request"])
def test_a_compressed_body_is_read_as_the_application_gets_it(
    coding: str, plain: bool, where: str, observed: Telemetry
) -> None:
    """Decompressed by aiohttp, or, with ``auto_decompress=False``, as on the wire."""
    coded = _coded(coding, RAW)
    of_session, of_request = (
        ({"auto_decompress": plain}, {}) if where == "session" else ({}, {"auto_decompress": plain})
    )

    async def main(url: str) -> bytes:
        async with aiohttp.ClientSession(**of_session) as client:
            async with client.post(url + PATH, json=STREAM, **of_request) as response:
                assert response.headers["content-encoding"] == coding
                body: bytes = await response.read()
                return body

    pieces = [coded[:20], coded[20:41], coded[41:]]
    with replaying(*answer(pieces, headers=f"content-encoding: {coding}\r\n")) as url:
        assert run(main, url) == (RAW if plain else coded)
    assert observed.attributes()["gen_ai.usage.input_tokens"] == 7


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
@pytest.mark.parametrize("damaged", [False, True], ids=["truncated", "damaged"])
def test_a_body_that_cannot_be_decompressed_ends_as_the_application_saw_it(
    coding: str, damaged: bool, observed: Telemetry
) -> None:
    """An ERROR named by what is wrong with it, or, where aiohttp is content with the part, an interrupted stream."""
    if (coding, damaged) == ("deflate", False):
        pytest.skip("for the rest of it, aiohttp waits for ever")
    coded = _coded(coding, EVENTS[0] * 200)
    coded = b"\x00\xffno" + coded[4:] if damaged else coded[: len(coded) * 2 // 3]

    async def main(url: str) -> Any:
        async with posted(url) as response:
            try:
                await _pieces(response.content.iter_any())
            except aiohttp.ClientError as error:
                return error

    with replaying(*answer([coded], headers=f"content-encoding: {coding}\r\n")) as url:
        raised = run(main, url)
    assert raised is not None or not damaged
    named = raised is not None and "content-encoding" in str(raised)
    expected = "aiohttp.http_exceptions.ContentEncodingError" if named else "stream_interrupted"
    assert observed.attributes()["error.type"] == expected
    assert observed.attributes()["gen_ai.response.finish_reasons"] == ("error",)


# --- endings ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("timeout", "trouble"),
    [
        ({"total": 0.3}, "stall"), ({"total": 0.3}, "stall_after=3"),
        ({"sock_read": 0.3}, "stall"), ({"sock_read": 0.3}, "stall_after=3"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("way", ["read", "iter_any", "async for"])
def test_a_timeout_of_the_clients_is_a_timeout(
    timeout: Any, trouble: str, way: str, server: Any, observed: Telemetry
) -> None:
    """Of the whole or of a single read, before the headers or in mid-body."""

    async def main() -> None:
        headers = {"authorization": "Bearer k", "x-trouble": trouble}
        with pytest.raises(asyncio.TimeoutError):
            async with posted(server.url, headers=headers, timeout=aiohttp.ClientTimeout(**timeout)) as response:
                await WAYS[way](response)

    run(main)
    assert observed.attributes()["error.type"] == "timeout"


def test_time_that_is_over_between_two_reads_is_a_timeout(observed: Telemetry) -> None:
    """The application took too long itself: its next read says so."""

    async def main(url: str) -> None:
        async with posted(url, timeout=aiohttp.ClientTimeout(total=0.2)) as response:
            await response.content.readline()
            await asyncio.sleep(0.3)
            with pytest.raises(asyncio.TimeoutError):
                await response.content.readany()

    with replaying(*answer(EVENTS), gap_s=0.15) as url:
        run(main, url)
    assert observed.attributes()["error.type"] == "timeout"


@pytest.mark.parametrize("how", ["close", "release", "context"])
@pytest.mark.parametrize("arrived", [False, True], ids=["open", "arrived"])
def test_a_response_that_is_left_is_no_error(how: str, arrived: bool, observed: Telemetry) -> None:
    """Closing or releasing a response unread is the application's right, also if all of it had arrived."""

    async def main(url: str) -> None:
        async with aiohttp.ClientSession() as client:
            response = await client.post(url + PATH, json=STREAM)
            await response.content.readline()
            if arrived:
                await asyncio.sleep(0.2)
            assert not observed.spans
            if how == "context":
                async with response:
                    pass
            else:
                getattr(response, how)()
            assert len(observed.spans) == 1

    with replaying(*answer(EVENTS), gap_s=0.02) as url:
        run(main, url)
    attributes = observed.attributes()
    assert observed.span.status.status_code is trace.StatusCode.UNSET
    assert attributes["gen_ai.response.finish_reasons"] == ("error",)
    assert "error.type" not in attributes


def test_a_forgotten_response_ends_when_its_body_has_arrived(observed: Telemetry) -> None:
    """aiohttp keeps a response until then; the connection that is idle afterwards does not keep its reader."""

    async def main(url: str) -> None:
        async with aiohttp.ClientSession() as client:
            await (await client.post(url + PATH, json=STREAM)).content.readline()
            gc.collect()
            assert not observed.spans
            await asyncio.sleep(0.3)
            gc.collect()
            assert len(observed.spans) == 1

    with replaying(*answer(EVENTS), gap_s=0.02) as url:
        run(main, url)
    assert observed.attributes()["gen_ai.response.finish_reasons"] == ("error",)


def test_a_session_that_is_closed_leaves_its_responses(observed: Telemetry) -> None:
    """Reading on from a response of a closed session fails: the application's doing, no error."""

    async def main(url: str) -> None:
        client = aiohttp.ClientSession()
        response = await client.post(url + PATH, json=STREAM)
        await response.content.readline()
        await client.close()
        await asyncio.sleep(0)
        with pytest.raises((RuntimeError, asyncio.TimeoutError)):  # older versions wait for ever
            await asyncio.wait_for(_pieces(response.content.iter_any()), 0.2)
        response.close()

    with replaying(*answer(EVENTS), gap_s=0.1) as url:
        run(main, url)
    assert observed.span.status.status_code is trace.StatusCode.UNSET
    assert observed.attributes()["gen_ai.response.finish_reasons"] == ("error",)


def test_a_coroutine_that_is_thrown_away_leaves_the_context_clean(observed: Telemetry, server: Any) -> None:
    """A request that is driven by hand and closed in mid-send does not stay the current span; one never begun has none."""

    async def main() -> None:
        async with aiohttp.ClientSession() as client:
            before = context.get_current()
            work = client._request("POST", server.url + PATH, json=BODY)
            work.send(None)
            work.close()
            assert context.get_current() == before
            client._request("POST", server.url + PATH, json=BODY).close()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        run(main)
    assert observed.attributes()["gen_ai.response.finish_reasons"] == ("error",)


@pytest.mark.parametrize("given", ["session", "request", "callable", "method"])
def test_a_status_that_is_raised_is_the_status(given: str, server: Any, observed: Telemetry) -> None:
    """``raise_for_status`` in all its forms: the response that had arrived is known."""

    async def read_and_raise(response: Any) -> None:
        if response.status >= 400:
            raise LookupError((await response.json())["error"])

    async def main() -> None:
        headers = {"authorization": "Bearer k", "x-trouble": "status=429"}
        async with aiohttp.ClientSession(headers=headers, raise_for_status=given == "session") as client:
            options = {"request": {"raise_for_status": True}, "callable": {"raise_for_status": read_and_raise}}
            with pytest.raises(LookupError if given == "callable" else aiohttp.ClientResponseError):
                response = await client.post(server.url + PATH, json=BODY, **options.get(given, {}))
                assert given == "method"
                response.raise_for_status()

    run(main)
    attributes = observed.attributes()
    assert (attributes["error.type"], attributes["http.response.status_code"]) == ("429", 429)


# --- what is sent -----------------------------------------------------------------------------------------------------------


class _Payload(aiohttp.payload.BytesPayload):  # type: ignore[misc]
    pass


async def _generated(body: bytes) -> AsyncIterator[bytes]:
    yield body


def _as_file(body: bytes, behind: int = 3) -> io.BytesIO:
    file = io.BytesIO(b"-" * behind + body)
    file.seek(behind)
    return file


FORMS: dict[str, Callable[[bytes], dict[str, Any]]] = {
    "json": lambda body: {"json": json.loads(body)},
    "bytes": lambda body: {"data": body},
    "bytearray": lambda body: {"data": bytearray(body)},
    "str": lambda body: {"data": body.decode()},
    "payload": lambda body: {"data": _Payload(body, content_type="application/json")},
    "BytesIO": lambda body: {"data": _as_file(body)},
    "StringIO": lambda body: {"data": io.StringIO(body.decode())},
    "compressed": lambda body: {"json": json.loads(body), "compress": True},
    "generator": lambda body: {"data": _generated(body)},
    "file": lambda body: {"data": io.BufferedReader(_as_file(body, 0))},  # type: ignore[arg-type]
}


@pytest.mark.parametrize("form", FORMS)
def test_a_request_leaves_as_it_was_but_for_the_trace_context(form: str, instrument: Any, server: Any) -> None:
    """Body and headers arrive as without us, plus the context of our span; what can be known of the body is."""
    body = json.dumps({**BODY, "messages": [{"role": "user", "content": "\u6f22 \u00e9"}]}).encode()

    async def main() -> None:
        async with aiohttp.ClientSession(headers={"authorization": "Bearer k", "x-own": "1"}) as client:
            headers = [("x-two", "1"), ("x-two", "2"), ("x-own", "2")]
            async with client.post(server.url + PATH, headers=headers, **FORMS[form](body)) as response:
                await response.read()

    run(main)
    without = server.requests[-1]
    telemetry = instrument()
    run(main)
    arrived = server.requests[-1]
    span = telemetry.span.get_span_context()
    assert arrived.body == without.body
    assert [each for each in arrived.headers.items() if each[0] != "traceparent"] == without.headers.items()
    version, trace_id, span_id, _flags = arrived.headers["traceparent"].split("-")
    assert (version, int(trace_id, 16), int(span_id, 16)) == ("00", span.trace_id, span.span_id)
    known = form not in ("generator", "file")
    assert telemetry.attributes().get("gen_ai.request.model") == ("grok-4.7" if known else None)


def test_a_body_is_serialised_once(observed: Telemetry, server: Any) -> None:
    """By the session's own serialiser."""
    calls: list[Any] = []

    def serialise(document: Any) -> str:
        calls.append(document)
        return json.dumps({**document, "model": "grok-4.7-own"})

    async def main() -> None:
        async with aiohttp.ClientSession(json_serialize=serialise, headers={"authorization": "Bearer k"}) as client:
            await (await client.post(server.url + PATH, json=BODY)).read()
            await (await client.post(server.url + "/v1/elsewhere", json=BODY)).read()

    run(main)
    assert calls == [BODY, BODY]
    assert observed.attributes()["gen_ai.request.model"] == "grok-4.7-own"


def test_headers_are_those_of_session_and_request(observed: Telemetry, server: Any) -> None:
    """The request's over the session's; the application's own mapping stays as it was."""
    own = {"X-Grok-Conv-Id": "of-the-request"}

    async def main() -> None:
        headers = {"x-grok-conv-id": "of-the-session", "authorization": "Bearer k"}
        async with aiohttp.ClientSession(headers=headers) as client:
            for given in ({}, own):
                await (await client.post(server.url + PATH, json=BODY, headers=given)).read()

    run(main)
    assert own == {"X-Grok-Conv-Id": "of-the-request"}
    ids = [attributes_of(span)["gen_ai.conversation.id"] for span in observed.spans]
    assert ids == ["of-the-session", "of-the-request"]


@pytest.mark.parametrize("target", ["string", "URL", "relative", "relative URL", "keyword", "function"])
def test_a_target_in_any_form_is_ours(target: str, observed: Telemetry, server: Any) -> None:
    """A string, a URL, relative to the session's, with parameters, and ``aiohttp.request``."""
    from yarl import URL

    async def main() -> None:
        headers = {"authorization": "Bearer k"}
        if target == "function":
            async with aiohttp.request("post", server.url + PATH, json=BODY, headers=headers) as response:
                await response.read()
            return
        base = server.url if "relative" in target else None  # older versions take no other URL beside it
        async with aiohttp.ClientSession(base, headers=headers) as client:
            if target == "keyword":
                request = client._request(method="POST", str_or_url=server.url + PATH, json=BODY)
            else:
                forms = {"string": server.url + PATH, "relative": PATH}
                url = forms[target.partition(" ")[0]] if "URL" not in target else None
                if url is None:
                    url = URL(PATH) if target == "relative URL" else URL(server.url + PATH)
                request = client.request("post", url, json=BODY, params={"a": "b/c"})
            await (await request).read()

    run(main)
    assert observed.attributes()["gen_ai.usage.input_tokens"] > 0
    assert observed.attributes()["server.address"] == "127.0.0.1"


def test_a_redirect_is_followed_within_one_span(observed: Telemetry, server: Any) -> None:
    """The body is sent again, every hop carries the trace context, and the facts are the last answer's."""
    before = len(server.requests)

    async def main() -> None:
        headers = {"authorization": "Bearer k", "x-trouble": "redirect=2"}
        async with posted(server.url, BODY, headers=headers) as response:
            await response.read()
            assert [entry.status for entry in response.history] == [307, 307]

    run(main)
    assert observed.attributes()["http.response.status_code"] == 200
    assert observed.attributes()["gen_ai.usage.input_tokens"] > 0
    contexts = {request.headers["traceparent"] for request in server.requests[before:]}
    assert len(server.requests) - before == 3
    assert len(contexts) == 1


def test_too_many_redirects_have_no_status(observed: Telemetry, server: Any) -> None:
    """A redirect that was followed is no answer."""

    async def main() -> None:
        async with aiohttp.ClientSession(headers={"authorization": "Bearer k", "x-trouble": "redirect=9"}) as client:
            with pytest.raises(aiohttp.TooManyRedirects):
                await client.post(server.url + PATH, json=BODY, max_redirects=2)

    run(main)
    assert observed.attributes()["error.type"] == "aiohttp.client_exceptions.TooManyRedirects"
    assert "http.response.status_code" not in observed.attributes()


def test_a_middleware_that_sends_again_makes_one_exchange(observed: Telemetry, server: Any) -> None:
    """What happens within one request of the application's is one span, with the last answer's facts."""
    if not hasattr(aiohttp, "ClientHandlerType"):
        pytest.skip("this version has no middlewares")

    async def again(request: Any, handler: Any) -> Any:
        response = await handler(request)
        while response.status == 503:
            await response.read()
            request.headers["x-stainless-retry-count"] = "2"
            response = await handler(request)
        return response

    async def main() -> None:
        async with aiohttp.ClientSession(headers={"authorization": "Bearer k"}, middlewares=(again,)) as client:
            headers = {"x-trouble": "status=503, recovers=2"}
            await (await client.post(server.url + PATH, json=BODY, headers=headers)).read()

    run(main)
    assert observed.attributes()["http.response.status_code"] == 200
    assert observed.attributes()["gen_ai.usage.input_tokens"] > 0


def test_a_response_that_was_read_on_the_way_is_observed_in_full(observed: Telemetry, server: Any) -> None:
    """A callable ``raise_for_status`` that reads the body leaves nothing in the reader."""

    async def read(response: Any) -> None:
        await response.read()

    async def main() -> None:
        async with aiohttp.ClientSession(headers={"authorization": "Bearer k"}, raise_for_status=read) as client:
            await (
                await client.post(server.url + PATH, json=STREAM | {"stream_options": {"include_usage": True}})
            ).text()

    run(main)
    assert observed.attributes()["gen_ai.usage.input_tokens"] > 0


@pytest.mark.parametrize(
    ("url", "arguments", "error"),
    [
        (PATH, {}, (aiohttp.InvalidURL,)),
        ("http://127.0.0.1:99999" + PATH, {}, (aiohttp.InvalidURL, ValueError)),
        ("http://127.0.0.1" + PATH, {"json": object()}, (TypeError,)),
        ("http://127.0.0.1" + PATH, {"headers": 1}, (TypeError,)),
        ("http://127.0.0.1" + PATH, {"json": {}, "data": b""}, (ValueError,)),
    ],
)
def test_a_mistake_of_the_applications_is_told_by_aiohttp(
    url: str, arguments: Any, error: Any, instrument: Any
) -> None:
    """What cannot be sent raises what it would have raised, with or without us."""

    async def failure() -> tuple[Any, str]:
        async with aiohttp.ClientSession() as client:
            with pytest.raises(error) as caught:
                await client.post(url, **arguments)
            return type(caught.value), str(caught.value).partition(" at 0x")[0]

    without = run(failure)
    instrument()
    assert run(failure) == without


# --- which sessions, and which requests -----------------------------------------------------------------------------------


def test_sessions_are_observed_whenever_they_were_made(instrument: Any, telemetry: Telemetry, server: Any) -> None:
    """Before instrumenting, of a subclass, after switching off (not) and on again."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)

        class Own(aiohttp.ClientSession):  # type: ignore[misc]
            async def _request(self, *arguments: Any, **more: Any) -> Any:
                return await super()._request(*arguments, **more)

    original = aiohttp.ClientSession._request

    async def main() -> list[int]:
        counts = []
        headers = {"authorization": "Bearer k"}
        async with aiohttp.ClientSession(headers=headers) as plain, Own(headers=headers) as own:

            async def post() -> None:
                for client in (plain, own):
                    await (await client.post(server.url + PATH, json=BODY)).read()
                counts.append(len(telemetry.spans))

            instrument()
            await post()
            XAIInstrumentor().uninstrument()
            assert aiohttp.ClientSession._request is original
            await post()
            instrument()
            await post()
        return counts

    assert run(main) == [2, 2, 4]


def test_a_test_of_the_applications_may_put_a_mock_in_its_place(observed: Telemetry) -> None:
    """``mock.patch`` takes what it replaces for a coroutine function, as without us."""

    async def main() -> None:
        with mock.patch.object(aiohttp.ClientSession, "_request", return_value="mocked") as mocked:
            async with aiohttp.ClientSession() as client:
                assert await client.post("https://api.x.ai" + PATH, json=BODY) == "mocked"
        assert isinstance(mocked, mock.AsyncMock)

    run(main)
    assert not observed.spans


def test_other_requests_are_left_alone(observed: Telemetry) -> None:
    """Web sockets, other paths and other hosts: no span, no header, and readers of aiohttp's own class."""
    seen: list[dict[str, str]] = []

    async def anything(request: Any) -> Any:
        seen.append({name.lower(): value for name, value in request.headers.items()})
        return web.Response(text="hello")

    async def socket(request: Any) -> Any:
        answer = web.WebSocketResponse()
        await answer.prepare(request)
        await answer.send_str("hello")
        await answer.close()
        return answer

    async def main() -> None:
        application = web.Application()
        application.router.add_get("/v1/responses", socket)
        application.router.add_route("*", "/{path:.*}", anything)
        async with test_utils.TestClient(test_utils.TestServer(application)) as client:
            async with client.ws_connect("/v1/responses") as messages:
                assert (await messages.receive_str()) == "hello"
            elsewhere = str(client.make_url(PATH)).replace("127.0.0.1", "localhost")
            async with aiohttp.ClientSession() as other:
                for response in (await client.get(PATH), await other.post(elsewhere), await client.post("/v1/other")):
                    assert type(response.content) is aiohttp.StreamReader
                    assert await response.text() == "hello"

    run(main)
    assert not observed.spans
    assert len(seen) == 3
    assert all("traceparent" not in headers for headers in seen)


def test_a_host_of_xais_own_is_observed_over_any_connector(observed: Telemetry) -> None:
    """``api.x.ai`` needs no setting; where the connector really goes is not asked."""

    async def complete(_request: Any) -> Any:
        return web.Response(body=ANSWER, content_type="application/json")

    async def main() -> None:
        application = web.Application()
        application.router.add_post(PATH, complete)
        async with test_utils.TestServer(application) as server:

            class Resolver(aiohttp.abc.AbstractResolver):  # type: ignore[misc]
                async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[dict[str, Any]]:
                    assert host == "api.x.ai"
                    return [{"hostname": host, "host": server.host, "port": port, "family": 2, "proto": 0, "flags": 0}]

                async def close(self) -> None:
                    pass

            connector = aiohttp.TCPConnector(resolver=Resolver())
            async with aiohttp.ClientSession(connector=connector) as client:
                await (await client.post(f"http://api.x.ai:{server.port}{PATH}", json=BODY)).json()

    run(main)
    assert observed.attributes()["server.address"] == "api.x.ai"
    assert observed.attributes()["gen_ai.usage.input_tokens"] == 7


def test_tasks_side_by_side_are_told_apart(observed: Telemetry, server: Any) -> None:
    """Many streams of one session, each with its own conversation, span and trace."""

    async def main() -> None:
        async with aiohttp.ClientSession(headers={"authorization": "Bearer k"}) as client:

            async def one(number: int) -> None:
                headers = {"x-grok-conv-id": f"conversation-{number}"}
                async with client.post(server.url + PATH, json=STREAM, headers=headers) as response:
                    await _pieces(response.content)

            await asyncio.gather(*(one(number) for number in range(20)))

    run(main)
    spans = [attributes_of(span) for span in observed.spans]
    assert {span["gen_ai.conversation.id"] for span in spans} == {f"conversation-{number}" for number in range(20)}
    assert {span["gen_ai.response.finish_reasons"] for span in spans} == {("stop",)}
    assert len({span.get_span_context().trace_id for span in observed.spans}) == 20


@pytest.mark.parametrize("place", ["watch", "headers_received", "bytes_received"])
def test_a_fault_of_ours_stays_ours(place: str, observed: Telemetry, monkeypatch: Any) -> None:
    """Whatever breaks in here, the application reads on, and the context is clean."""
    from opentelemetry.instrumentation.xai import exchange, observer

    monkeypatch.setattr(guard, "raise_faults", False)

    def broken(*_arguments: Any) -> None:
        raise ZeroDivisionError

    if place == "watch":
        monkeypatch.setattr(observer, "dialect_of", broken)
    else:
        monkeypatch.setattr(exchange.Exchange, place, broken)

    async def main(url: str) -> None:
        before = context.get_current()
        async with posted(url) as response:
            assert context.get_current() == before
            assert await response.read() == RAW

    with replaying(*answer(EVENTS)) as url:
        run(main, url)
    assert len(observed.spans) == (place != "watch")


# --- usage that is asked for ----------------------------------------------------------------------------------------------


def shown(headers: Any) -> dict[str, str]:
    """The headers that an application can see, but for the trace context."""
    return {name.lower(): value for name, value in headers.items() if name != "traceparent"}


@pytest.mark.combinations
@pytest.mark.parametrize("way", [way for way in WAYS if way != "readexactly"])
@pytest.mark.parametrize("how", [{}, {"split": 1}, {"split": 7}, {"split": 10_000}], ids=str)
@pytest.mark.parametrize("arrived", [False, True], ids=["arriving", "arrived"])
def test_an_event_of_usage_that_was_asked_for_is_hidden(
    way: str, how: dict[str, Any], arrived: bool, instrument: Any
) -> None:
    """From every way of reading, however it is cut, also where it lay in the reader already; HTTP chunks stay chunks."""

    async def sight(url: str) -> tuple[Any, ...]:
        async with posted(url, auto_decompress=False) as response:
            if arrived:
                await asyncio.sleep(0.05)
            return (
                await WAYS[way](response), response.content.total_bytes, response.content.at_eof(),
                shown(response.request_info.headers),
            )  # fmt: skip

    async def chunks(url: str) -> list[bytes]:
        async with posted(url) as response:
            return [piece async for piece, _end in response.content.iter_chunks() if piece]

    with serving(**how) as gateway:
        without, pieces = run(sight, gateway.url), run(chunks, gateway.url)
        telemetry = instrument(stream_usage="request")
        assert run(sight, gateway.url) == without
        if not how:
            assert run(chunks, gateway.url) == pieces
    assert gateway.asked[:3] == [False, False, True]
    assert gateway.received[2].headers["accept-encoding"] == "identity"
    assert [attributes_of(span)["gen_ai.usage.cache_read.input_tokens"] for span in telemetry.spans] == [1024] * (
        1 if how else 2
    )


def test_what_lay_in_the_reader_is_hidden_at_its_end_too(instrument: Any) -> None:
    """A whole answer in one packet whose last event is the one."""
    telemetry = instrument(stream_usage="request")
    before, usage = events(asked=True)[-3], events(asked=True)[-2]

    async def main(url: str) -> list[Any]:
        async with posted(url) as response:
            await asyncio.sleep(0.05)
            return [piece async for piece in response.content.iter_chunks()]

    with replaying(b"".join(answer([before, usage]))) as url:
        assert run(main, url) == [(before, True)]
    assert telemetry.attributes()["gen_ai.usage.cache_read.input_tokens"] == 1024


@pytest.mark.parametrize("given", [{}, {"accept-encoding": "br"}, {"content-length": "own"}], ids=str)
@pytest.mark.parametrize("form", ["json", "bytes", "str", "payload", "BytesIO", "generator"])
def test_a_request_that_asked_shows_the_application_its_own(form: str, given: Any, instrument: Any) -> None:
    """Headers and type of the body are the application's, also in history and exceptions; files are not asked in."""
    body = json.dumps(STREAM).encode()

    async def infos(url: str) -> list[Any]:
        found = []
        headers = {name: str(len(body)) if value == "own" else value for name, value in given.items()}
        if form == "generator":
            headers["content-length"] = str(len(body))
        async with aiohttp.ClientSession(raise_for_status=True) as client:
            try:
                async with client.post(url + PATH, headers=headers, **FORMS[form](body)) as response:
                    found += [each.request_info for each in (response, *response.history)]
                    await response.read()
            except aiohttp.ClientResponseError as error:
                found += [error.request_info, *(each.request_info for each in error.history)]
        return [(info.method, info.url, info.real_url, shown(info.headers)) for info in found]

    again = form not in ("BytesIO", "generator")  # in older versions, not the first of them either
    with serving(redirects=again) as gateway:
        for status in (None, 500):
            gateway.status = status
            without = run(infos, gateway.url)
            instrument(stream_usage="request")
            assert run(infos, gateway.url) == without
            XAIInstrumentor().uninstrument()
            assert len(without) == (2 if again and status is None else 1)
    types = {received.headers["content-type"] for received in gateway.received}
    assert len(types) == 1
    assert any(gateway.asked) is again


def test_a_response_that_was_read_on_the_way_is_cleared_too(instrument: Any) -> None:
    """What a callable ``raise_for_status`` has read is not read again."""
    telemetry = instrument(stream_usage="request")

    async def read(response: Any) -> None:
        await response.read()

    async def main(url: str) -> None:
        async with posted(url, raise_for_status=read) as response:
            assert await response.read() == b"".join(events(asked=False))

    with serving() as gateway:
        run(main, gateway.url)
    assert telemetry.attributes()["gen_ai.usage.cache_read.input_tokens"] == 1024


# --- other instrumentations -----------------------------------------------------------------------------------------------


@pytest.fixture
def theirs(telemetry: Telemetry) -> Iterator[Any]:
    """OpenTelemetry's instrumentation of aiohttp; off again after the test."""
    package = pytest.importorskip("opentelemetry.instrumentation.aiohttp_client")
    yield package.AioHttpClientInstrumentor()
    if package.AioHttpClientInstrumentor().is_instrumented_by_opentelemetry:
        package.AioHttpClientInstrumentor().uninstrument()


@pytest.mark.parametrize("order", ["ours-first", "theirs-first"])
@pytest.mark.parametrize("trouble", ["", "status=429", "cut=5"])
def test_the_span_of_the_http_request_is_a_child_of_ours(
    order: str, trouble: str, theirs: Any, instrument: Any, telemetry: Telemetry, server: Any
) -> None:
    """Beside OpenTelemetry's instrumentation of aiohttp: one span of each, ours around theirs, what is sent names theirs."""
    if order == "ours-first":
        instrument()
    theirs.instrument(tracer_provider=telemetry.tracer_provider, meter_provider=telemetry.meter_provider)
    instrument()

    async def main() -> None:
        headers = {"authorization": "Bearer k", "x-trouble": trouble}
        async with posted(server.url, STREAM, headers=headers) as response:
            try:
                await response.read()
            except aiohttp.ClientPayloadError:
                assert trouble == "cut=5"
        assert not trace.get_current_span().get_span_context().is_valid

    run(main)
    our_span = telemetry.span
    (their_span,) = [span for span in telemetry.exporter.get_finished_spans() if span is not our_span]
    assert their_span.parent is not None
    assert our_span.parent is None
    assert their_span.parent.span_id == our_span.get_span_context().span_id
    assert f"{their_span.get_span_context().span_id:016x}" in server.requests[-1].headers["traceparent"]
    expected = {"": None, "status=429": "429", "cut=5": "stream_interrupted"}[trouble]
    assert telemetry.attributes().get("error.type") == expected


@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_either_can_be_switched_off_first(
    first: str, theirs: Any, instrument: Any, telemetry: Telemetry, server: Any
) -> None:
    """What is switched off is gone, the other one goes on, and at the end nothing is left of either."""
    originals = aiohttp.ClientSession.__init__, aiohttp.ClientSession._request
    theirs.instrument(tracer_provider=telemetry.tracer_provider, meter_provider=telemetry.meter_provider)
    instrument()

    async def main() -> None:
        async with posted(server.url, BODY, headers={"authorization": "Bearer k"}) as response:
            await response.read()

    switches = {"ours": XAIInstrumentor().uninstrument, "theirs": theirs.uninstrument}
    switches.pop(first)()
    run(main)
    (span,) = telemetry.exporter.get_finished_spans()
    assert (span in telemetry.spans) is (first == "theirs")
    next(iter(switches.values()))()
    run(main)
    assert len(telemetry.exporter.get_finished_spans()) == 1
    assert (aiohttp.ClientSession.__init__, aiohttp.ClientSession._request) == originals

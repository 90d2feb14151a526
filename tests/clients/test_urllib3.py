"""What applications of urllib3 rely on, without a library on top; also where urllib3-future has taken its name."""

import asyncio
import gc
import gzip
import inspect
import io
import json
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import permutations
from typing import Any

import pytest

urllib3 = pytest.importorskip("urllib3")

from opentelemetry.instrumentation.utils import suppress_http_instrumentation, suppress_instrumentation  # noqa: E402

from clients.gateway import DELIVERIES, comparable, serving  # noqa: E402
from clients.replay import answer, replaying  # noqa: E402
from clients.wire import (  # noqa: E402
    BODY,
    DOCUMENT,
    EVENTS,
    PATH,
    STREAM,
    WHOLE,
    coded,
    coding_header,
    complete,
    of_other,
)
from conftest import Telemetry  # noqa: E402
from opentelemetry import context, trace  # noqa: E402
from opentelemetry.instrumentation.xai import XAIInstrumentor  # noqa: E402

OTHERS = "opentelemetry.instrumentation.urllib3"
HEADERS = {"content-type": "application/json", "authorization": "Bearer k"}
JSON = json.dumps(STREAM)
FUTURE = hasattr(urllib3, "AsyncPoolManager")

if FUTURE:  # it leaves sockets to the collector now and then, with us or without
    pytestmark = pytest.mark.filterwarnings(
        r"ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
    )


def post(url: str, owner: Any = None, **more: Any) -> Any:
    """Post through a manager, or through a pool."""
    options = {"body": JSON, "headers": HEADERS, "preload_content": False, **more}
    return (owner or urllib3.PoolManager()).request("POST", url + PATH, **options)


def reads(response: Any, size: int) -> list[bytes]:
    """What one ``read`` after the other gives."""
    return list(iter(lambda: response.read(size), b""))


@contextmanager
def owner_of(way: str, url: str) -> Iterator[tuple[Any, str]]:
    """A manager, or a pool, and what it wants in front of a path."""
    if way in ("manager", "proxy"):
        with urllib3.ProxyManager(url) if way == "proxy" else urllib3.PoolManager() as manager:
            yield manager, url
    else:
        with urllib3.connection_from_url(url) as pool:
            yield pool, url if way == "pool-absolute" else ""


def by_readinto(response: Any) -> Iterator[bytes]:
    """Read with ``readinto``, as buffered readers do."""
    buffer = bytearray(50)
    while count := response.readinto(buffer):
        yield bytes(buffer[:count])


def by_read1(response: Any) -> Iterator[bytes]:
    """Read with ``read1``, where there is one."""
    read = getattr(response, "read1", lambda: response.read(20))  # no such method in 1.26
    while not (response.closed or response.isclosed()):
        yield read()


WAYS: dict[str, Callable[[Any], Any]] = {
    "data": lambda response: [response.data],
    "read": lambda response: [response.read()],
    "read-10": lambda response: iter(lambda: response.read(10), b""),
    "read-coded": lambda response: [response.read(decode_content=False)],
    "read1": by_read1,
    "stream": lambda response: response.stream(),
    "stream-3": lambda response: response.stream(3),
    "stream-coded": lambda response: response.stream(decode_content=False),
    "read_chunked": lambda response: response.read_chunked(),
    "readinto": by_readinto,
    "iter": iter,
    "buffered": lambda response: [io.BufferedReader(response).read()],
    "text": lambda response: [line.encode() for line in io.TextIOWrapper(io.BufferedReader(response), "utf-8")],
    "drain_conn": lambda response: [response.drain_conn()],
    "some-then-drain": lambda response: [response.read(5), response.drain_conn()],
    "release_conn": lambda response: [response.read(), response.release_conn()],
    "close": lambda response: [response.read(5), response.close()],
    "with": lambda response: [response.__enter__().read(), response.__exit__(None, None, None)],
}
DRAINING = ("drain_conn", "some-then-drain")


def sight(url: str, how: str, **more: Any) -> tuple[Any, ...]:
    """All that an application can see of an answer."""
    pieces: list[Any] = []
    with urllib3.PoolManager(retries=False) as manager:
        try:
            response = post(url, manager, **more)
        except Exception as error:
            return type(error), str(error)[:40]
        try:
            pieces.extend(WAYS[how](response))
        except Exception as error:
            pieces.append((type(error), str(error)[:40]))
        seen = (
            b"".join(piece for piece in pieces if isinstance(piece, bytes)),
            [piece for piece in pieces if not isinstance(piece, bytes)],
            isinstance(response, urllib3.HTTPResponse),
            (type(response).__module__, type(response).__qualname__),
            response.status,
            list(response.headers.items()),
            response.closed,
            response.isclosed(),
            response.connection is None,
            response.tell(),
        )
        response.close()
        return (*seen, response.closed)


@pytest.mark.combinations
@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut"])
@pytest.mark.parametrize("coding", ["plain", "gzip", "br", "damaged"])
def test_an_answer_looks_the_same_as_without_us(how: str, cut: bool, coding: str, instrument: Any) -> None:
    """However it is read: bytes, types, states, headers and exceptions are those of an uninstrumented run."""
    if coding == "br":
        pytest.importorskip("brotli")
    with replaying(*answer(coded(coding), headers=coding_header(coding), cut=cut)) as url:
        without = sight(url, how)
        telemetry = instrument()
        assert sight(url, how) == without
        gc.collect()
        assert len(telemetry.spans) == 1
        if WHOLE in without or how in DRAINING:
            assert cut or coding == "damaged" or complete(telemetry)


@pytest.mark.parametrize("how", ["data", "read", "read-10", "read1", "stream-3", "readinto", "drain_conn"])
@pytest.mark.parametrize("coding", ["plain", "gzip"])
@pytest.mark.parametrize("length", ["told", "until-close"])
def test_an_answer_without_chunks_is_seen_as_one_in_chunks(how: str, coding: str, length: str, instrument: Any) -> None:
    """What the library does with a length, or with none, is another path, with the same facts."""
    body = b"".join(coded(coding))
    told = f"content-length: {len(body)}" if length == "told" else "connection: close"
    head = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n{coding_header(coding)}{told}\r\n\r\n"
    with replaying(head.encode(), body[:50], body[50:]) as url:
        without = sight(url, how)
        telemetry = instrument()
        assert sight(url, how) == without
        if WHOLE in without or how in DRAINING:  # a coding may make old versions seem to be at the end before they are
            assert complete(telemetry)


@pytest.mark.combinations
@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("delivery", DELIVERIES, ids=str)
def test_usage_that_was_asked_for_is_hidden(how: str, delivery: dict[str, Any], instrument: Any) -> None:
    """However a stream comes and is read: bytes, states and exceptions are those of one that was not asked."""
    if "cut" in delivery and (how == "some-then-drain" or (how == "read1" and not hasattr(urllib3.HTTPResponse, how))):
        pytest.skip("what was held back is there, where an exception would have come instead of the last piece")
    with serving(**delivery) as gateway:
        without = sight(gateway.url, how)
        telemetry = instrument(stream_usage="request")
        assert comparable(sight(gateway.url, how)) == comparable(without)
        assert gateway.asked == [False, True]
    if "cut" not in delivery and how != "close" and without[0]:
        assert telemetry.attributes()["gen_ai.usage.input_tokens"] == 1200


@pytest.mark.parametrize("how", ["read", "stream", "read1"])
def test_pieces_are_those_of_a_stream_that_was_not_asked(how: str, instrument: Any) -> None:
    """Chunks that come whole are handed on whole, and none is empty."""
    with serving() as gateway, urllib3.PoolManager() as manager:
        pieces = list(WAYS[how](post(gateway.url, manager)))
        instrument(stream_usage="request")
        assert list(WAYS[how](post(gateway.url, manager))) == pieces


@pytest.mark.parametrize("size", [1, 3, 50, 200, 4096])
@pytest.mark.parametrize("frame", ["chunks", "length"])
def test_no_piece_is_longer_than_it_may_be(size: int, frame: str, instrument: Any) -> None:
    """What was held back goes on in pieces of the size that was asked for; ``read`` fills them."""
    with serving(frame=frame, split=17) as gateway, urllib3.PoolManager() as manager:
        wanted = reads(post(gateway.url, manager), size)
        instrument(stream_usage="request")
        assert reads(post(gateway.url, manager), size) == wanted
        pieces = list(post(gateway.url, manager).stream(size))
    assert max(map(len, pieces)) <= size
    assert b"".join(pieces) == b"".join(wanted)
    assert b"" not in pieces


@pytest.mark.parametrize("frame", ["chunks", "length"])
@pytest.mark.parametrize("split", [None, 7])
def test_what_is_preloaded_is_cleared_of_usage(frame: str, split: int | None, instrument: Any) -> None:
    """What urllib3 read before it returned is what the application would have got, and as much."""
    with serving(frame=frame, split=split) as gateway, urllib3.PoolManager() as manager:
        without = post(gateway.url, manager, preload_content=True)
        telemetry = instrument(stream_usage="request")
        for more in ({}, {"decode_content": False}):
            response = post(gateway.url, manager, preload_content=True, **more)
            assert response.data == without.data
            assert response.read() == without.read()
            assert response.tell() == without.tell()
    assert [(span.attributes or {})["gen_ai.usage.input_tokens"] for span in telemetry.spans] == [1200, 1200]


@pytest.mark.parametrize(
    "headers", [HEADERS, None, {**HEADERS, "Accept-Encoding": "gzip", "Content-Length": str(len(JSON))}]
)
@pytest.mark.parametrize("way", ["manager", "pool", "pool-by-place"])
def test_what_asks_leaves_with_a_length_of_its_own(way: str, headers: Any, instrument: Any) -> None:
    """Body and headers of the application are not changed; what is sent is right in its length, and plain."""
    instrument(stream_usage="request")
    kept = dict(headers or {})
    with serving() as gateway, owner_of(way, gateway.url) as (owner, front):
        if way == "pool-by-place":
            response = owner.urlopen("POST", PATH, JSON, headers, preload_content=False)
        else:
            response = owner.urlopen("POST", front + PATH, body=JSON, headers=headers, preload_content=False)
        assert b"prompt_tokens" not in response.read()
    (received,) = gateway.received
    assert received.asked
    assert received.body.startswith(JSON[:-1].encode())
    assert received.headers["content-length"] == str(len(received.body))
    assert received.headers["accept-encoding"] == "identity"
    assert (headers or {}) == kept


def test_redirects_carry_the_question(instrument: Any) -> None:
    """They are the same exchange."""
    telemetry = instrument(stream_usage="request")
    with serving(redirects=True) as gateway:
        response = post(gateway.url, preload_content=True)
    assert gateway.asked == [True, True]
    assert b"prompt_tokens" not in response.data
    assert telemetry.attributes()["gen_ai.usage.input_tokens"] == 1200


@pytest.mark.skipif(not FUTURE, reason="only urllib3-future has them")
def test_what_is_promised_is_not_asked(instrument: Any) -> None:
    """Its answer may come by many ways, on which nothing could be hidden."""
    instrument(stream_usage="request")
    with serving() as gateway, urllib3.PoolManager() as manager:
        promise = post(gateway.url, manager, multiplexed=True)
        response = manager.get_response() if not hasattr(promise, "status") else promise
        assert b"[DONE]" in response.data
    assert gateway.asked == [False]


@pytest.mark.parametrize("decode", [True, False], ids=["decoded", "coded"])
@pytest.mark.parametrize("coding", ["plain", "gzip"])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
def test_what_is_preloaded_is_seen(streamed: bool, coding: str, decode: bool, instrument: Any) -> None:
    """An answer that urllib3 reads itself, with its coding undone or not."""
    body, kind = (coded(coding), "text/event-stream") if streamed else ([DOCUMENT], "application/json")
    if coding == "gzip":
        body = [gzip.compress(b"".join(EVENTS if streamed else body))]
    with replaying(*answer(body, content_type=kind, headers=coding_header(coding))) as url:
        options = {"preload_content": True, "decode_content": decode}
        without = sight(url, "data", **options)
        telemetry = instrument()
        assert sight(url, "data", **options) == without
    assert complete(telemetry)


@pytest.mark.parametrize("preload", [True, False], ids=["preloaded", "stream"])
@pytest.mark.parametrize("case", ["cut", "damaged"])
def test_a_body_that_breaks_is_named(case: str, preload: bool, instrument: Any) -> None:
    """A broken body raises the same, and ends the span by its name, whoever reads it."""
    body = EVENTS[:2] if case == "cut" else coded("damaged")
    with replaying(*answer(body, headers=coding_header("plain" if case == "cut" else case), cut=case == "cut")) as url:
        without = sight(url, "data", preload_content=preload)
        telemetry = instrument()
        assert sight(url, "data", preload_content=preload) == without
    expected = "stream_interrupted" if case == "cut" else "urllib3.exceptions.DecodeError"
    assert telemetry.attributes()["error.type"] == expected
    assert telemetry.attributes()["http.response.status_code"] == 200


def test_a_stream_cut_anywhere_is_understood(observed: Telemetry) -> None:
    """Pieces of every size, as the network cuts them and as the application asks for them."""
    count = 0
    for size in (1, 3, 17, 64):
        pieces = [WHOLE[index : index + size] for index in range(0, len(WHOLE), size)]
        with replaying(*answer(pieces)) as url, urllib3.PoolManager() as manager:
            for way in (1, 5, None):
                assert b"".join(post(url, manager).stream(way)) == WHOLE
                count += 1
    assert complete(observed, count)


def let_go(url: str) -> bool:
    """Take some of an answer and let go of it; says whether it is gone, without any help of a collector."""
    response = post(url)
    known = weakref.ref(response)
    response.read(10)
    del response
    return known() is None


def test_an_answer_that_is_forgotten_is_gone_when_it_would_be_without_us(instrument: Any) -> None:
    """The library's connection is closed when the application lets go of the answer, not when a collector runs."""
    gc.disable()
    try:
        with replaying(*answer(EVENTS * 50), gap_s=0.01) as url:
            without = let_go(url)
            telemetry = instrument()
            assert let_go(url) == without
            assert not without or len(telemetry.spans) == 1
    finally:
        gc.enable()
    gc.collect()
    assert telemetry.attributes()["gen_ai.response.finish_reasons"] == ("error",)


# --- what is sent -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["dict", "HTTPHeaderDict", "none", "managers", "positional"])
def test_a_request_leaves_as_it_was_but_for_the_trace_context(kind: str, observed: Telemetry, server: Any) -> None:
    """Headers of any kind get the context of our span, and the application's own object stays as it was."""
    body = json.dumps(BODY)
    with urllib3.PoolManager(headers=HEADERS if kind in ("none", "managers") else None) as manager:
        if kind == "positional":
            pool = manager.connection_from_url(server.url)
            given: Any = dict(HEADERS)
            assert pool.urlopen("POST", PATH, body, given, False).status == 200
        elif kind == "managers":
            given = manager.headers
            assert manager.urlopen("POST", server.url + PATH, body=body).status == 200
        else:
            given = {"dict": dict(HEADERS), "HTTPHeaderDict": urllib3.response.HTTPHeaderDict(HEADERS), "none": None}[
                kind
            ]
            assert manager.request("POST", server.url + PATH, body=body, headers=given).status == 200
    assert given is None or dict(given) == HEADERS
    arrived = server.requests[-1]
    assert arrived.body == body.encode()
    assert int(arrived.headers["traceparent"].split("-")[2], 16) == observed.span.get_span_context().span_id
    assert observed.attributes()["gen_ai.request.model"] == "grok-4.7"


@pytest.mark.parametrize("way", ["manager", "pool", "pool-absolute", "proxy"])
def test_every_way_to_a_server_is_observed(way: str, observed: Telemetry) -> None:
    """A manager, a pool of the application's own, one that is asked for a whole URL, a proxy."""
    with replaying(*answer(EVENTS)) as url, owner_of(way, url) as (owner, prefix):
        assert post(prefix, owner).data == WHOLE
    assert complete(observed)


@pytest.mark.parametrize("way", ["manager", "pool"])
@pytest.mark.parametrize("case", ["status", "refused", "redirect"])
def test_retries_and_redirects_are_one_exchange(case: str, way: str, observed: Telemetry) -> None:
    """However often urllib3 calls itself again: one span, with the last answer's facts."""
    first = {
        "status": b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        "refused": b"",
        "redirect": b"HTTP/1.1 307 Elsewhere\r\nlocation: %s\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        % PATH.encode(),
    }[case]
    retries = urllib3.util.Retry(total=3, status_forcelist=[503], allowed_methods=None)
    with replaying(*answer(EVENTS), first=[first]) as url, owner_of(way, url) as (owner, prefix):
        assert post(prefix, owner, retries=retries).read() == WHOLE
    assert complete(observed)


@pytest.mark.parametrize("retries", [False, 1, None])
def test_used_up_retries_hide_no_timeout(retries: Any, observed: Telemetry) -> None:
    """A timeout is one, also under the exception that tells of retries; a refusal is none."""
    slow = urllib3.util.Retry(1, allowed_methods=None) if retries == 1 else retries
    with replaying(*answer(EVENTS), gap_s=0.0, connections=0) as url:
        with pytest.raises(urllib3.exceptions.HTTPError):
            post(url, retries=slow, timeout=0.1)
    assert observed.attributes()["error.type"] == "timeout"


# --- layers and contexts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["https://api.openai.com", "https://api.x.ai/v1/embeddings?"])
def test_a_bystander_is_not_touched(url: str, observed: Telemetry, monkeypatch: Any) -> None:
    """Another host, or another path of xAI's: no span, no header, the response as it is."""
    sent: list[Any] = []

    def make_request(_pool: Any, *args: Any, **kwargs: Any) -> Any:
        sent.append(kwargs["headers"])
        raise urllib3.exceptions.LocationParseError("nowhere")

    monkeypatch.setattr(urllib3.HTTPConnectionPool, "_make_request", make_request)
    with pytest.raises(urllib3.exceptions.LocationParseError):
        post(url)
    assert "traceparent" not in sent[0]
    assert observed.spans == []


@pytest.mark.parametrize("way", ["manager", "pool"])
@pytest.mark.parametrize("suppress", [suppress_instrumentation, suppress_http_instrumentation])
def test_suppression_is_honoured(suppress: Any, way: str, observed: Telemetry) -> None:
    """What runs under OpenTelemetry's suppression is not observed."""
    with replaying(*answer(EVENTS)) as url, owner_of(way, url) as (owner, prefix), suppress():
        assert post(prefix, owner).data == WHOLE
    assert observed.spans == []


def test_the_span_is_current_only_while_sending(observed: Telemetry, monkeypatch: Any) -> None:
    """And the context is clean afterwards."""
    current: list[Any] = []
    original = urllib3.HTTPConnectionPool._make_request

    def make_request(*args: Any, **kwargs: Any) -> Any:
        current.append(trace.get_current_span())
        return original(*args, **kwargs)

    monkeypatch.setattr(urllib3.HTTPConnectionPool, "_make_request", make_request)
    before = context.get_current()
    with replaying(*answer(EVENTS)) as url:
        response = post(url)
        assert context.get_current() == before
        assert response.data == WHOLE
    assert current[0].get_span_context() == observed.span.get_span_context()


@pytest.mark.skipif(not FUTURE, reason="only urllib3-future has asynchronous managers")
@pytest.mark.parametrize("preload", [True, False], ids=["preloaded", "stream"])
@pytest.mark.parametrize("way", ["manager", "pool"])
def test_asynchronous_managers_are_observed(way: str, preload: bool, observed: Telemetry) -> None:
    """Those of urllib3-future, like the others."""

    async def main(url: str) -> bytes:
        options = {"body": JSON, "headers": HEADERS, "preload_content": preload}
        async with urllib3.AsyncPoolManager() as manager:
            if way == "manager":
                response = await manager.request("POST", url + PATH, **options)
            else:
                response = await (await manager.connection_from_url(url)).urlopen("POST", PATH, **options)
            return bytes(await response.data)

    with replaying(*answer(EVENTS)) as url:
        assert asyncio.run(main(url)) == WHOLE
    assert complete(observed)


# --- OpenTelemetry's own instrumentation ------------------------------------------------------------------------------

STEPS = ("ours on", "theirs on", "ours off", "theirs off")
ORDERS = [order for order in permutations(STEPS) if order.index("ours on") < order.index("ours off") and order.index("theirs on") < order.index("theirs off")]  # fmt: skip


@pytest.fixture
def theirs(telemetry: Telemetry) -> Iterator[Any]:
    """Their instrumentation, with our providers."""
    module = pytest.importorskip(OTHERS)
    instrumentor = module.URLLib3Instrumentor()
    switch = type("Switch", (), {})()
    switch.on = lambda: instrumentor.instrument(tracer_provider=telemetry.tracer_provider)
    switch.off = instrumentor.uninstrument
    yield switch
    if instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.uninstrument()


@pytest.mark.parametrize("order", ORDERS, ids=", ".join)
@pytest.mark.parametrize("way", ["manager", "pool"])
def test_each_is_on_when_it_is_on_in_any_order(
    way: str, order: Any, theirs: Any, instrument: Any, telemetry: Telemetry, monkeypatch: Any
) -> None:
    """Whoever comes first or goes first: each records just while it is on; through a manager theirs is a child of ours."""
    originals = urllib3.PoolManager.urlopen, urllib3.HTTPConnectionPool.urlopen
    monkeypatch.setattr(urllib3.HTTPConnectionPool, "urlopen", originals[1])  # for the next test, whatever stays here
    on: set[str] = set()
    with replaying(*answer(EVENTS)) as url, owner_of(way, url) as (owner, prefix):
        for step in order:
            who, what = step.split()
            if who == "ours":
                instrument() if what == "on" else XAIInstrumentor().uninstrument()
            else:
                theirs.on() if what == "on" else theirs.off()
            (on.add if what == "on" else on.remove)(who)
            telemetry.exporter.clear()
            before = context.get_current()
            assert post(prefix, owner).data == WHOLE
            assert context.get_current() == before
            others = of_other(telemetry, OTHERS)
            assert (len(telemetry.spans), len(others)) == ("ours" in on, "theirs" in on)
            if len(on) == 2:
                assert complete(telemetry)
                outside, inside = (telemetry.span, others[0]) if way == "manager" else (others[0], telemetry.span)
                assert inside.parent is not None
                assert inside.parent.span_id == outside.context.span_id
    assert urllib3.PoolManager.urlopen is originals[0]
    assert inspect.unwrap(urllib3.HTTPConnectionPool.urlopen) is originals[1]


@pytest.mark.parametrize("suppress", [suppress_instrumentation, suppress_http_instrumentation])
@pytest.mark.parametrize("way", ["manager", "pool"])
def test_beneath_theirs_suppression_is_honoured(suppress: Any, way: str, theirs: Any, observed: Telemetry) -> None:
    """What the application suppresses is not observed, whoever passes it on."""
    theirs.on()
    with replaying(*answer(EVENTS)) as url, owner_of(way, url) as (owner, prefix), suppress():
        assert post(prefix, owner).data == WHOLE
    assert observed.spans == []


# --- on and off -------------------------------------------------------------------------------------------------------


def test_managers_made_before_are_covered_and_originals_come_back(instrument: Any) -> None:
    """``instrument()`` covers managers that exist; ``uninstrument()`` puts the very same functions back."""
    originals = urllib3.PoolManager.urlopen, urllib3.HTTPConnectionPool.urlopen
    with replaying(*answer(EVENTS)) as url, urllib3.PoolManager() as manager:
        for _ in range(2):
            telemetry = instrument()
            assert post(url, manager).data == WHOLE
            XAIInstrumentor().uninstrument()
            assert (urllib3.PoolManager.urlopen, urllib3.HTTPConnectionPool.urlopen) == originals
            assert post(url, manager).data == WHOLE
    assert complete(telemetry, 2)


def test_a_stream_that_outlives_uninstrument_still_ends(instrument: Any) -> None:
    """A call that has begun is told to its end, whatever is switched off meanwhile."""
    telemetry = instrument()
    with replaying(*answer(EVENTS)) as url:
        response = post(url)
        XAIInstrumentor().uninstrument()
        assert response.data == WHOLE
    assert complete(telemetry)

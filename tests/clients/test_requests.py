"""What applications of requests rely on, and what must not change when they are observed."""

import copy
import functools
import gc
import inspect
import io
import json
import pickle
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from itertools import permutations
from typing import Any

import pytest

requests = pytest.importorskip("requests")

from opentelemetry.instrumentation.utils import suppress_http_instrumentation, suppress_instrumentation  # noqa: E402

from clients.gateway import DELIVERIES, comparable, events, serving  # noqa: E402
from clients.replay import answer, replaying  # noqa: E402
from clients.wire import (  # noqa: E402
    ANSWER,
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
from opentelemetry.instrumentation.xai.testing.recording import Recording  # noqa: E402

URL = f"https://api.x.ai{PATH}"
OTHERS = "opentelemetry.instrumentation.requests"


# --- the application gets what it would have got ----------------------------------------------------------------------


def by_readinto(raw: Any) -> Iterator[bytes]:
    """Read with ``readinto``, as buffered readers do."""
    buffer = bytearray(50)
    while count := raw.readinto(buffer):
        yield bytes(buffer[:count])


def by_read1(raw: Any) -> Iterator[bytes]:
    """Read with ``read1``, where there is one."""
    return iter(raw.read1 if hasattr(raw, "read1") else raw.read, b"")


WAYS: dict[str, Callable[[Any], Any]] = {
    "content": lambda response: [response.content],
    "text": lambda response: [response.text.encode()],
    "iter_content": lambda response: response.iter_content(),
    "iter_content-7": lambda response: response.iter_content(7),
    "iter_content-None": lambda response: response.iter_content(None),
    "iter_lines": lambda response: response.iter_lines(),
    "iter": iter,
    "raw.read": lambda response: [response.raw.read()],
    "raw.read-decoded": lambda response: [response.raw.read(decode_content=True)],
    "raw.read-10": lambda response: iter(lambda: response.raw.read(10), b""),
    "raw.read1": lambda response: by_read1(response.raw),
    "raw.stream": lambda response: response.raw.stream(),
    "raw.stream-10": lambda response: response.raw.stream(10, decode_content=True),
    "raw.read_chunked": lambda response: response.raw.read_chunked(),
    "raw.readinto": lambda response: by_readinto(response.raw),
    "raw": lambda response: iter(response.raw),
    "raw.data": lambda response: [response.raw.data],
    "raw.buffered": lambda response: [io.BufferedReader(response.raw).read()],
}


def sight(url: str, how: str, *, stream: bool = True) -> tuple[Any, ...]:
    """All that an application can see of an answer."""
    pieces: list[Any] = []
    with requests.Session() as session:
        try:
            response = session.post(url + PATH, json=STREAM, stream=stream)
        except Exception as error:
            return type(error), str(error)[:40]
        try:
            pieces.extend(WAYS[how](response))
        except Exception as error:
            pieces.append((type(error), str(error)[:40]))
        seen = (
            pieces if how != "iter_content-None" else b"".join(piece for piece in pieces if isinstance(piece, bytes)),
            type(response),
            repr(response),
            isinstance(response.raw, requests.packages.urllib3.response.HTTPResponse),
            isinstance(response.raw, io.IOBase),
            (type(response.raw).__module__, type(response.raw).__qualname__),
            response.status_code,
            list(response.headers.items()),
            response.raw.closed,
            response.raw.tell(),
            response._content_consumed,
            response.encoding,
        )
        response.close()
        return (*seen, response.raw.closed)


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
        if not cut and coding != "damaged":
            assert complete(telemetry)


PIECEMEAL = (
    "iter",
    "iter_content-7",
    "iter_content-None",
    "raw.read1",
    "raw.read_chunked",
    "raw.stream",
    "raw.stream-10",
)
"""Ways whose pieces are those in which the stream came."""


@pytest.mark.combinations
@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("delivery", DELIVERIES, ids=str)
def test_usage_that_was_asked_for_is_hidden(how: str, delivery: dict[str, Any], instrument: Any) -> None:
    """However a stream comes and is read: bytes, pieces, states and exceptions are those of one that was not asked."""
    if how == "iter_lines" and "end" in delivery:
        pytest.skip("finds a line too much wherever a piece ends with half a line end")

    def seen() -> list[Any]:
        pieces, *rest = sight(gateway.url, how)
        if how in PIECEMEAL and delivery != {"frame": "chunks", "split": None} and isinstance(pieces, list):
            whole = b"".join(each for each in pieces if isinstance(each, bytes))
            pieces = [whole, *(each for each in pieces if not isinstance(each, bytes))]
        return comparable((pieces, *rest))

    with serving(**delivery) as gateway:
        without = seen()
        telemetry = instrument(stream_usage="request")
        assert seen() == without
        assert gateway.asked == [False, True]
    gc.collect()
    if "cut" not in delivery and WITHOUT[-9:] in str(without).encode():
        assert telemetry.attributes()["gen_ai.usage.input_tokens"] == 1200


@pytest.mark.parametrize("how", ["content", "iter_lines", "raw.read", "raw.read-10", "raw.stream-10", "raw.readinto"])
@pytest.mark.parametrize("coding", ["plain", "gzip"])
def test_an_answer_of_known_length_is_seen_as_one_in_chunks(how: str, coding: str, instrument: Any) -> None:
    """What the library does with a length is another path, with the same facts."""
    body = b"".join(coded(coding))
    head = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n{coding_header(coding)}content-length: {len(body)}\r\n\r\n"
    with replaying(head.encode(), body[:50], body[50:]) as url:
        without = sight(url, how)
        telemetry = instrument()
        assert sight(url, how) == without
        assert complete(telemetry)


@pytest.mark.parametrize("case", ["cut", "damaged"])
def test_an_exception_is_the_one_without_us(case: str, instrument: Any) -> None:
    """A broken body raises the same, when it is read before ``post`` returns, and ends the span by its name."""
    body, headers = (EVENTS[:2], "") if case == "cut" else (coded("damaged"), coding_header("damaged"))
    parts = answer(body, content_type="application/json", headers=headers, cut=case == "cut")
    with replaying(*parts) as url:
        without = sight(url, "content", stream=False)
        telemetry = instrument()
        assert sight(url, "content", stream=False) == without
    expected = "stream_interrupted" if case == "cut" else "requests.exceptions.ContentDecodingError"
    assert telemetry.attributes()["error.type"] == expected


@pytest.mark.parametrize("how", ["content", "iter_lines", "raw.stream-10"])
def test_a_damaged_coding_is_named_by_the_librarys_exception(how: str, observed: Telemetry) -> None:
    """Whichever way the application meets it."""
    with replaying(*answer(coded("damaged"), headers=coding_header("damaged"))) as url:
        sight(url, how)
    assert observed.attributes()["error.type"] == "requests.exceptions.ContentDecodingError"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_the_first_event_is_timed_however_the_answer_is_asked_for(stream: bool, observed: Telemetry) -> None:
    """The moments of events are those at which they came, also where requests reads them for the application."""
    with replaying(*answer(EVENTS), gap_s=0.05) as url:
        response = requests.post(url + PATH, json=STREAM, stream=stream)
        assert response.content == WHOLE
    attributes = observed.attributes()
    assert attributes["gen_ai.response.time_to_first_chunk"] < 0.1
    assert attributes["xai.response.time_to_first_token"] > attributes["gen_ai.response.time_to_first_chunk"] + 0.03


def test_a_stream_cut_anywhere_is_understood(observed: Telemetry) -> None:
    """Pieces of every size, as the network cuts them and as the application asks for them."""
    count = 0
    for size in (1, 2, 3, 17, 64):
        pieces = [WHOLE[index : index + size] for index in range(0, len(WHOLE), size)]
        with replaying(*answer(pieces)) as url:
            for way in (1, 5, None):
                response = requests.post(url + PATH, json=STREAM, stream=True)
                assert b"".join(response.iter_content(way)) == WHOLE
                count += 1
    assert complete(observed, count)


def test_a_response_can_be_pickled_and_its_body_copied(observed: Telemetry) -> None:
    """What could be kept or copied still can."""
    with replaying(*answer(EVENTS)) as url:
        response = requests.post(url + PATH, json=STREAM, stream=True)
        raw = copy.copy(response.raw)
        assert type(raw) is type(response.raw)
        kept = pickle.loads(pickle.dumps(response))
    assert kept.content == WHOLE
    assert complete(observed)


def test_a_request_leaves_as_it_was_but_for_the_trace_context(observed: Telemetry, server: Any) -> None:
    """Body and headers arrive as the application made them, plus the context of our span."""
    body = json.dumps({**BODY, "messages": [{"role": "user", "content": "\u6f22 \u00e9"}]})
    headers = {"authorization": "Bearer k", "x-own": "1", "content-type": "application/json"}
    requests.post(server.url + PATH, data=body, headers=headers)
    arrived = server.requests[-1]
    span = observed.span.get_span_context()
    assert arrived.body == body.encode()
    _, trace_id, span_id, _ = arrived.headers["traceparent"].split("-")
    assert (int(trace_id, 16), int(span_id, 16)) == (span.trace_id, span.span_id)
    assert set(arrived.headers) - {"traceparent"} == {
        "host", "accept", "accept-encoding", "connection", "user-agent", "authorization", "x-own", "content-type",
        "content-length",
    }  # fmt: skip
    assert observed.attributes()["gen_ai.request.model"] == "grok-4.7"


# --- one exchange, whatever it takes ----------------------------------------------------------------------------------


WITHOUT = b"".join(events(asked=False))


@pytest.mark.parametrize("stream", [False, True])
def test_the_request_of_the_application_stays_its_own(stream: bool, instrument: Any) -> None:
    """It is what the response and its hooks name, unchanged, and may be sent again; what left is right in its length."""
    telemetry = instrument(stream_usage="request")
    named: list[Any] = []
    with serving() as gateway, requests.Session() as session:
        request = session.prepare_request(requests.Request("POST", gateway.url + PATH, json=STREAM))
        request.register_hook("response", lambda response, **_: named.append(response.request))
        body, headers = request.body, dict(request.headers)
        for _ in range(2):
            response = session.send(request, stream=stream)
            assert response.content == WITHOUT
            assert response.request is request
        assert request.body is body
        assert {**request.headers, "traceparent": ""} == {**headers, "traceparent": ""}
    assert all(each is request for each in named)
    for received in gateway.received:
        assert received.asked
        assert received.body.startswith(body[:-1])
        assert received.headers["accept-encoding"] == "identity"
        assert received.headers["content-length"] == str(len(received.body))
    assert [(span.attributes or {})["gen_ai.usage.input_tokens"] for span in telemetry.spans] == [1200, 1200]


def test_a_hook_that_reads_sees_nothing_of_what_was_asked(instrument: Any) -> None:
    """Hooks get the answer as the application would."""
    instrument(stream_usage="request")
    seen: list[bytes] = []
    with serving() as gateway:
        hooks = {"response": lambda response, **_: seen.append(response.content)}
        response = requests.post(gateway.url + PATH, json=STREAM, stream=True, hooks=hooks)
        assert list(response.iter_content(None))
    assert seen == [WITHOUT]


@pytest.mark.parametrize("follow", [True, False], ids=["followed", "not-followed"])
def test_redirects_carry_the_question_and_show_the_application_its_own(follow: bool, instrument: Any) -> None:
    """The request of a redirect is one of the application's, also where the application is to send it."""
    telemetry = instrument(stream_usage="request")
    with serving(redirects=True) as gateway, requests.Session() as session:
        response = session.post(gateway.url + PATH, json=STREAM, allow_redirects=follow)
        body = json.dumps(STREAM).encode()
        request = response.request if follow else response.next
        assert json.loads(request.body) == STREAM
        assert request.headers["content-length"] == str(len(request.body))
        assert request.headers["accept-encoding"] != "identity"
        if follow:
            assert len(response.history[0].request.body) <= len(body)
            assert response.content == WITHOUT
            assert gateway.asked == [True, True]
            assert telemetry.attributes()["gen_ai.usage.input_tokens"] == 1200
        else:
            assert session.send(request).content == WITHOUT


def test_an_exception_names_the_request_of_the_application(instrument: Any) -> None:
    """What cannot be sent is told of the application's request."""
    instrument(stream_usage="request")
    with requests.Session() as session:
        request = session.prepare_request(requests.Request("POST", f"http://127.0.0.1:1{PATH}", json=STREAM))
        with pytest.raises(requests.ConnectionError) as raised:
            session.send(request)
    assert raised.value.request is request


def test_what_an_adapter_adds_is_in_the_request_of_the_application(instrument: Any) -> None:
    """An adapter that adds headers adds them to the request that the response names."""

    class Adding(requests.adapters.HTTPAdapter):  # type: ignore[misc, name-defined]
        def add_headers(self, request: Any, **_kwargs: Any) -> None:
            request.headers["x-added"] = "here"
            request.headers.pop("accept", None)
            request.mark = "seen"

    instrument(stream_usage="request")
    with serving() as gateway, requests.Session() as session:
        session.mount("http://", Adding())
        response = session.post(gateway.url + PATH, json=STREAM)
    assert gateway.received[0].headers["x-added"] == "here"
    assert response.request.headers["x-added"] == "here"
    assert "accept" not in response.request.headers
    assert response.request.mark == "seen"
    assert response.request.headers["accept-encoding"] != "identity"


def test_an_adapter_of_the_applications_own_is_not_asked(instrument: Any) -> None:
    """What answers from memory gets the application's own request."""
    instrument(stream_usage="request")
    seen: list[Any] = []

    class Own(requests.adapters.BaseAdapter):  # type: ignore[misc, name-defined]
        def send(self, request: Any, **_kwargs: Any) -> Any:
            seen.append(request)
            response = requests.Response()
            response.status_code, response.raw, response.request = 200, io.BytesIO(WITHOUT), request
            response.headers["content-type"] = "text/event-stream"
            return response

        def close(self) -> None:
            pass

    with requests.Session() as session:
        session.mount("https://", Own())
        request = session.prepare_request(requests.Request("POST", URL, json=STREAM))
        assert session.send(request).content == WITHOUT
    assert seen == [request]


def test_a_test_that_watches_sees_what_the_application_sent(instrument: Any) -> None:
    """The pytest fixture beside telemetry: asked and hidden as without it."""
    instrument(stream_usage="request")
    with serving() as gateway, Recording(("127.0.0.1",)).running() as recording:
        assert requests.post(gateway.url + PATH, json=STREAM).content == WITHOUT
    (request,) = recording.requests
    assert request.body is not None
    assert b"include_usage" not in request.body.written()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_redirect_is_followed_within_one_span(stream: bool, observed: Telemetry, server: Any) -> None:
    """Redirects belong to the exchange: one span, with the last answer's facts."""
    headers = {"authorization": "Bearer k", "x-trouble": "redirect=2"}
    response = requests.post(server.url + PATH, json={**BODY, "stream": stream}, headers=headers, stream=stream)
    assert response.content
    assert [entry.status_code for entry in response.history] == [307, 307]
    assert observed.attributes()["http.response.status_code"] == 200
    assert observed.attributes()["gen_ai.response.finish_reasons"] == ("stop",)


def test_a_redirect_that_is_not_followed_is_an_answer(observed: Telemetry, server: Any) -> None:
    """Without following, the redirect itself is the answer."""
    headers = {"authorization": "Bearer k", "x-trouble": "redirect=1"}
    response = requests.post(server.url + PATH, json=BODY, headers=headers, allow_redirects=False)
    assert response.next is not None
    assert observed.attributes()["http.response.status_code"] == 307


def test_too_many_redirects_are_named_so(observed: Telemetry, server: Any) -> None:
    """The library's own exception is none of the redirects' status."""
    with requests.Session() as session:
        session.max_redirects = 2
        with pytest.raises(requests.TooManyRedirects):
            headers = {"authorization": "Bearer k", "x-trouble": "redirect=9"}
            session.post(server.url + PATH, json=BODY, headers=headers)
    assert observed.attributes()["error.type"] == "requests.exceptions.TooManyRedirects"
    assert "http.response.status_code" not in observed.attributes()


def test_a_challenge_is_answered_within_one_span(observed: Telemetry, server: Any) -> None:
    """A hook that sends again after a 401, as digest authentication does."""

    class Challenge(requests.auth.AuthBase):  # type: ignore[misc]
        def __call__(self, request: Any) -> Any:
            request.register_hook("response", self.answer)
            return request

        def answer(self, response: Any, **kwargs: Any) -> Any:
            if response.status_code != 401:
                return response
            assert response.content
            response.close()
            request = response.request.copy()
            request.headers["authorization"] = "Bearer k"
            second = response.connection.send(request, **kwargs)
            second.history.append(response)
            return second

    assert requests.post(server.url + PATH, json=BODY, auth=Challenge()).status_code == 200
    assert observed.attributes()["http.response.status_code"] == 200
    assert observed.attributes()["gen_ai.usage.input_tokens"] > 0


def test_retries_of_an_adapter_are_one_exchange(observed: Telemetry) -> None:
    """``HTTPAdapter(max_retries=...)`` retries within urllib3: one call of the application's, one span."""
    retry = requests.packages.urllib3.util.Retry(total=3, status_forcelist=[503], allowed_methods=None)
    refusal = b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    with replaying(*answer(EVENTS), first=[refusal]) as url, requests.Session() as session:
        session.mount("http://", requests.adapters.HTTPAdapter(max_retries=retry))
        assert session.post(url + PATH, json=STREAM).content == WHOLE
    assert complete(observed)


@pytest.mark.parametrize("how", ["raise_for_status", "read-first", "other"])
def test_a_response_hook_that_raises_hides_no_status(how: str, observed: Telemetry, server: Any) -> None:
    """A hook that turns an error status into an exception: the span says which status."""

    def hook(response: Any, **_kwargs: Any) -> None:
        if how == "read-first":
            assert response.content
        if how == "other":
            raise KeyError("no such header")
        response.raise_for_status()

    headers = {"authorization": "Bearer k", "x-trouble": "status=429"}
    with pytest.raises((requests.HTTPError, KeyError)):
        requests.post(server.url + PATH, json=BODY, headers=headers, hooks={"response": hook})
    assert observed.attributes()["error.type"] == "429"
    assert "xai.request.id" in observed.attributes()


# --- whatever carries it ----------------------------------------------------------------------------------------------


def made(request: Any, adapter: Any, **parts: Any) -> Any:
    """A response as adapters make them that answer from memory."""
    response = requests.Response()
    response.status_code, response.url, response.request, response.connection = 200, request.url, request, adapter
    for name, value in parts.items():
        setattr(response, name, value)
    return response


class FromMemory(requests.adapters.BaseAdapter):  # type: ignore[misc]
    """An adapter that is none of the library's own."""

    def __init__(self, **parts: Any) -> None:
        super().__init__()
        self.parts = parts
        self.sent: list[tuple[Any, dict[str, Any]]] = []

    def send(self, request: Any, **kwargs: Any) -> Any:
        """Answer."""
        self.sent.append((request, kwargs))
        parts = {name: value() if callable(value) else value for name, value in self.parts.items()}
        return made(request, self, **parts)

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("kind", ["content", "file"])
def test_an_adapter_of_the_applications_own_is_observed(kind: str, stream: bool, observed: Telemetry) -> None:
    """An answer from memory counts, and the adapter is asked for just what the application asked for."""
    adapter = FromMemory(**({"_content": DOCUMENT} if kind == "content" else {"raw": lambda: io.BytesIO(DOCUMENT)}))
    with requests.Session() as session:
        session.mount("https://", adapter)
        response = session.post(URL, json=BODY, stream=stream)
        assert kind == "content" or isinstance(response.raw, io.BytesIO)
        assert response.json() == ANSWER
    assert adapter.sent[0][1]["stream"] is stream
    assert complete(observed)


@pytest.mark.parametrize("how", ["read", "lines", "closed", "forgotten", "raises"])
def test_a_file_of_an_adapters_own_is_told_of_in_every_way(how: str, observed: Telemetry) -> None:
    """Read in pieces, by lines, closed or forgotten."""

    class Breaking(io.BytesIO):
        def read(self, *_args: Any) -> bytes:
            raise ConnectionResetError

    adapter = FromMemory(raw=lambda: (Breaking if how == "raises" else io.BytesIO)(WHOLE))
    with requests.Session() as session:
        session.mount("https://", adapter)
        response = session.post(URL, json=STREAM, stream=True)
        if how == "read":
            assert b"".join(iter(functools.partial(response.raw.read, 9), b"")) == WHOLE
        elif how == "lines":
            assert b"".join(response.raw) == WHOLE
        elif how == "raises":
            with pytest.raises(ConnectionResetError):
                response.raw.read()
        else:
            assert response.raw.readline()
            if how == "closed":
                response.close()
        del response
        gc.collect()
    if how in ("read", "lines"):
        assert complete(observed)
    else:
        assert observed.attributes().get("error.type") == ("stream_interrupted" if how == "raises" else None)
        assert observed.attributes()["gen_ai.response.finish_reasons"] == ("error",)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
def test_requests_mock_is_observed(streamed: bool, observed: Telemetry) -> None:
    """As with a real server."""
    requests_mock = pytest.importorskip("requests_mock")
    with requests_mock.Mocker() as mocker:
        mocker.post(
            URL,
            content=WHOLE if streamed else DOCUMENT,
            headers={"content-type": "text/event-stream"} if streamed else {},
        )
        response = requests.post(URL, json={**BODY, "stream": streamed}, stream=streamed)
        assert response.content == (WHOLE if streamed else DOCUMENT)
    assert complete(observed)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_responses_is_observed(streamed: bool, first: str, instrument: Any) -> None:
    """``responses``, which patches the adapter, before us or after us."""
    responses = pytest.importorskip("responses")
    telemetry = instrument() if first == "ours" else None
    with responses.RequestsMock() as mock:
        telemetry = telemetry or instrument()
        kind = "text/event-stream" if streamed else "application/json"
        mock.post(URL, body=WHOLE if streamed else DOCUMENT, content_type=kind)
        response = requests.post(URL, json={**BODY, "stream": streamed}, stream=streamed)
        assert response.content == (WHOLE if streamed else DOCUMENT)
    assert complete(telemetry)


def test_sessions_of_the_applications_own_are_observed(observed: Telemetry, server: Any) -> None:
    """Classes that override each of the methods, and one whose ``send`` never asks the library."""

    class Own(requests.Session):  # type: ignore[misc]
        def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
            return super().request(method, server.url + url, *args, **kwargs)

        def prepare_request(self, request: Any) -> Any:
            return super().prepare_request(request)

        def send(self, request: Any, **kwargs: Any) -> Any:
            return super().send(request, **kwargs)

    class Another(requests.Session):  # type: ignore[misc]
        def send(self, request: Any, **kwargs: Any) -> Any:
            return made(request, None, _content=DOCUMENT)

    with Own() as session, Another() as another:
        assert session.post(PATH, json=BODY, headers={"authorization": "Bearer k"}).ok
        assert another.post(URL, json=BODY).json() == ANSWER
    assert [dict(span.attributes or {})["gen_ai.response.finish_reasons"] for span in observed.spans] == [("stop",)] * 2


def test_a_prepared_request_is_observed(observed: Telemetry, server: Any) -> None:
    """What the application prepares and sends itself, and a URL that the library has to normalise."""
    url = server.url.replace("http://", "HTTP://") + PATH
    with requests.Session() as session:
        request = requests.Request("post", url, json=BODY, headers={"authorization": "Bearer k"})
        assert session.send(session.prepare_request(request)).ok
        assert session.post(url, json=BODY, headers={"authorization": "Bearer k"}).ok
    assert len(observed.spans) == 2


def test_a_body_that_is_not_known_is_a_span_all_the_same(observed: Telemetry, server: Any) -> None:
    """A generator is not ours to read."""
    headers = {"authorization": "Bearer k", "content-type": "application/json"}
    assert requests.post(server.url + PATH, data=iter([json.dumps(BODY).encode()]), headers=headers).ok
    assert observed.span.name == "chat"
    assert observed.attributes()["gen_ai.usage.input_tokens"] > 0


# --- layers, contexts, and what is none of ours -----------------------------------------------------------------------


@pytest.mark.parametrize("url", ["https://api.openai.com/v1/chat/completions", "https://api.x.ai/v1/embeddings"])
def test_a_bystander_is_not_touched(url: str, observed: Telemetry) -> None:
    """Another host, or another path of xAI's: no span, no header, the file as the adapter made it."""
    file = io.BytesIO(b"{}")
    adapter = FromMemory(raw=lambda: file)
    with requests.Session() as session:
        session.mount("https://", adapter)
        assert session.post(url, json=BODY, stream=True).raw is file
    assert "traceparent" not in adapter.sent[0][0].headers
    assert observed.spans == []


@pytest.mark.parametrize("suppress", [suppress_instrumentation, suppress_http_instrumentation])
def test_suppression_is_honoured(suppress: Any, observed: Telemetry) -> None:
    """What runs under OpenTelemetry's suppression is not observed."""
    with requests.Session() as session:
        session.mount("https://", FromMemory(_content=DOCUMENT))
        with suppress():
            session.post(URL, json=BODY)
        assert observed.spans == []
        session.post(URL, json=BODY)
    assert len(observed.spans) == 1


def test_what_a_hook_sends_in_a_thread_is_a_call_of_its_own(observed: Telemetry, server: Any) -> None:
    """And what it sends elsewhere meanwhile is none."""
    headers = {"authorization": "Bearer k"}

    def hook(*_args: Any, **_kwargs: Any) -> None:
        with requests.Session() as session:
            session.mount("https://", FromMemory(_content=b"{}"))
            session.post("https://example.com/", json={})
        other = {**BODY, "messages": [{"role": "user", "content": "Is this allowed?"}]}
        thread = threading.Thread(
            target=requests.post, args=(server.url + PATH,), kwargs={"json": other, "headers": headers}
        )
        thread.start()
        thread.join()

    assert requests.post(server.url + PATH, json=BODY, headers=headers, hooks={"response": hook}).ok
    assert len(observed.spans) == 2


def test_the_context_is_clean_afterwards(observed: Telemetry, server: Any) -> None:
    """The span is current while the request is sent, and no longer."""
    current: list[Any] = []

    class Looking(requests.adapters.HTTPAdapter):  # type: ignore[misc]
        def send(self, *args: Any, **kwargs: Any) -> Any:
            current.append(trace.get_current_span())
            return super().send(*args, **kwargs)

    before = context.get_current()
    with requests.Session() as session:
        session.mount("http://", Looking())
        response = session.post(server.url + PATH, json=STREAM, headers={"authorization": "Bearer k"}, stream=True)
        assert context.get_current() == before
        assert response.content
    assert current[0].get_span_context() == observed.span.get_span_context()


def let_go(url: str) -> bool:
    """Take some of an answer and let go of it; says whether it is gone, without any help of a collector."""
    response = requests.post(url + PATH, json=STREAM, stream=True)
    raw = weakref.ref(response.raw)
    next(response.iter_content(10))
    del response
    return raw() is None


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


# --- OpenTelemetry's own instrumentation ------------------------------------------------------------------------------

STEPS = ("ours on", "theirs on", "ours off", "theirs off")
ORDERS = [order for order in permutations(STEPS) if order.index("ours on") < order.index("ours off") and order.index("theirs on") < order.index("theirs off")]  # fmt: skip


@pytest.fixture
def theirs(telemetry: Telemetry) -> Iterator[Any]:
    """Their instrumentation, with our providers."""
    module = pytest.importorskip(OTHERS)
    instrumentor = module.RequestsInstrumentor()
    switch = type("Switch", (), {})()
    switch.on = lambda: instrumentor.instrument(tracer_provider=telemetry.tracer_provider)
    switch.off = instrumentor.uninstrument
    yield switch
    if instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.uninstrument()


@pytest.mark.parametrize("order", ORDERS, ids=", ".join)
@pytest.mark.parametrize("way", ["post", "send"])
def test_each_is_on_when_it_is_on_in_any_order(
    way: str, order: Any, theirs: Any, instrument: Any, telemetry: Telemetry, monkeypatch: Any
) -> None:
    """Whoever comes first or goes first: each records just while it is on, theirs a child of ours, and all is put back."""
    monkeypatch.setattr(requests.Session, "send", requests.Session.send)  # for the next test, whatever stays here
    originals = requests.Session.request, requests.Session.prepare_request, requests.Session.send
    on: set[str] = set()
    with replaying(*answer(EVENTS)) as url, requests.Session() as session:
        for step in order:
            who, what = step.split()
            if who == "ours":
                instrument() if what == "on" else XAIInstrumentor().uninstrument()
            else:
                theirs.on() if what == "on" else theirs.off()
            (on.add if what == "on" else on.remove)(who)
            telemetry.exporter.clear()
            before = context.get_current()
            if way == "post":
                response = session.post(url + PATH, json=STREAM, stream=True)
            else:
                request = session.prepare_request(requests.Request("POST", url + PATH, json=STREAM))
                response = session.send(request, stream=True)
            assert response.content == WHOLE
            assert context.get_current() == before
            others = of_other(telemetry, OTHERS)
            assert (len(telemetry.spans), len(others)) == ("ours" in on, "theirs" in on)
            if len(on) == 2:
                assert complete(telemetry)
                outside, inside = telemetry.span, others[0]
                if way == "send" and order.index("ours on") < order.index("theirs on"):  # then theirs is outermost
                    outside, inside = inside, outside
                assert inside.parent is not None
                assert inside.parent.span_id == outside.context.span_id
    assert (requests.Session.request, requests.Session.prepare_request) == originals[:2]
    assert inspect.unwrap(requests.Session.send) is originals[2]
    if order[-1] == "ours off" or order == ("theirs on", "ours on", "ours off", "theirs off"):
        assert requests.Session.send is originals[2]


@pytest.mark.parametrize("suppress", [suppress_instrumentation, suppress_http_instrumentation])
@pytest.mark.parametrize("way", ["post", "send"])
def test_beneath_theirs_suppression_is_honoured(suppress: Any, way: str, theirs: Any, observed: Telemetry) -> None:
    """What the application suppresses is not observed, whoever passes it on."""
    theirs.on()
    with replaying(*answer(EVENTS)) as url, requests.Session() as session, suppress():
        if way == "post":
            session.post(url + PATH, json=STREAM)
        else:
            session.send(session.prepare_request(requests.Request("POST", url + PATH, json=STREAM)))
    assert observed.spans == []


def test_theirs_taken_off_one_session_leaves_ours(theirs: Any, instrument: Any) -> None:
    """``uninstrument_session`` works through ours."""
    theirs.on()
    telemetry = instrument()
    with replaying(*answer(EVENTS)) as url, requests.Session() as session:
        pytest.importorskip(OTHERS).RequestsInstrumentor.uninstrument_session(session)
        assert session.post(url + PATH, json=STREAM).content == WHOLE
    assert complete(telemetry)
    assert of_other(telemetry, OTHERS) == []


# --- on and off -------------------------------------------------------------------------------------------------------


def test_sessions_made_before_are_covered_and_originals_come_back(instrument: Any) -> None:
    """``instrument()`` covers sessions that exist; ``uninstrument()`` puts the very same functions back."""
    owners = [(requests.Session, "request"), (requests.Session, "send"), (requests.adapters.HTTPAdapter, "send")]
    originals = [vars(owner)[name] for owner, name in owners]
    signature = inspect.signature(requests.Session.send)
    with requests.Session() as session:
        session.mount("https://", FromMemory(_content=DOCUMENT))
        for _ in range(2):
            telemetry = instrument()
            assert inspect.signature(requests.Session.send) == signature
            session.post(URL, json=BODY)
            kept = session.post
            XAIInstrumentor().uninstrument()
            assert [vars(owner)[name] for owner, name in owners] == originals
            kept(URL, json=BODY)
    assert complete(telemetry, 2)


def test_a_stream_that_outlives_uninstrument_still_ends(instrument: Any) -> None:
    """A call that has begun is told to its end, whatever is switched off meanwhile."""
    telemetry = instrument()
    with replaying(*answer(EVENTS)) as url:
        response = requests.post(url + PATH, json=STREAM, stream=True)
        XAIInstrumentor().uninstrument()
        assert response.content == WHOLE
    assert complete(telemetry)


def test_a_stream_is_over_with_its_last_event(observed: Telemetry) -> None:
    """Not when the application gets round to closing it."""
    with replaying(*answer(EVENTS)) as url, requests.post(url + PATH, json=STREAM, stream=True) as response:
        for line in response.iter_lines():
            if line == b"data: [DONE]":
                break
        assert complete(observed)
        time.sleep(0.01)

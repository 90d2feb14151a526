"""One exchange, from bytes and moments to an observation: whatever the bytes are, however they are cut."""

import gzip
import json
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import examples
from opentelemetry.instrumentation.xai import conventions as names
from opentelemetry.instrumentation.xai.exchange import Exchange
from opentelemetry.instrumentation.xai.observation import Ending, Observation, Request, Usage
from opentelemetry.instrumentation.xai.wire.content_coding import UnreadableError, decoder_for
from opentelemetry.instrumentation.xai.wire.repetition import has_form
from opentelemetry.instrumentation.xai.wire.request_body import read_request_body
from opentelemetry.instrumentation.xai.wire.routes import dialect_of

CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
PATHS = (CHAT, RESPONSES, MESSAGES)
EVENT_STREAM = {b"content-type": b"text/event-stream"}
JSON = {b"content-type": b"application/json"}
MOMENT = 1_000
MILLISECOND = 1_000_000
DOCUMENT = b'{"id":"c","choices":[{"index":0,"finish_reason":"stop"}],"usage":{"prompt_tokens":7}}'
EVENT = b"data: " + DOCUMENT + b"\n\n"


class Body(NamedTuple):
    """An answer as it was on the wire."""

    path: str
    stream: bool
    status: int
    headers: dict[bytes, bytes]
    content: bytes

    @property
    def plain(self) -> bytes:
        """The content with its coding undone."""
        decoder = decoder_for(self.headers.get(b"content-encoding", b"").decode())
        return self.content if decoder is None else b"".join(decoder.decode(self.content))


def exchange_of(path: str, *, stream: bool) -> Exchange:
    """A new exchange, issued at moment 0."""
    dialect = dialect_of("POST", path)
    assert dialect is not None
    return Exchange(Request(dialect.operation, "api.x.ai", 443, "grok-4.7", stream=stream), dialect, 0)


def hand_in(exchange: Exchange, chunks: Iterable[bytes], *, shortcut: bool, moment: int = MOMENT) -> None:
    """Hand chunks in as ``ObservedCall.bytes_received`` does, or, without the shortcut, every one of them."""
    for chunk in chunks:
        if shortcut and exchange.uneventful is not None and has_form(exchange.uneventful, chunk):
            continue
        exchange.bytes_received(chunk, moment)
        if exchange.terminated:
            return


def observe(body: Body, chunks: Iterable[bytes] | None = None, *, shortcut: bool = False) -> Observation:
    """The observation of a body that came to its end, in one chunk unless told."""
    exchange = exchange_of(body.path, stream=body.stream)
    exchange.headers_received(body.status, body.headers)
    hand_in(exchange, [body.content] if chunks is None else chunks, shortcut=shortcut)
    return exchange.end(Ending.COMPLETE, MOMENT)


def stream_of(path: str, *events: Any, done: bool = False) -> Body:
    """A streamed answer made of these events."""
    texts = [event if isinstance(event, str) else json.dumps(event) for event in events]
    content = "".join(f"data: {text}\n\n" for text in [*texts, *(["[DONE]"] if done else [])])
    return Body(path, True, 200, EVENT_STREAM, content.encode())


def document_of(path: str, document: Any, status: int = 200) -> Body:
    """An answer in one piece."""
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Body(path, False, status, JSON, content)


# --- recorded bodies ---------------------------------------------------------------------------------------------

_TOOL = {"name": "look_up", "parameters": {"type": "object", "properties": {"place": {"type": "string"}}}}
_TERSE = "grok-4.20-0309-non-reasoning"
_STREAMED = (
    *("", "crlf", "cr", "bom", "comments", "event_lines", "spaces", "incomplete", "no_done", "join"),
    *("usage=none", "usage=null", "usage=wrong_types", "usage=every_chunk"),
    *("error_event=flat", "error_event=nested", "error_event=failed"),
    *("encoding=gzip", "encoding=deflate", "encoding=br", "encoding=zstd"),
    *("crlf,bom,comments,event_lines,spaces", "cr,bom,comments,event_lines,encoding=gzip"),
)
_WHOLE = (
    *("", "spaces", "incomplete", "usage=none", "usage=null", "usage=wrong_types", "status=429", "error=html"),
    *("error=string,status=500", "encoding=gzip", "encoding=deflate", "encoding=br", "encoding=zstd"),
)
RECORDINGS = [
    *((path, True, trouble, _TERSE) for path in PATHS for trouble in _STREAMED),
    *((path, False, trouble, "grok-4.7") for path in PATHS for trouble in _WHOLE),
    *((path, True, "", "grok-4.7") for path in PATHS),
    *((path, stream, "tool", _TERSE) for path in PATHS for stream in (True, False)),
    *((CHAT, stream, "choices=2", _TERSE) for stream in (True, False)),
]
_CODECS = {"br": "brotli", "zstd": "zstandard"}


def _prompt(path: str, text: str, *, tool: bool) -> dict[str, Any]:
    body: dict[str, Any] = {"input": text} if path == RESPONSES else {"messages": [{"role": "user", "content": text}]}
    if tool:
        body["tools"] = [{"type": "function", "function": _TOOL} if path == CHAT else {"type": "function", **_TOOL}]
    if path == MESSAGES:
        body["max_tokens"] = 100
        body["tools"] = [{"name": "look_up", "input_schema": _TOOL["parameters"]}] if tool else []
    return body


@pytest.fixture(scope="session")
def record(server: Any) -> Iterator[Callable[..., Body]]:
    """A function that gives the body which the server sends for a recording; asks it once for each."""
    httpx = pytest.importorskip("httpx")
    bodies: dict[tuple[str, bool, str, str], Body] = {}

    with httpx.Client(base_url=server.url) as client:

        def recorded(path: str, stream: bool, trouble: str, model: str) -> Body:
            coding = trouble.rpartition("encoding=")[2] if "encoding=" in trouble else ""
            if coding in _CODECS:
                pytest.importorskip(_CODECS[coding])
            key = (path, stream, trouble, model)
            if key not in bodies:
                tool = trouble == "tool"
                request = {"model": model, "stream": stream, **_prompt(path, "use a tool" if tool else "hi", tool=tool)}
                if path == CHAT and stream:
                    request["stream_options"] = {"include_usage": True}
                headers = {"authorization": "Bearer any", "x-trouble": ("" if tool else f"{trouble},") + "events=4"}
                with client.stream("POST", path, json=request, headers=headers) as response:
                    content = b"".join(response.iter_raw())
                    raw = {name.lower(): value for name, value in response.headers.raw}
                bodies[key] = Body(path, stream, response.status_code, raw, content)
            return bodies[key]

        yield recorded


def _documents(body: Body) -> list[Any]:
    """Every JSON document of a body, read in the plainest way."""
    text = body.plain.decode("utf-8-sig")
    if not body.stream or body.status >= 400:
        return [json.loads(text)]
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return [json.loads(line[6:]) for line in lines if line.startswith("data: ") and line != "data: [DONE]"]


def _counts(path: str, usage: Any) -> tuple[Any, ...] | None:
    """Input, output, cached and reasoning tokens of a usage object, counted in the conventions' way."""
    if path == CHAT:
        reasoning = usage["completion_tokens_details"]["reasoning_tokens"]
        cached = usage["prompt_tokens_details"]["cached_tokens"]
        return usage["prompt_tokens"], usage["completion_tokens"] + reasoning, cached, reasoning
    if path == RESPONSES:
        cached = usage["input_tokens_details"]["cached_tokens"]
        return usage["input_tokens"], usage["output_tokens"], cached, usage["output_tokens_details"]["reasoning_tokens"]
    cached = usage["cache_read_input_tokens"]
    return usage["input_tokens"] + cached, usage["output_tokens"], cached, None


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: "-".join(map(str, recording)))
def test_what_a_body_says_is_observed(record: Callable[..., Body], recording: tuple[Any, ...]) -> None:
    """Id, model, usage and error of each recorded body are those that a plain reading of its JSON finds."""
    body = record(*recording)
    trouble = recording[2]
    observation = observe(body)
    assert observation.status_code == body.status
    assert observation.request_id == body.headers[b"x-request-id"].decode()
    if body.status >= 400:
        assert observation.error_type == str(body.status)
        assert observation.finish_reasons == ()
        assert observation.usage is None
        return
    assert observation.unreadable is None
    assert observation.streamed is body.stream
    documents = _documents(body)
    first = documents[0].get("response") or documents[0].get("message") or documents[0]
    assert (observation.response_id, observation.response_model) == (first["id"], first["model"])
    usages = [
        usage
        for document in documents
        for holder in (document, document.get("response"), document.get("message"))
        if isinstance(holder, dict) and (usage := holder.get("usage"))
    ]
    if "error_event" in trouble:
        assert observation.error_type == names.ERROR_EVENT
        assert observation.finish_reasons == (names.FINISH_ERROR,)
        return
    assert observation.error_type is None
    assert names.FINISH_ERROR not in observation.finish_reasons
    assert len(observation.finish_reasons) == (2 if trouble == "choices=2" else 1)
    if "wrong_types" in trouble:
        assert observation.usage is None or observation.usage == Usage()
    elif usages:
        usage = observation.usage
        assert usage is not None
        merged = {**usages[0], **{name: value for name, value in usages[-1].items() if value is not None}}
        counted = (usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.reasoning_tokens)
        assert counted == _counts(body.path, merged)
        if "cost_in_usd_ticks" in merged:
            assert usage.cost_ticks == merged["cost_in_usd_ticks"]
    else:
        assert observation.usage is None


@pytest.mark.combinations
@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: "-".join(map(str, recording)))
def test_a_body_may_be_cut_anywhere(record: Callable[..., Body], recording: tuple[Any, ...]) -> None:
    """A body split at any byte position, or given byte by byte, is the same observation as the body whole."""
    body = record(*recording)
    content, whole = body.content, observe(body)
    for position in range(1, len(content)):
        assert observe(body, (content[:position], content[position:]), shortcut=True) == whole, position
    assert observe(body, (content[at : at + 1] for at in range(len(content))), shortcut=True) == whole


@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_body_may_be_cut_often(record: Callable[..., Body], data: st.DataObject) -> None:
    """A body cut into any number of chunks, empty ones included, is the same observation as the body whole."""
    plain = [recording for recording in RECORDINGS if "=br" not in recording[2] and "=zstd" not in recording[2]]
    body = record(*data.draw(st.sampled_from(plain)))
    size = len(body.content)
    cuts = sorted(data.draw(st.lists(st.integers(0, size), max_size=40)))
    chunks = [body.content[start:end] for start, end in zip([0, *cuts], [*cuts, size], strict=True)]
    assert observe(body, chunks, shortcut=data.draw(st.booleans())) == observe(body)


@pytest.mark.parametrize("path", PATHS)
def test_one_body_in_every_dress(record: Callable[..., Body], path: str) -> None:
    """Line ends, byte order mark, comments, event lines, blanks and content codings change nothing that is observed."""
    dresses = ["crlf", "cr", "bom", "comments", "event_lines", "spaces", "no_done", "join", "encoding=gzip"]
    plain = observe(record(path, True, "", _TERSE))
    for trouble in dresses:
        dressed = observe(record(path, True, trouble, _TERSE))
        assert dressed.timeline == plain.timeline, trouble
        assert dressed.finish_reasons == plain.finish_reasons, trouble
        assert dressed.usage is not None
        assert plain.usage is not None
        assert dressed.usage.output_tokens == plain.usage.output_tokens, trouble


# --- moments -----------------------------------------------------------------------------------------------------


def _chat(delta: Any, **more: Any) -> dict[str, Any]:
    return {"id": "c", "model": "grok-4.7", "choices": [{"index": 0, "delta": delta}], **more}


_MOMENTS: dict[str, tuple[str, Any, Any, Any]] = {
    "chat": (
        CHAT,
        _chat({"role": "assistant", "content": ""}),
        _chat({"reasoning_content": "hm"}),
        _chat({"content": "a"}),
    ),
    "chat-reasoning": (CHAT, _chat({"role": "assistant"}), _chat({"reasoning": "hm"}), _chat({"refusal": "no"})),
    "chat-tool": (
        CHAT,
        _chat({}),
        _chat({"reasoning_content": "hm", "content": ""}),
        _chat({"tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "f", "arguments": ""}}]}),
    ),
    "responses": (
        RESPONSES,
        {"type": "response.created", "response": {"id": "r", "model": "grok-4.7", "status": "in_progress"}},
        {"type": "response.reasoning_summary_text.delta", "delta": "hm"},
        {"type": "response.output_text.delta", "delta": "a"},
    ),
    "responses-tool": (
        RESPONSES,
        {"type": "response.output_text.delta", "delta": ""},
        {"type": "response.reasoning_text.delta", "delta": "hm"},
        {"type": "response.function_call_arguments.delta", "delta": "{"},
    ),
    "messages": (
        MESSAGES,
        {"type": "message_start", "message": {"id": "m", "model": "grok-4.7", "usage": {"input_tokens": 3}}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "a"}},
    ),
    "messages-tool": (
        MESSAGES,
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "{"}},
    ),
}


@pytest.mark.parametrize("case", _MOMENTS)
def test_the_first_token_is_the_first_that_is_not_empty(case: str) -> None:
    """The empty first event is the first chunk; tokens of each kind have the moment of the first one with text."""
    path, *events = _MOMENTS[case]
    exchange = exchange_of(path, stream=True)
    exchange.headers_received(200, EVENT_STREAM)
    exchange.bytes_received(b": waiting\n\n", 20 * MILLISECOND)
    for event, moment in zip((*events, events[1], events[2]), (50, 200, 400, 500, 600), strict=True):
        exchange.bytes_received(b"data: " + json.dumps(event).encode() + b"\n\n", moment * MILLISECOND)
    timeline = exchange.end(Ending.COMPLETE, 700 * MILLISECOND).timeline
    assert (timeline.issued, timeline.ended) == (0, 700 * MILLISECOND)
    assert timeline.first_chunk == 50 * MILLISECOND
    assert timeline.first_reasoning_token == 200 * MILLISECOND
    assert timeline.first_answer_token == 400 * MILLISECOND


def test_a_token_has_the_moment_of_the_bytes_that_complete_its_event() -> None:
    """An event that is cut counts when its last byte is there, not when its first is."""
    content = stream_of(CHAT, _chat({"content": "a"})).content
    exchange = exchange_of(CHAT, stream=True)
    exchange.headers_received(200, EVENT_STREAM)
    exchange.bytes_received(content[:-1], 10)
    exchange.bytes_received(content[-1:], 20)
    timeline = exchange.end(Ending.COMPLETE, 30).timeline
    assert (timeline.first_chunk, timeline.first_answer_token) == (20, 20)


def test_an_answer_in_one_piece_has_no_first_token() -> None:
    """An answer that is not streamed has neither a first chunk nor a first token."""
    timeline = observe(document_of(CHAT, {"choices": [{"index": 0, "message": {"content": "a"}}]})).timeline
    assert (timeline.first_chunk, timeline.first_reasoning_token, timeline.first_answer_token) == (None, None, None)


# --- endings -----------------------------------------------------------------------------------------------------

_BEGUN = stream_of(CHAT, _chat({"content": "a"})).content
_FINISHED = stream_of(CHAT, _chat({}), {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}).content
_FAILED_EVENT = stream_of(CHAT, _chat({"content": "a"}), {"code": "x", "error": "y"}).content


@pytest.mark.parametrize(
    ("status", "content", "told", "ending", "error_type", "finish_reasons"),
    [
        pytest.param(200, _FINISHED, (Ending.COMPLETE, None), Ending.COMPLETE, None, ("stop",), id="complete"),
        pytest.param(
            200,
            _BEGUN,
            (Ending.COMPLETE, None),
            Ending.FAILED,
            "stream_interrupted",
            ("error",),
            id="over-but-unfinished",
        ),
        pytest.param(
            200,
            _FINISHED + b'data: {"choices":[],"us',
            (Ending.COMPLETE, None),
            Ending.FAILED,
            "stream_interrupted",
            ("stop",),
            id="over-in-mid-event",
        ),
        *(
            pytest.param(
                200,
                content,
                (Ending.COMPLETE, None),
                Ending.FAILED,
                "stream_interrupted",
                ("error",),
                id=f"over-before-it-began-{number}",
            )
            for number, content in enumerate((b"", b": ping\n\n", b'data: {"id":"c","choices":[]}\n\ndata: {"i'))
        ),
        pytest.param(202, b"", (Ending.COMPLETE, None), Ending.COMPLETE, None, (), id="accepted-and-empty"),
        pytest.param(
            200, _BEGUN + b"data: [DONE]\n\n", (Ending.COMPLETE, None), Ending.COMPLETE, None, (), id="done-unfinished"
        ),
        pytest.param(429, b"{}", (Ending.COMPLETE, None), Ending.HTTP_ERROR, "429", (), id="http-error"),
        pytest.param(503, b"<html>", (Ending.COMPLETE, None), Ending.HTTP_ERROR, "503", (), id="http-error-html"),
        pytest.param(500, _BEGUN, (Ending.FAILED, "timeout"), Ending.HTTP_ERROR, "500", (), id="http-error-outranks"),
        pytest.param(400, _FAILED_EVENT, (Ending.ABANDONED, None), Ending.HTTP_ERROR, "400", (), id="http-error-first"),
        pytest.param(
            200, _FAILED_EVENT, (Ending.COMPLETE, None), Ending.ERROR_EVENT, "error_event", ("error",), id="error-event"
        ),
        pytest.param(
            200,
            _FAILED_EVENT,
            (Ending.FAILED, "timeout"),
            Ending.ERROR_EVENT,
            "error_event",
            ("error",),
            id="error-cut",
        ),
        pytest.param(
            200,
            _BEGUN,
            (Ending.FAILED, "stream_interrupted"),
            Ending.FAILED,
            "stream_interrupted",
            ("error",),
            id="connection-cut",
        ),
        pytest.param(
            200, _FINISHED, (Ending.FAILED, "timeout"), Ending.FAILED, "timeout", ("stop",), id="cut-after-finish"
        ),
        pytest.param(200, b"", (Ending.FAILED, "timeout"), Ending.FAILED, "timeout", ("error",), id="timeout-in-body"),
        pytest.param(None, b"", (Ending.FAILED, "timeout"), Ending.FAILED, "timeout", (), id="timeout-before-body"),
        pytest.param(None, b"", (Ending.FAILED, "x.Y"), Ending.FAILED, "x.Y", (), id="exception-before-body"),
        pytest.param(200, _BEGUN, (Ending.FAILED, "x.Y"), Ending.FAILED, "x.Y", ("error",), id="exception-in-body"),
        pytest.param(200, _BEGUN, (Ending.ABANDONED, None), Ending.ABANDONED, None, ("error",), id="closed-early"),
        pytest.param(None, b"", (Ending.ABANDONED, None), Ending.ABANDONED, None, ("error",), id="cancelled-early"),
        pytest.param(
            200,
            _FINISHED + b"data: [DONE]\n\n",
            (Ending.ABANDONED, None),
            Ending.COMPLETE,
            None,
            ("stop",),
            id="closed-after-done",
        ),
    ],
)
def test_each_ending(
    status: int | None,
    content: bytes,
    told: tuple[Ending, str | None],
    ending: Ending,
    error_type: str | None,
    finish_reasons: tuple[str, ...],
) -> None:
    """Why an exchange ended follows the table: HTTP error, then error told in the body, then how the body broke off."""
    exchange = exchange_of(CHAT, stream=True)
    if status is not None:
        exchange.headers_received(status, EVENT_STREAM)
    if content:
        exchange.bytes_received(content, MOMENT)
    observation = exchange.end(told[0], MOMENT, told[1])
    assert (observation.ending, observation.error_type) == (ending, error_type)
    assert observation.finish_reasons == finish_reasons


_RESPONSE = {"id": "r", "model": "grok-4.7", "status": "completed"}


@pytest.mark.parametrize(
    ("body", "error_type", "finish_reasons"),
    [
        pytest.param(
            stream_of(RESPONSES, {"type": "response.completed", "response": _RESPONSE}),
            None,
            ("completed",),
            id="completed",
        ),
        pytest.param(
            stream_of(
                RESPONSES,
                {
                    "type": "response.incomplete",
                    "response": {
                        **_RESPONSE,
                        "status": "incomplete",
                        "incomplete_details": {"reason": "max_output_tokens"},
                    },
                },
            ),
            None,
            ("max_output_tokens",),
            id="incomplete",
        ),
        pytest.param(
            stream_of(RESPONSES, {"type": "response.failed", "response": {**_RESPONSE, "status": "failed"}}),
            names.ERROR_EVENT,
            ("error",),
            id="failed",
        ),
        pytest.param(
            stream_of(RESPONSES, {"type": "error", "message": "m", "code": None}),
            names.ERROR_EVENT,
            ("error",),
            id="error",
        ),
        pytest.param(
            stream_of(RESPONSES, {"error": {"message": "m"}}), names.ERROR_EVENT, ("error",), id="error-without-type"
        ),
        pytest.param(
            document_of(RESPONSES, {**_RESPONSE, "status": "failed", "error": {"code": "c"}}),
            names.ERROR_EVENT,
            ("error",),
            id="failed-document",
        ),
        pytest.param(
            stream_of(MESSAGES, {"type": "error", "error": {"type": "overloaded_error", "message": "m"}}),
            names.ERROR_EVENT,
            ("error",),
            id="messages-error",
        ),
        pytest.param(
            document_of(MESSAGES, {"type": "error", "error": {}}), names.ERROR_EVENT, ("error",), id="messages-document"
        ),
        pytest.param(document_of(CHAT, {"error": {"message": "m"}}), names.ERROR_EVENT, ("error",), id="chat-document"),
        pytest.param(
            stream_of(CHAT, {"error": {"message": "m", "code": 1}}), names.ERROR_EVENT, ("error",), id="chat-nested"
        ),
        pytest.param(
            stream_of(
                MESSAGES, {"type": "message_delta", "delta": {"stop_reason": "max_tokens"}}, {"type": "message_stop"}
            ),
            None,
            ("max_tokens",),
            id="messages-stop",
        ),
    ],
)
def test_what_a_body_says_of_its_own_end(body: Body, error_type: str | None, finish_reasons: tuple[str, ...]) -> None:
    """An error told with HTTP 200 is an error event; an answer that is incomplete is none."""
    observation = observe(body)
    assert (observation.error_type, observation.finish_reasons) == (error_type, finish_reasons)


@pytest.mark.parametrize(
    ("body", "later"),
    [
        pytest.param(stream_of(CHAT, _chat({"content": "a"}), done=True), {"error": "late"}, id="chat"),
        pytest.param(
            stream_of(RESPONSES, {"type": "response.completed", "response": _RESPONSE}),
            {"type": "error"},
            id="responses",
        ),
        pytest.param(stream_of(MESSAGES, {"type": "message_stop"}), {"type": "error"}, id="messages"),
    ],
)
@pytest.mark.parametrize("together", [True, False])
def test_the_terminal_event_ends_the_answer(body: Body, later: Any, together: bool) -> None:
    """After the terminal event nothing counts, whether it comes in the same bytes or in later ones, or how they end."""
    late = b"data: " + json.dumps(later).encode() + b"\n\n"
    exchange = exchange_of(body.path, stream=True)
    exchange.headers_received(200, EVENT_STREAM)
    exchange.bytes_received(body.content + late * together, MOMENT)
    assert exchange.terminated
    exchange.bytes_received(late, MOMENT)
    observation = exchange.end(Ending.FAILED, MOMENT, names.TIMEOUT)
    assert (observation.ending, observation.error_type) == (Ending.COMPLETE, None)


@pytest.mark.parametrize("end", [b"data: [DONE]", b"data: [DONE]\n", b"data:[DONE]\r\n", b"data:  [DONE] \n\n"])
def test_done_may_lack_what_follows_it(end: bytes) -> None:
    """``[DONE]`` as the last bytes of a body is the terminal event with or without its blank line."""
    exchange = exchange_of(CHAT, stream=True)
    exchange.headers_received(200, EVENT_STREAM)
    exchange.bytes_received(_FINISHED + end, MOMENT)
    observation = exchange.end(Ending.COMPLETE, MOMENT)
    assert exchange.terminated
    assert (observation.ending, observation.finish_reasons, observation.unreadable) == (
        Ending.COMPLETE,
        ("stop",),
        None,
    )


def test_a_last_event_may_lack_its_blank_line() -> None:
    """What a last event without its blank line says counts when the body came to its end."""
    usage = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}
    body = stream_of(CHAT, usage)
    assert observe(body._replace(content=body.content.rstrip(b"\n"))).usage == Usage(1, 2)


@pytest.mark.parametrize(
    ("finishes", "ending", "expected"),
    [
        ([(0, "stop"), (1, "length"), (2, "stop")], Ending.COMPLETE, ("stop", "length", "stop")),
        ([(0, "stop"), (2, "length")], Ending.FAILED, ("stop", "error", "length")),
        ([(2, "c"), (0, "a"), (1, "b")], Ending.COMPLETE, ("a", "b", "c")),
        ([(1, "stop")], Ending.ABANDONED, ("error", "stop", "error")),
        ([(0, "stop")], Ending.FAILED, ("stop", "error", "error")),
        ([], Ending.ABANDONED, ("error", "error", "error")),
        ([(0, None), (1, ""), (2, 7)], Ending.FAILED, ("error", "error", "error")),
        ([(0, "stop"), (99, "x"), (-1, "x")], Ending.FAILED, ("stop", "error", "error")),
        ([(True, "stop"), (None, "stop")], Ending.FAILED, ("stop", "error", "error")),
    ],
)
@pytest.mark.parametrize("shortcut", [True, False])
def test_finish_reasons_stand_in_the_order_of_the_choices(
    finishes: list[tuple[int, Any]], ending: Ending, expected: tuple[str, ...], shortcut: bool
) -> None:
    """Each choice has its finish reason in its place, ``error`` where the answer broke off before it finished."""
    events: list[Any] = [
        {"choices": [{"index": index, "delta": {"content": text}}]} for text in ("same", "more") for index in (0, 1, 2)
    ]
    events += [{"choices": [{"index": index, "delta": {}, "finish_reason": reason}]} for index, reason in finishes]
    exchange = exchange_of(CHAT, stream=True)
    exchange.headers_received(200, EVENT_STREAM)
    hand_in(exchange, [stream_of(CHAT, event).content for event in events], shortcut=shortcut)
    assert exchange.end(ending, MOMENT, "timeout").finish_reasons == expected


def test_a_choice_that_never_finished_keeps_its_place_in_a_complete_stream() -> None:
    """Finish reasons are aligned with the choices even where a complete stream left one of them out."""
    events = [{"choices": [{"index": index, "delta": {}, "finish_reason": "stop"}]} for index in (0, 2)]
    begun = {"choices": [{"index": 1, "delta": {"content": "a"}}]}
    for more in ([], [begun]):
        observation = observe(stream_of(CHAT, *more, *events, done=True))
        assert observation.ending is Ending.COMPLETE
        assert observation.finish_reasons == ("stop", "error", "stop")


# --- headers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"295.3", pytest.approx(0.2953)),
        (b"0", 0.0),
        (None, None),
        *((bad, None) for bad in (b"", b"soon", b"nan", b"inf", b"-1", b"1e300", b"\xff", b"99999999999")),
    ],
)
def test_the_servers_own_time_to_first_token(value: bytes | None, expected: float | None) -> None:
    """``x-metrics-ttft-ms`` is taken in seconds where it is a sensible duration, and only where nothing was streamed."""
    headers = {**JSON, **({} if value is None else {b"x-metrics-ttft-ms": value})}
    for stream, content_type in ((False, JSON), (True, EVENT_STREAM), (True, JSON)):
        exchange = exchange_of(CHAT, stream=stream)
        exchange.headers_received(200, {**headers, **content_type})
        observation = exchange.end(Ending.COMPLETE, MOMENT)
        assert observation.server_time_to_first_token == (None if stream else expected)


@pytest.mark.parametrize(
    ("stream", "media_type", "body", "streamed"),
    [
        pytest.param(False, "text/event-stream; charset=utf-8", EVENT, True, id="says-so"),
        pytest.param(True, "TEXT/EVENT-STREAM", EVENT, True, id="says-so-loudly"),
        pytest.param(True, "", EVENT, True, id="says-nothing"),
        pytest.param(True, "text/plain", EVENT, True, id="says-something-else"),
        pytest.param(True, "application/json", EVENT, True, id="says-json"),
        pytest.param(True, "text/plain", b"\xef\xbb\xbf" + EVENT, True, id="byte-order-mark"),
        pytest.param(True, "text/plain", b" \r\n \n: comment\n\n" + EVENT, True, id="blanks"),
        pytest.param(True, "text/event-stream-not", EVENT, True, id="says-nearly-so"),
        pytest.param(True, "application/json", DOCUMENT, False, id="json"),
        pytest.param(True, "", b"\xef\xbb\xbf \n\n" + DOCUMENT, False, id="json-after-blanks"),
        pytest.param(False, "text/plain", DOCUMENT, False, id="not-asked-for"),
        pytest.param(True, "text/plain", b"", False, id="empty"),
        pytest.param(True, "text/plain", b" \n" * 100_000, False, id="blanks-only"),
    ],
)
def test_whether_an_answer_is_a_stream(stream: bool, media_type: str, body: bytes, streamed: bool) -> None:
    """The media type decides, or, where a stream was asked for and it does not say so, how the body starts."""
    for step in (1, 7, len(body) or 1):
        exchange = exchange_of(CHAT, stream=stream)
        before = exchange.in_body
        exchange.headers_received(200, {b"content-type": media_type.encode()} if media_type else {})
        assert (before, exchange.in_body) == (False, True)
        assert exchange.may_stream is (streamed or stream)
        for start in range(0, len(body), step):
            exchange.bytes_received(body[start : start + step], MOMENT)
        assert len(exchange._body) < 1000
        observation = exchange.end(Ending.COMPLETE, MOMENT)
        assert observation.streamed is streamed
        assert (observation.usage is not None) is (b"usage" in body)


# --- usage -------------------------------------------------------------------------------------------------------


def _usage_chunk(**counts: Any) -> dict[str, Any]:
    return {"choices": [], "usage": counts}


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param(
            [_usage_chunk(prompt_tokens=5, completion_tokens=1), _usage_chunk(prompt_tokens=5, completion_tokens=2)],
            Usage(5, 2),
            id="last-wins",
        ),
        pytest.param(
            [_usage_chunk(prompt_tokens=5, completion_tokens=1), {"choices": [], "usage": None}, {"choices": []}],
            Usage(5, 1),
            id="null-and-absence-change-nothing",
        ),
        pytest.param(
            [
                _usage_chunk(prompt_tokens=5, completion_tokens=1, cost_in_usd_ticks=9),
                _usage_chunk(prompt_tokens=5, completion_tokens=2, cost_in_usd_ticks=0),
                _usage_chunk(prompt_tokens=5, completion_tokens=3),
                _usage_chunk(prompt_tokens=5, completion_tokens=4, cost_in_usd_ticks=7),
            ],
            Usage(5, 4, cost_ticks=9),
            id="cost-is-never-lowered",
        ),
        pytest.param(
            [_usage_chunk(prompt_tokens=5, completion_tokens=1), _usage_chunk(cost_in_usd_ticks=9)],
            Usage(5, 1, cost_ticks=9),
            id="cost-alone-keeps-the-tokens",
        ),
        pytest.param(
            [
                _usage_chunk(prompt_tokens=5, completion_tokens=1),
                _usage_chunk(prompt_tokens="5", completion_tokens=[1]),
            ],
            Usage(5, 1),
            id="wrong-types-change-nothing",
        ),
        pytest.param([_usage_chunk(prompt_tokens=0, completion_tokens=0)], Usage(0, 0), id="zero-is-a-value"),
        pytest.param([{"choices": [], "usage": {}}], None, id="empty-is-absence"),
    ],
)
def test_the_last_usage_of_a_stream_stands(events: Sequence[Any], expected: Usage | None) -> None:
    """Of several usage reports the last with tokens stands, and a cost once known is never lowered."""
    assert observe(stream_of(CHAT, *events, done=True)).usage == expected


def test_usage_of_messages_comes_in_parts() -> None:
    """Input comes with the start, output with the end of a message, and nulls overwrite nothing."""
    body = stream_of(
        MESSAGES,
        {
            "type": "message_start",
            "message": {"usage": {"input_tokens": 9, "cache_read_input_tokens": 4, "output_tokens": 0}},
        },
        {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 5, "input_tokens": None}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}},
        {"type": "message_stop"},
    )
    assert observe(body).usage == Usage(13, 7, 4)


def test_the_conversation_id_of_a_response_is_learned() -> None:
    """``prompt_cache_key`` of a response is its conversation id, streamed or not; an empty one is none."""
    response = {**_RESPONSE, "prompt_cache_key": "conv"}
    for body in (
        document_of(RESPONSES, response),
        stream_of(RESPONSES, {"type": "response.created", "response": response}),
    ):
        assert observe(body).conversation_id == "conv"
    assert observe(document_of(RESPONSES, {**response, "prompt_cache_key": ""})).conversation_id is None


# --- what cannot be read -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "unreadable"),
    [
        pytest.param(document_of(CHAT, b"<html>"), "malformed", id="html"),
        pytest.param(document_of(CHAT, b'"text"'), "malformed", id="string"),
        pytest.param(document_of(CHAT, b"[]"), "malformed", id="array"),
        pytest.param(document_of(CHAT, b'{"id": "\xff"}'), "malformed", id="not-utf-8"),
        pytest.param(document_of(CHAT, b"", 202), None, id="empty"),
        pytest.param(stream_of(CHAT, "{no json", done=True), "malformed", id="event"),
        pytest.param(stream_of(CHAT, '"text"', "7", "null", done=True), "malformed", id="events-of-other-types"),
    ],
)
def test_what_cannot_be_read_is_noted(body: Body, unreadable: str | None) -> None:
    """A body that is no JSON object is noted as such and changes nothing else."""
    observation = observe(body)
    assert observation.unreadable == unreadable
    assert (observation.ending, observation.usage) == (Ending.COMPLETE, None)


@pytest.mark.parametrize(
    ("path", "document"),
    [
        (CHAT, {"id": "c", "choices": [{"index": 0, "message": {"content": "x" * 50}}], "usage": {}}),
        (CHAT, {"id": "c", "choices": [{"index": 0, "message": {"content": "x" * 200_000}}], "usage": {}}),
        (RESPONSES, {"id": "c", "status": "completed", "output": [{"text": "x" * 50}]}),
        (MESSAGES, {"id": "c", "content": [{"text": "x" * 50}], "stop_reason": "end_turn"}),
    ],
    ids=["chat", "large", "responses", "messages"],
)
def test_a_document_that_was_cut_short_was_interrupted(path: str, document: Any) -> None:
    """JSON that ends before its end, on a connection whose end is the body's end: interrupted, however it is told."""
    whole = json.dumps(document).encode()
    for size in (1, len(whole) // 2, len(whole) - 1):
        for handed_in in ("bytes", "content"):
            exchange = exchange_of(path, stream=False)
            exchange.headers_received(200, JSON)
            if handed_in == "bytes":
                exchange.bytes_received(whole[:size], MOMENT)
            else:
                exchange.content_received(whole[:size], MOMENT)
            observation = exchange.end(Ending.COMPLETE, MOMENT)
            assert (observation.ending, observation.error_type) == (Ending.FAILED, "stream_interrupted"), size
            assert observation.finish_reasons == ("error",)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_a_damaged_coding_is_named_as_the_client_names_it(coding: str) -> None:
    """Where a reader of damaged bytes stopped early, it was for the exception that its client library raised."""
    try:
        decoder_for(coding)
    except UnreadableError:
        pytest.skip("no decoder")
    for ending, expected in (
        (Ending.ABANDONED, (Ending.FAILED, "client.DecodingError")),
        (Ending.COMPLETE, (Ending.COMPLETE, None)),  # somebody read the bytes as they are
        (Ending.FAILED, (Ending.FAILED, "timeout")),
    ):
        exchange = Exchange(
            Request("chat", "api.x.ai", 443), exchange_of(CHAT, stream=True)._dialect, 0, "client.DecodingError"
        )
        exchange.headers_received(200, {**EVENT_STREAM, b"content-encoding": coding.encode()})
        exchange.bytes_received(b"\x00\xff this was never compressed", MOMENT)
        observation = exchange.end(ending, MOMENT, "timeout" if ending is Ending.FAILED else None)
        assert (observation.ending, observation.error_type) == expected


@pytest.mark.parametrize(
    "quirk",
    [
        pytest.param(rb'"\ud83d"', id="half-of-a-pair"),
        pytest.param(rb'"\uDE00 and \\ud83d"', id="other-half"),
        pytest.param(b"NaN", id="nan"),
        pytest.param(b"-Infinity", id="infinity"),
    ],
)
def test_what_python_reads_is_read(quirk: bytes) -> None:
    """What is no strict JSON, but no obstacle to any client, is none to us: in events, documents and requests."""
    chunk = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":%s},"finish_reason":"stop"}],"usage":{"prompt_tokens":7}}'
    document = b'{"id":"c","x":%s,"choices":[{"index":0,"finish_reason":"stop"}],"usage":{"prompt_tokens":7}}'
    streamed = observe(Body(CHAT, True, 200, EVENT_STREAM, chunk % quirk + b"\n\ndata: [DONE]\n\n"))
    for observation in (streamed, observe(document_of(CHAT, document % quirk))):
        assert (observation.response_id, observation.usage) == ("c", Usage(7))
        assert observation.finish_reasons == ("stop",)
        assert observation.unreadable is None
    assert read_request_body(b'{"model":"m","messages":[{"content":%s}]}' % quirk).model == "m"


def test_a_byte_order_mark_before_a_document_is_passed_over() -> None:
    """An answer that starts with a byte order mark is read, as Python reads it."""
    body = document_of(CHAT, b"\xef\xbb\xbf" + DOCUMENT)
    assert observe(body).usage == Usage(7)


def test_a_wrong_type_erases_no_count() -> None:
    """Of usage that comes in parts, null and wrong types are absence: what was reported before stands."""
    start = {"type": "message_start", "message": {"usage": {"input_tokens": 9, "cache_read_input_tokens": 3}}}
    delta = {"output_tokens": 32, "input_tokens": "abc", "cache_read_input_tokens": [1]}
    events = [start, {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": delta}]
    assert observe(stream_of(MESSAGES, *events, {"type": "message_stop"})).usage == Usage(12, 32, 3)


def test_one_event_that_cannot_be_read_loses_no_other() -> None:
    """An event that is no JSON is passed over; what comes before and after it counts."""
    observation = observe(stream_of(CHAT, _chat({"content": "a"}), "{no", _usage_chunk(prompt_tokens=1), done=True))
    assert observation.response_id == "c"
    assert observation.usage == Usage(1)
    assert observation.unreadable == "malformed"


@pytest.mark.parametrize(
    ("coding", "content", "unreadable"),
    [
        (b"gzip", b"no gzip at all", "damaged"),
        (b"compress", b"", None),  # clients hand over what they cannot undo as it is
        (b"gzip, gzip, gzip, gzip", b"x", "too many codings"),
        # clients read the member and pass over what follows
        (b"gzip", gzip.compress(b"{}", mtime=0) + b"garbage", None),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_a_coding_that_cannot_be_undone_is_noted(
    coding: bytes, content: bytes, unreadable: str | None, stream: bool
) -> None:
    """Bytes of an unknown or damaged coding are noted, and nothing raises, however many follow."""
    exchange = exchange_of(CHAT, stream=stream)
    exchange.headers_received(200, {**(EVENT_STREAM if stream else JSON), b"content-encoding": coding})
    exchange.bytes_received(content, MOMENT)
    exchange.bytes_received(content, MOMENT)
    assert exchange.end(Ending.COMPLETE, MOMENT).unreadable == unreadable


def test_content_may_be_handed_in_whole() -> None:
    """Content handed in with its coding undone is observed as the bytes would be, streamed or not."""
    for body in (
        stream_of(CHAT, _chat({"content": "a"}), _usage_chunk(prompt_tokens=1), done=True),
        document_of(CHAT, {"id": "c", "model": "m", "usage": {"prompt_tokens": 1}}),
        document_of(CHAT, b""),
    ):
        exchange = exchange_of(body.path, stream=body.stream)
        exchange.headers_received(200, {**body.headers, b"content-encoding": b"gzip"})
        exchange.content_received(body.content, MOMENT)
        exchange_in_bytes = observe(body)
        assert exchange.end(Ending.COMPLETE, MOMENT) == exchange_in_bytes


# --- the shortcut for chunks that tell nothing new ---------------------------------------------------------------

_TEXT = st.one_of(
    st.sampled_from(
        ["", "a", "b", "\\", '"', "\\\\", '\\"', "\n", "\r\n", "\n\n", "\u2028", "é", "🚀", "null", "[DONE]"]
    ),
    st.sampled_from(
        ['","finish_reason":"stop', '"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}', "data: {}\n\n"]
    ),
    st.text(max_size=6),
)
_REASON = st.sampled_from([None, None, None, "", "stop", "length"])
_USAGE: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.just({}),
    st.fixed_dictionaries(
        {"prompt_tokens": st.integers(0, 9), "completion_tokens": st.sampled_from([0, 1, None, "1", 1.5])},
        optional={"total_tokens": st.integers(0, 20), "cost_in_usd_ticks": st.integers(0, 3)},
    ),
)


@st.composite
def _chat_event(draw: st.DrawFn) -> Any:
    """One chunk of a chat stream; many look alike, some only nearly."""
    key = draw(st.sampled_from(["content"] * 6 + ["reasoning_content", "reasoning", "refusal", "role", "unknown"]))
    delta = {key: draw(_TEXT)}
    if draw(st.integers(0, 9)) == 0:
        delta[draw(st.sampled_from(["content", "reasoning_content", "role"]))] = draw(_TEXT)
    choice: dict[str, Any] = {"index": draw(st.sampled_from([0, 0, 0, 1, 2, 70])), "delta": delta}
    if draw(st.integers(0, 3)) == 0:
        choice["finish_reason"] = draw(_REASON)
    event: dict[str, Any] = {"id": draw(st.sampled_from(["c", "c", "c", "d", "", None])), "choices": [choice]}
    extras = draw(st.integers(0, 12))
    if extras == 0:
        event["usage"] = draw(_USAGE)
    elif extras == 1:
        event["model"] = draw(st.sampled_from(["m", "n", ""]))
    elif extras == 2:
        event["choices"] = []
    elif extras == 3:
        event["error"] = draw(st.sampled_from([None, "", "broken", {"message": "m"}]))
    elif extras == 4:
        event["sequence_number"] = draw(st.integers(0, 12))
    if draw(st.integers(0, 5)) == 0:
        event = dict(reversed(event.items()))
    return event


@st.composite
def _responses_event(draw: st.DrawFn) -> Any:
    """One event of a Responses stream."""
    kind = draw(
        st.sampled_from(
            ["response.output_text.delta"] * 5
            + ["response.reasoning_summary_text.delta", "response.output_text.done", "response.created"]
            + ["response.function_call_arguments.delta", "error", "response.custom.delta", "unknown"]
        )
    )
    event: dict[str, Any] = {"type": kind, "sequence_number": draw(st.integers(0, 99)), "delta": draw(_TEXT)}
    if kind == "response.created":
        event["response"] = {"id": draw(_TEXT), "model": "m", "status": "in_progress", "prompt_cache_key": draw(_TEXT)}
    if draw(st.integers(0, 5)) == 0:
        event = dict(reversed(event.items()))
    return event


@st.composite
def _messages_event(draw: st.DrawFn) -> Any:
    """One event of a messages stream."""
    key = draw(st.sampled_from(["text"] * 5 + ["thinking", "partial_json", "signature"]))
    event: dict[str, Any] = {
        "type": draw(st.sampled_from(["content_block_delta"] * 6 + ["ping", "message_delta", "message_start"])),
        "index": draw(st.integers(0, 3)),
        "delta": {"type": draw(st.sampled_from(["text_delta", "text_delta", "x"])), key: draw(_TEXT)},
    }
    if event["type"] == "message_delta":
        event["usage"] = {"output_tokens": draw(st.integers(0, 9))}
        event["delta"] = {"stop_reason": draw(_REASON)}
    elif event["type"] == "message_start":
        event["message"] = {"id": draw(_TEXT), "model": draw(_TEXT), "usage": {"input_tokens": draw(st.integers(0, 9))}}
    return event


_SLOTS = {
    "key": st.sampled_from(["content", "reasoning_content", "reasoning", "refusal", "role", "error", "usage"]),
    "text": st.one_of(st.sampled_from(["a", "b", ""]), _TEXT),
    "index": st.integers(0, 5),
    "id": st.sampled_from(["c", "d", "", 'e"', 'f"', "g\\"]),
    "finish_reason": st.sampled_from([None, "", "stop", "length", "x"]),
    "model": st.sampled_from(["m", "n", "", 'x"y']),
    "usage": _USAGE,
    "error": st.sampled_from([None, "", "x", {"a": "b"}]),
    "extra": st.one_of(st.integers(0, 3), st.sampled_from(["", "a", "b", None, [], ["a"]])),
}


@st.composite
def _alike_events(draw: st.DrawFn, path: str) -> list[Any]:
    """Events that differ in one place only, seldom in two, whichever place that is."""
    base = {"key": "content", "text": "a", "index": 0, "id": "c", "model": draw(_SLOTS["model"]), "extra": "a"}
    base |= {"finish_reason": None, "usage": None, "error": None}
    varied = draw(st.lists(st.sampled_from(["text", *_SLOTS]), min_size=1, max_size=2))
    many = draw(st.integers(3, 14))
    return [_alike_event(path, {**base, **{slot: draw(_SLOTS[slot]) for slot in varied}}) for _ in range(many)]


def _alike_event(path: str, slots: dict[str, Any]) -> Any:
    """One event of a stream, made of what stands in each place."""
    shared = {"id": slots["id"], "extra": slots["extra"], "model": slots["model"]}
    if path == CHAT:
        choice = {
            "index": slots["index"],
            "delta": {slots["key"]: slots["text"]},
            "finish_reason": slots["finish_reason"],
        }
        return {**shared, "choices": [choice], "usage": slots["usage"], "error": slots["error"]}
    if path == RESPONSES:
        kind = "reasoning_text" if slots["key"].startswith("reasoning") else "output_text"
        return {**shared, "type": f"response.{kind}.delta", "delta": slots["text"], "error": slots["error"]}
    key = {"content": "text", "refusal": "partial_json"}.get(slots["key"], "thinking")
    delta = {"type": slots["extra"], key: slots["text"]}
    return {"index": slots["index"], "type": "content_block_delta", "delta": delta, "error": slots["error"]}


@st.composite
def _chunks(draw: st.DrawFn, events: st.SearchStrategy[list[Any]]) -> list[bytes]:
    """A stream as chunks: mostly an event each, some joined, split, with comments or with ``event:`` lines."""
    ascii_only, compact, labelled = draw(st.booleans()), draw(st.booleans()), draw(st.booleans())
    separators = (",", ":") if compact else (", ", ": ")
    chunks: list[bytes] = []
    for item in draw(events):
        text = json.dumps(item, ensure_ascii=ascii_only, separators=separators)
        label = f"event: {item.get('type', 'message')}\n" if labelled else ""
        chunk = f"{label}data: {text}\n\n".encode("utf-8", "replace")
        how = draw(st.integers(0, 39))
        if how == 0 and chunks:
            chunks[-1] += chunk
        elif how == 1:
            at = draw(st.integers(0, len(chunk)))
            chunks += [chunk[:at], chunk[at:]]
        elif how == 2:
            chunks += [b": " + draw(_TEXT).encode().replace(b"\n", b"").replace(b"\r", b"") + b"\n", chunk]
        elif how == 3:
            chunks.append(chunk.replace(b"\n", b"\r\n"))
        elif how == 4:
            chunks.append(b"data: [DONE]\n\n")
        else:
            chunks.append(chunk)
    return chunks


_EVENTS = {CHAT: _chat_event(), RESPONSES: _responses_event(), MESSAGES: _messages_event()}
_STREAMS = {
    (path, alike): _alike_events(path) if alike else st.lists(event, min_size=3, max_size=16)
    for path, event in _EVENTS.items()
    for alike in (True, False)
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("alike", [True, False], ids=["alike", "various"])
def test_passing_over_uneventful_chunks_loses_nothing(path: str, alike: bool) -> None:
    """A stream is the same observation, moments included, whether uneventful chunks are handed in or passed over."""

    @settings(max_examples=examples(400 if alike else 200), deadline=None)
    @given(_chunks(_STREAMS[path, alike]), st.sampled_from([Ending.COMPLETE, Ending.ABANDONED]))
    def check(chunks: list[bytes], ending: Ending) -> None:
        seen = []
        for shortcut in (True, False):
            exchange = exchange_of(path, stream=True)
            exchange.headers_received(200, EVENT_STREAM)
            for moment, chunk in enumerate(chunks):
                hand_in(exchange, [chunk], shortcut=shortcut, moment=moment)
                if exchange.terminated:
                    break
            seen.append(exchange.end(ending, MOMENT))
        assert seen[0] == seen[1]

    check()


@pytest.mark.parametrize("recording", [(path, True, "", "grok-4.7") for path in PATHS], ids=PATHS)
def test_most_chunks_of_a_real_stream_are_uneventful(record: Callable[..., Body], recording: tuple[Any, ...]) -> None:
    """The shortcut is worth having: of a long stream of the server's own nearly all chunks are passed over."""
    body = record(*recording)
    events = body.content.replace(b"\n\n", b"\n\n\x00").split(b"\x00")
    answers = [event for event in events if b'delta"' in event and (b'content":"' in event or b"text" in event)]
    exchange = exchange_of(body.path, stream=True)
    exchange.headers_received(200, EVENT_STREAM)
    handed_in = []

    class Counting:
        """Counts what reaches the exchange."""

        uneventful = property(lambda _self: exchange.uneventful)
        terminated = property(lambda _self: exchange.terminated)

        def bytes_received(self, chunk: bytes, moment: int) -> None:
            """Count and pass on."""
            handed_in.append(chunk)
            exchange.bytes_received(chunk, moment)

    long_stream = [*events[:-6], *([answers[-1]] * 500)]
    hand_in(Counting(), long_stream, shortcut=True)  # type: ignore[arg-type]
    assert len(handed_in) < len(events) + 50


# --- bounds ------------------------------------------------------------------------------------------------------

_MEBI = 1 << 20
_COUNTED = b'"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}'
_HUGE = 20 * _MEBI


def _repeated(piece: bytes, size: int) -> Iterator[bytes]:
    """``piece`` again and again, in chunks of about 64 KiB."""
    chunk = piece * max(1, 65_536 // len(piece))
    for _ in range(size // len(chunk)):
        yield chunk


def _huge_document(place: str) -> Iterator[bytes]:
    """A chat completion of 20 MiB with usage first, in the middle or last."""
    yield b'{"id":"c","model":"m",'
    if place == "first":
        yield _COUNTED + b","
    yield b'"choices":[{"index":0,"message":{"content":"'
    yield from _repeated(b'word \\" \\\\ \xc3\xa9 {[ ', _HUGE // 2)
    yield b'"},"finish_reason":"stop"}],'
    if place == "middle":
        yield _COUNTED + b","
    yield b'"more":["'
    yield from _repeated(b"x", _HUGE // 2)
    yield b'"]'
    if place == "last":
        yield b"," + _COUNTED
    yield b"}"


def _huge_terminal_event() -> Iterator[bytes]:
    """A terminal Responses event of 5 MiB, its usage last."""
    yield b'data: {"type":"response.completed","response":{"id":"c","model":"m","status":"completed","output":["'
    yield from _repeated(b"y", 5 * _MEBI)
    yield b'"],"usage":{"input_tokens":7,"output_tokens":2,"total_tokens":9}}}\n\n'


def _many_choices() -> Iterator[bytes]:
    """A hundred thousand choices."""
    yield b'{"choices":['
    for start in range(0, 100_000, 100):
        choices = (b'{"index":%d,"finish_reason":"stop"}' % index for index in range(start, start + 100))
        yield b",".join(choices) + (b"," if start < 99_900 else b"")
    yield b"]," + _COUNTED + b"}"


def _bomb(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces, compressed."""
    import zlib

    compressor = zlib.compressobj(9, wbits=31)
    for piece in pieces:
        yield compressor.compress(piece)
    yield compressor.flush()


_BOUNDED: dict[str, tuple[str, bool, bytes, Callable[[], Iterator[bytes]], Usage | None]] = {
    "usage-first": (CHAT, False, b"", lambda: _huge_document("first"), Usage(7, 2)),
    "usage-in-the-middle": (CHAT, False, b"", lambda: _huge_document("middle"), Usage(7, 2)),
    "usage-last": (CHAT, False, b"", lambda: _huge_document("last"), Usage(7, 2)),
    "terminal-event": (RESPONSES, True, b"", _huge_terminal_event, Usage(7, 2)),
    "endless-data-line": (CHAT, True, b"", lambda: _repeated(b"data: {", _HUGE), None),
    "endless-data-string": (CHAT, True, b"", lambda: iter([b'data: {"x":"', *_repeated(b"x", _HUGE)]), None),
    "endless-comment": (CHAT, True, b"", lambda: iter([b":", *_repeated(b"x", _HUGE)]), None),
    "endless-field": (CHAT, True, b"", lambda: iter([b"event: ", *_repeated(b"x", _HUGE)]), None),
    "empty-data-lines": (CHAT, True, b"", lambda: _repeated(b"data:\n", _MEBI), None),
    "short-data-lines": (CHAT, True, b"", lambda: _repeated(b"data: xy\n", _MEBI), None),
    "blank-lines": (CHAT, True, b"", lambda: _repeated(b"\n", _MEBI), None),
    "white-space": (CHAT, False, b"", lambda: iter([*_repeated(b" \n", _HUGE), b"{" + _COUNTED + b"}"]), Usage(7, 2)),
    "many-choices": (CHAT, False, b"", _many_choices, Usage(7, 2)),
    "many-members": (CHAT, False, b"", lambda: _repeated(b'{"usage":{' + b'"a":1,' * 9000, _HUGE), None),
    "long-keys": (
        CHAT,
        False,
        b"",
        lambda: iter([b'{"usage":{', *_repeated(b'"' + b"k" * 60_000 + b'":1,', _HUGE)]),
        None,
    ),
    "gzip-bomb": (CHAT, False, b"gzip", lambda: _bomb(_huge_document("last")), Usage(7, 2)),
    "gzip-bomb-stream": (CHAT, True, b"gzip", lambda: _bomb(_repeated(b"data: {", _HUGE)), None),
    "deep-objects": (CHAT, False, b"", lambda: _repeated(b'{"choices":', 100_000 * 11), None),
    "deep-arrays": (CHAT, False, b"", lambda: iter([b"[" * 100_000 + b"]" * 100_000]), None),
    "deep-in-usage": (CHAT, False, b"", lambda: iter([b'{"usage":' + b"[" * 50_000 + b"]" * 50_000 + b"}"]), None),
    "deep-event": (CHAT, True, b"", lambda: iter([b"data: " + b"[" * 100_000 + b"]" * 100_000 + b"\n\n"]), None),
    "brackets": (CHAT, False, b"", lambda: _repeated(b"[", _HUGE), None),
    "quotes": (CHAT, False, b"", lambda: _repeated(b'"', _HUGE), None),
    "backslashes": (CHAT, False, b"", lambda: iter([b'{"x":"', *_repeated(b"\\", _HUGE)]), None),
    "escapes": (CHAT, False, b"", lambda: iter([b'{"x":"', *_repeated(b"\\n", _HUGE)]), None),
    "escaped-quotes": (CHAT, False, b"", lambda: iter([b'{"x":["', *_repeated(b'\\"', _HUGE)]), None),
    "escapes-in-usage": (CHAT, False, b"", lambda: iter([b'{"usage":"', *_repeated(b"\\n", _HUGE)]), None),
    "large-events": (
        CHAT,
        True,
        b"",
        lambda: iter(
            b'data: {"choices":[{"index":0,"delta":{"content":"a"}}],"q":[' + b'"ab", ' * 21_000 + b"%d]}\n\n" % number
            for number in range(5)
        ),
        None,
    ),
    "long-number": (CHAT, False, b"", lambda: iter([b'{"x":', *_repeated(b"1", _HUGE)]), None),
    "no-json": (CHAT, False, b"", lambda: _repeated(b"\x00\xff", _HUGE), None),
}


@pytest.mark.combinations
@pytest.mark.parametrize("case", _BOUNDED)
def test_an_exchange_keeps_little_of_a_huge_answer(case: str) -> None:
    """Whatever arrives, less than 1 MiB is kept of it or needed to read it, and usage is found wherever it stands."""
    path, stream, coding, content, usage = _BOUNDED[case]
    exchange = exchange_of(path, stream=stream)
    exchange.headers_received(
        200, {**(EVENT_STREAM if stream else JSON), **({b"content-encoding": coding} if coding else {})}
    )
    most, pieces = 0, iter(content())
    tracemalloc.start()
    try:
        while True:
            piece = next(pieces, None)
            if piece is None:
                break
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            exchange.bytes_received(piece, MOMENT)
            after, peak = tracemalloc.get_traced_memory()
            most = most + after - before
            assert most < _MEBI
            assert peak - before < _MEBI + 4 * len(piece)
    finally:
        tracemalloc.stop()
    assert exchange.end(Ending.COMPLETE, MOMENT).usage == usage


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
def test_blank_lines_cost_next_to_nothing(line_end: bytes) -> None:
    """Megabytes of blank lines take no more time than it takes to find their end."""
    exchange = exchange_of(CHAT, stream=True)
    exchange.headers_received(200, EVENT_STREAM)
    before = time.process_time()
    for _ in range(80):
        exchange.bytes_received(line_end * 65_536, MOMENT)
    exchange.bytes_received(EVENT, MOMENT)
    assert time.process_time() - before < 0.5  # 0.03 s on an idle machine; one by one, they took 2.3 s
    assert exchange.end(Ending.COMPLETE, MOMENT).usage == Usage(7)


@pytest.mark.parametrize("size", [1, 2, 7])
def test_an_exchange_keeps_little_of_tiny_chunks(size: int) -> None:
    """A body that comes in chunks of a few bytes is kept no larger for that."""
    exchange = exchange_of(CHAT, stream=False)
    exchange.headers_received(200, JSON)
    content = b'{"x":"' + b"abcdefg" * 18_000 + b'",' + _COUNTED + b"}"
    tracemalloc.start()
    try:
        for at in range(0, len(content), size):
            exchange.bytes_received(content[at : at + size], MOMENT)
        assert tracemalloc.get_traced_memory()[0] < _MEBI
    finally:
        tracemalloc.stop()
    assert exchange.end(Ending.COMPLETE, MOMENT).usage == Usage(7, 2)


@pytest.mark.parametrize("path", PATHS)
def test_a_large_event_is_read_as_a_small_one(path: str) -> None:
    """An event too large to keep tells what it tells when it is whole, however it is cut."""
    text = "word " * 60_000
    event: dict[str, Any] = {
        CHAT: {**_chat({"content": text}, finish_reason="stop"), "usage": {"prompt_tokens": 7, "completion_tokens": 2}},
        RESPONSES: {
            "type": "response.completed",
            "response": {**_RESPONSE, "output": [text], "usage": {"input_tokens": 7}},
        },
        MESSAGES: {"type": "content_block_delta", "delta": {"type": "text_delta", "text": text}},
    }[path]
    body = stream_of(path, event, done=True)
    whole = observe(body)
    for size in (100, 4_096, 65_536, 131_072, 200_000):
        chunks = (body.content[at : at + size] for at in range(0, len(body.content), size))
        assert observe(body, chunks) == whole


@settings(max_examples=examples(200), deadline=None)
@given(st.sampled_from(PATHS), st.booleans(), st.lists(st.binary(max_size=60), max_size=8))
def test_no_bytes_raise(path: str, stream: bool, chunks: list[bytes]) -> None:
    """Arbitrary bytes are observed without an exception."""
    observe(Body(path, stream, 200, EVENT_STREAM if stream else JSON, b""), chunks)


_VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=5)
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                "type id model choices index delta content usage error response message status stop_reason prompt_tokens "
                "completion_tokens input_tokens prompt_tokens_details cached_tokens cost_in_usd_ticks finish_reason".split()
            ),
            inner,
            max_size=5,
        ),
    ),
    max_leaves=12,
)


@settings(max_examples=examples(400), deadline=None)
@given(
    st.sampled_from(PATHS),
    st.sampled_from(
        ["response.completed", "response.created", "message_start", "message_delta", "content_block_delta", None]
    ),
    _VALUES,
)
def test_no_json_raises(path: str, kind: str | None, value: Any) -> None:
    """JSON in which any member has any type is observed without an exception, streamed or not."""
    if isinstance(value, dict) and kind is not None:
        value = {**value, "type": kind}
    assert observe(document_of(path, value)).ending is not None
    assert observe(stream_of(path, value, value)).ending is not None

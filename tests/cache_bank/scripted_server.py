"""A server on several ports that answers each request with what its step says, as xAI's endpoints write it."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cache_bank.sequences import CHAT, MESSAGES, RESPONSES, Answer, Json, output_of

STEP = "x-bank-step"
"""The request header that names the step."""
_PATIENCE_S = 20


@dataclass
class Planned:
    """An answer that waits for its request."""

    path: str
    answer: Answer
    model: str
    streamed: bool
    before_answer: Callable[[], None]
    received: threading.Event = field(default_factory=threading.Event)
    """The request has come."""
    released: threading.Event = field(default_factory=threading.Event)
    """The answer may go."""


class ScriptedServer:
    """Some ports, and the answers that are planned for the steps to come."""

    def __init__(self, ports: int) -> None:
        self._planned: dict[str, Planned] = {}
        self._servers = [self._listening() for _ in range(ports)]
        self.urls = [f"http://127.0.0.1:{server.server_address[1]}" for server in self._servers]

    def plan(self, step: str, planned: Planned) -> Planned:
        """Answer the request of this step so."""
        self._planned[step] = planned
        return planned

    def take(self, step: str) -> Planned:
        """What is planned for a step, once."""
        return self._planned.pop(step)

    def close(self) -> None:
        """Stop listening."""
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def _listening(self) -> ThreadingHTTPServer:
        scripted = self

        class Handler(_Handler):
            take = staticmethod(scripted.take)

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        server.block_on_close = False  # connections are kept alive by clients that outlive the server
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return server


@contextmanager
def scripted_server(ports: int) -> Iterator[ScriptedServer]:
    """A server that listens."""
    server = ScriptedServer(ports)
    try:
        yield server
    finally:
        server.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    take: Callable[[str], Planned]

    def do_POST(self) -> None:
        """Answer as planned."""
        self.rfile.read(int(self.headers["content-length"]))
        planned = self.take(self.headers[STEP])
        planned.received.set()
        planned.released.wait(_PATIENCE_S)
        planned.before_answer()
        answer = planned.answer
        if answer.status != 200:
            kind, body = "application/json", b'{"code":"The service is currently unavailable","error":"Try again."}'
        elif planned.streamed:
            kind, body = "text/event-stream", _stream_of(planned)
        else:
            kind, body = "application/json", json.dumps(_document_of(planned)).encode()
        head = f"HTTP/1.1 {answer.status} Scripted\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
        if answer.aborted:
            body = body[: len(body) // 2]
            self.close_connection = True
        self.wfile.write(head.encode() + body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def _document_of(planned: Planned) -> Json:
    """The body of an answer that is not streamed."""
    path, answer = planned.path, planned.answer
    output = output_of(path, answer)
    document: Json = {"id": answer.response_id, "model": planned.model}
    if path == CHAT:
        reason = "tool_calls" if answer.calls else "stop"
        document |= {
            "object": "chat.completion",
            "created": 1784000000,
            "choices": [{"index": 0, "message": output[0], "finish_reason": reason}],
        }
    elif path == RESPONSES:
        document |= {"object": "response", "created_at": 1784000000, "status": "completed", "output": output}
    else:
        reason = "tool_use" if answer.calls else "end_turn"
        document |= {"type": "message", **output[0], "stop_reason": reason}
    if answer.usage:
        document["usage"] = _usage_of(path, answer)
    return document


def _usage_of(path: str, answer: Answer) -> Json:
    """Tokens, as the endpoint counts them."""
    fresh, cached, output = answer.input_tokens, answer.cached_tokens, answer.output_tokens
    if path == CHAT:
        text = output - answer.reasoning_tokens
        usage: Json = {"prompt_tokens": fresh, "completion_tokens": text, "total_tokens": fresh + output}
        usage["completion_tokens_details"] = {"reasoning_tokens": answer.reasoning_tokens}
        if cached is not None:
            usage["prompt_tokens_details"] = {"text_tokens": fresh, "cached_tokens": cached}
        return usage
    if path == MESSAGES:
        usage = {"input_tokens": fresh - (cached or 0), "output_tokens": output}
        return (
            usage if cached is None else {**usage, "cache_read_input_tokens": cached, "cache_creation_input_tokens": 0}
        )
    usage = {"input_tokens": fresh, "output_tokens": output, "total_tokens": fresh + output}
    usage["output_tokens_details"] = {"reasoning_tokens": answer.reasoning_tokens}
    usage["num_server_side_tools_used"] = answer.server_side_tools
    if cached is not None:
        usage["input_tokens_details"] = {"cached_tokens": cached}
    if answer.context_tokens is not None:
        usage["context_details"] = {"input_tokens": answer.context_tokens, "output_tokens": output}
    return usage


def _stream_of(planned: Planned) -> bytes:
    events = {CHAT: _chat_events, RESPONSES: _responses_events, MESSAGES: _messages_events}[planned.path]
    written = [f"data: {json.dumps(event)}\n\n" for event in events(planned)]
    return "".join([*written, "data: [DONE]\n\n"]).encode()


def _halves(text: str) -> tuple[str, str]:
    return text[: len(text) // 2], text[len(text) // 2 :]


def _chat_events(planned: Planned) -> Iterator[Json]:
    answer = planned.answer
    head = {"id": answer.response_id, "object": "chat.completion.chunk", "model": planned.model}

    def chunk(delta: Json, reason: str | None = None) -> Json:
        return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}

    yield chunk({"role": "assistant", "content": ""})
    for piece in _halves(answer.reasoning or ""):
        yield chunk({"reasoning_content": piece})
    for piece in _halves(answer.text):
        yield chunk({"content": piece})
    if answer.calls:
        calls = output_of(CHAT, answer)[0]["tool_calls"]
        yield chunk({"tool_calls": [{"index": place, **call} for place, call in enumerate(calls)]})
    yield chunk({}, "tool_calls" if answer.calls else "stop")
    if answer.usage:
        yield {**head, "choices": [], "usage": _usage_of(CHAT, answer)}


def _responses_events(planned: Planned) -> Iterator[Json]:
    answer, whole = planned.answer, _document_of(planned)
    begun = {**whole, "status": "in_progress", "output": []}
    begun.pop("usage", None)
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for place, item in enumerate(whole["output"]):
        yield {"type": "response.output_item.added", "output_index": place, "item": {**item, "status": "in_progress"}}
        if item["type"] == "reasoning":
            for piece in _halves(answer.reasoning or ""):
                yield {"type": "response.reasoning_summary_text.delta", "output_index": place, "delta": piece}
        elif item["type"] == "message":
            for piece in _halves(answer.text):
                yield {"type": "response.output_text.delta", "output_index": place, "delta": piece}
        else:
            yield {
                "type": "response.function_call_arguments.delta",
                "output_index": place,
                "delta": item["arguments"],
            }
        yield {"type": "response.output_item.done", "output_index": place, "item": item}
    yield {"type": "response.completed", "response": whole}


def _messages_events(planned: Planned) -> Iterator[Json]:
    answer, whole = planned.answer, _document_of(planned)
    usage = whole.get("usage")
    begun = {**whole, "content": [], "stop_reason": None}
    if usage is not None:
        begun["usage"] = {**usage, "output_tokens": 0}
    yield {"type": "message_start", "message": begun}
    kinds = {"thinking": "thinking_delta", "text": "text_delta"}
    for place, block in enumerate(whole["content"]):
        kind = block["type"]
        if kind in kinds:
            yield {"type": "content_block_start", "index": place, "content_block": {"type": kind, kind: ""}}
            for piece in _halves(block[kind]):
                yield {"type": "content_block_delta", "index": place, "delta": {"type": kinds[kind], kind: piece}}
        else:
            yield {"type": "content_block_start", "index": place, "content_block": {**block, "input": {}}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
            yield {"type": "content_block_delta", "index": place, "delta": delta}
        if kind == "thinking":
            delta = {"type": "signature_delta", "signature": block["signature"]}
            yield {"type": "content_block_delta", "index": place, "delta": delta}
        yield {"type": "content_block_stop", "index": place}
    ended: Json = {"type": "message_delta", "delta": {"stop_reason": whole["stop_reason"]}}
    if usage is not None:
        ended["usage"] = {"output_tokens": answer.output_tokens}
    yield ended
    yield {"type": "message_stop"}

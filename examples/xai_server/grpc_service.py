"""The same server over gRPC: xAI's chat service, made of the official SDK's own stubs.

Prompts, caches, answers and counts are those of the HTTP server that it stands beside, so the same conversation has the
same figures here. Troubles come as metadata `x-trouble`; those that are about bytes mean nothing here, and a status is
told as the gRPC code that belongs to it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
from starlette.datastructures import Headers
from xai_sdk.proto import chat_pb2, chat_pb2_grpc, deferred_pb2, usage_pb2

from xai_server.app import XAIServer
from xai_server.arrivals import Call, trouble_of
from xai_server.chat_completions import usage as chat_usage
from xai_server.errors import ApiError
from xai_server.generation import Generation, new_id
from xai_server.models import resolve
from xai_server.prompt import JSON, chat_prompt, seal, unseal

_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
_ROLES = {1: "user", 2: "assistant", 3: "system", 4: "function", 5: "tool", 6: "developer"}
_STOP, _LENGTH, _CALLS = 3, 1, 4
_DELTAS_BEFORE_AN_ERROR = 3


@dataclass
class ReceivedCall:
    """A call as it arrived."""

    method: str
    metadata: dict[str, str]
    message: Any


@dataclass
class RunningService:
    """A service that is listening."""

    target: str
    app: XAIServer
    calls: list[ReceivedCall] = field(default_factory=list)
    polls: int = 1
    """How often a deferred completion is pending before it is done."""
    verdict: int = deferred_pb2.DeferredStatus.DONE
    """What a deferred completion comes to."""


class ChatService(chat_pb2_grpc.ChatServicer):  # type: ignore[misc]
    """Answers as the HTTP server would."""

    def __init__(self, running: RunningService) -> None:
        self._running = running
        self._app = running.app
        self._lock = threading.Lock()
        self._deferred: dict[str, tuple[int, Any]] = {}
        self._stored: dict[str, tuple[str, ...]] = {}

    def GetCompletion(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Answer in one piece."""
        call, generation = self._generate("GetCompletion", request, context)
        _wait(context, call, call.trouble.answer_at)
        return _completion(generation, request)

    def GetCompletionChunk(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        """Answer chunk by chunk."""
        call, generation = self._generate("GetCompletionChunk", request, context)
        trouble = call.trouble
        for number, (chunk, moment) in enumerate(_chunks(generation, request)):
            _wait(context, call, moment)
            if trouble.cut is not None and number >= trouble.cut:
                context.abort(grpc.StatusCode.INTERNAL, "The connection broke.")
            if trouble.error_event is not None and number > _DELTAS_BEFORE_AN_ERROR:
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "The model is at capacity.")
            if trouble.stall_after is not None and number >= trouble.stall_after:
                _hang(context)
            yield chunk

    def StartDeferredCompletion(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Begin a completion that is to be fetched."""
        _, generation = self._generate("StartDeferredCompletion", request, context)
        key = new_id()
        with self._lock:
            self._deferred[key] = (self._running.polls, _completion(generation, request))
        return deferred_pb2.StartDeferredResponse(request_id=key)

    def GetDeferredCompletion(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Tell whether a completion is done, and give it then."""
        self._received("GetDeferredCompletion", request, context)
        with self._lock:
            left, completion = self._deferred.get(request.request_id, (0, None))
            self._deferred[request.request_id] = (left - 1, completion)
        if completion is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "There is no such completion.")
        if left > 0:
            return chat_pb2.GetDeferredCompletionResponse(status=deferred_pb2.DeferredStatus.PENDING)
        verdict = self._running.verdict
        done = verdict == deferred_pb2.DeferredStatus.DONE
        return chat_pb2.GetDeferredCompletionResponse(status=verdict, response=completion if done else None)

    def GetStoredCompletion(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Give an answer again."""
        self._received("GetStoredCompletion", request, context)
        return chat_pb2.GetChatCompletionResponse(id=request.response_id)

    def CompactContext(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Replace a conversation by something opaque."""
        body = {"model": request.model, "messages": _messages(request.input)}
        _, generation = self._generate("CompactContext", request, context, body)
        return chat_pb2.CompactContextResponse(
            id=generation.id,
            encrypted_content=seal("what was said"),
            dropped_message_count=len(request.input),
            usage=_usage(generation),
        )

    def _received(self, method: str, request: Any, context: Any) -> dict[str, str]:
        metadata = {name: value for name, value in context.invocation_metadata() if isinstance(value, str)}
        self._running.calls.append(ReceivedCall(method, metadata, request))
        return metadata

    def _generate(self, method: str, request: Any, context: Any, body: JSON | None = None) -> tuple[Call, Generation]:
        metadata = self._received(method, request, context)
        if not metadata.get("authorization"):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "No credentials were sent.")
        headers = Headers(metadata)
        trouble = trouble_of(self._app.settings.trouble, headers)
        call = Call(time.monotonic(), headers, b"", trouble)
        if trouble.stall is not None:
            _hang(context, trouble.stall)
        if trouble.status is not None:
            context.abort(_CODES.get(trouble.status, grpc.StatusCode.UNKNOWN), "This error was asked for.")
        body = _body(request) if body is None else body
        prompt = chat_prompt(body)
        if body.get("previous_response_id"):
            prompt = replace(prompt, pieces=(*self._stored.get(body["previous_response_id"], ()), *prompt.pieces))
        try:
            work = self._app._work(  # noqa: SLF001  the two are one server
                call, body, resolve(str(body["model"])), prompt, body.get("max_tokens"), body.get("n") or 1
            )
        except ApiError as error:
            context.abort(_CODES.get(error.status, grpc.StatusCode.UNKNOWN), error.message)
        work.on_prefilled()
        generation = work.generation
        if body.get("store_messages"):
            self._stored[generation.id] = (*prompt.pieces, *generation.answer.pieces())
        return call, generation


@contextmanager
def serving(app: XAIServer, *, secure: bool = False) -> Iterator[RunningService]:
    """Run the service beside an HTTP server; on a secure channel the SDK adds its metadata out of everybody's sight."""
    server = grpc.server(ThreadPoolExecutor(max_workers=32))
    running = RunningService("", app)
    chat_pb2_grpc.add_ChatServicer_to_server(ChatService(running), server)
    if secure:  # the SDK takes these for whatever begins with "localhost:"
        port = server.add_secure_port("localhost:0", grpc.local_server_credentials())
    else:
        port = server.add_insecure_port("localhost:0")
    running.target = f"localhost:{port}"
    server.start()
    try:
        yield running
    finally:
        server.stop(0).wait()


def _made(kind: Any, **fields: Any) -> Any:
    """Make a message of what this version of the SDK knows of it."""
    known = kind.DESCRIPTOR.fields_by_name
    return kind(**{name: value for name, value in fields.items() if name in known})


def _body(request: Any) -> JSON:
    """Write a request as the body of a chat completion."""
    body: JSON = {"model": request.model, "messages": _messages(request.messages), "n": request.n}
    for name in ("max_tokens", "previous_response_id"):
        if name in request.DESCRIPTOR.fields_by_name and request.HasField(name):
            body[name] = getattr(request, name)
    if getattr(request, "store_messages", False):
        body["store_messages"] = True
    if request.tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": tool.function.name,
                    "description": tool.function.description,
                    "parameters": _json(tool.function.parameters),
                },
            }
            for tool in request.tools
        ]
    return body


def _json(text: str) -> Any:
    import json

    return json.loads(text) if text else {}


def _messages(messages: Any) -> list[JSON]:
    found: list[JSON] = []
    for message in messages:
        sealed = getattr(message, "encrypted_content", "")
        if sealed and not message.content and not message.tool_calls:
            found = [{"role": "user", "content": f"<compacted>{unseal(sealed)}"}]
            continue
        parts = [
            {"type": "text", "text": part.text}
            if part.HasField("text")
            else {"type": "image_url", "image_url": {"url": part.image_url.image_url}}
            for part in message.content
        ]
        entry: JSON = {"role": _ROLES.get(message.role, "user"), "content": parts}
        reasoning = message.reasoning_content or unseal(sealed)
        if reasoning:
            entry["reasoning_content"] = reasoning
        if message.tool_calls:
            entry["tool_calls"] = [
                {"function": {"name": call.function.name, "arguments": call.function.arguments}}
                for call in message.tool_calls
            ]
        found.append(entry)
    return found


def _usage(generation: Generation, visible: int | None = None, reasoning: int | None = None) -> Any:
    if generation.trouble.usage == "none":
        return None
    counts = chat_usage(generation, visible, reasoning)
    return _made(
        usage_pb2.SamplingUsage,
        prompt_tokens=counts["prompt_tokens"],
        completion_tokens=counts["completion_tokens"],
        reasoning_tokens=counts["completion_tokens_details"]["reasoning_tokens"],
        total_tokens=counts["total_tokens"],
        prompt_text_tokens=counts["prompt_tokens"],
        cached_prompt_text_tokens=counts["prompt_tokens_details"]["cached_tokens"],
        cost_in_usd_ticks=counts["cost_in_usd_ticks"],
    )


def _finish(generation: Generation) -> int:
    if generation.answer.cut_short:
        return _LENGTH
    return _CALLS if generation.answer.call else _STOP


def _calls(generation: Generation) -> list[Any]:
    call = generation.answer.call
    if call is None:
        return []
    return [
        _made(
            chat_pb2.ToolCall,
            id=call.id,
            type=1,
            function=chat_pb2.FunctionCall(name=call.name, arguments=call.arguments),
        )
    ]


def _completion(generation: Generation, request: Any) -> Any:
    answer = generation.answer
    reasoning = "".join(answer.reasoning)
    message = _made(
        chat_pb2.CompletionMessage,
        role=2,
        content="".join(answer.text),
        reasoning_content=reasoning,
        encrypted_content=seal(reasoning) if getattr(request, "use_encrypted_content", False) else "",
        tool_calls=_calls(generation),
    )
    return chat_pb2.GetChatCompletionResponse(
        id=generation.id,
        model=generation.model,
        outputs=[
            chat_pb2.CompletionOutput(index=index, finish_reason=_finish(generation), message=message)
            for index in range(generation.choices)
        ],
        usage=_usage(generation),
    )


def _chunks(generation: Generation, request: Any) -> Iterator[tuple[Any, int | None]]:
    """The stream, each chunk with the moment, in milliseconds, before which it is not to be sent."""
    answer, trouble = generation.answer, generation.trouble
    visible = reasoning = 0

    def chunk(finish: int = 0, *, last: bool = False, **delta: Any) -> Any:
        counted = _usage(generation) if last else _usage(generation, visible, reasoning)
        return chat_pb2.GetChatCompletionChunk(
            id=generation.id,
            model=generation.model,
            outputs=[
                chat_pb2.CompletionOutputChunk(
                    index=index, finish_reason=finish, delta=_made(chat_pb2.Delta, role=2, **delta)
                )
                for index in range(generation.choices)
            ],
            usage=counted if last or trouble.usage == "every_chunk" else None,
        )

    yield chunk(), trouble.empty_at
    for text in answer.reasoning:
        reasoning = min(reasoning + generation.choices, generation.reasoning_tokens)
        yield chunk(reasoning_content=text), trouble.reasoning_at
    reasoning = generation.reasoning_tokens
    for text in answer.text:
        visible = min(visible + generation.choices, generation.visible_tokens)
        yield chunk(content=text), trouble.answer_at
    if answer.call:
        yield chunk(tool_calls=_calls(generation)), trouble.answer_at
    sealed = seal("".join(answer.reasoning)) if getattr(request, "use_encrypted_content", False) else ""
    yield chunk(_finish(generation), last=True, encrypted_content=sealed), None


def _wait(context: Any, call: Call, moment: int | None) -> None:
    left = 0.0 if moment is None else call.arrived + moment / 1000 - time.monotonic()
    if left > 0 and context.is_active():
        time.sleep(left)


def _hang(context: Any, seconds: float = 60.0) -> None:
    until = time.monotonic() + min(seconds, 60.0)
    while context.is_active() and time.monotonic() < until:
        time.sleep(0.01)


__all__ = ["ReceivedCall", "RunningService", "serving"]

"""The server as an ASGI application: which path leads where, and what is remembered.

This file joins the others: a request has arrived, the prompt, the cache and the
answer are worked out, and the result goes to a reply. It knows no wire shape.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from xai_server import chat_completions, messages, models, responses
from xai_server.answers import make_answer
from xai_server.arrivals import (
    Call,
    RecordedRequest,
    authenticate,
    body_of,
    call_of,
    limit_of,
    model_of,
    read_body,
    refuse_unsupported,
    trouble_of,
)
from xai_server.delivery import Pace
from xai_server.errors import ApiError
from xai_server.generation import Generation, RecordedAnswer, new_id
from xai_server.prefix_cache import Cluster
from xai_server.prompt import JSON, Prompt, chat_prompt, messages_prompt, responses_prompt, tokens_of
from xai_server.replies import Work, failure, forced, not_ready, stream, success, whole
from xai_server.settings import ServerSettings
from xai_server.trouble import Trouble


class XAIServer:
    """The ASGI application; one object is one server with its caches and its memory."""

    def __init__(self, settings: ServerSettings | None = None) -> None:
        self.settings = settings or ServerSettings()
        self.requests: list[RecordedRequest] = []
        self.answers: list[RecordedAnswer] = []
        self.cluster = Cluster(self.settings)
        self._stored: OrderedDict[str, tuple[JSON, tuple[str, ...]]] = OrderedDict()
        self._deferred: OrderedDict[str, tuple[bool, JSON]] = OrderedDict()
        self._router = Starlette(
            routes=[
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
                Route("/v1/chat/deferred-completion/{id}", self._deferred_result, methods=["GET"]),
                Route("/v1/responses", self._respond, methods=["POST"]),
                Route("/v1/responses/compact", self._compact, methods=["POST"]),
                Route("/v1/responses/{id}", self._stored_response, methods=["GET"]),
                Route("/v1/responses/{id}", self._delete_response, methods=["DELETE"]),
                Route("/v1/messages", self._message, methods=["POST"]),
                Route("/v1/models", self._models, methods=["GET"]),
                Route("/v1/models/{id}", self._model, methods=["GET"]),
            ],
            exception_handlers={ApiError: _on_api_error, HTTPException: _on_http_error},
        )

    def evict(self, conversation: str | None = None) -> None:
        """Forget cached prompts: of the server of one conversation, or of all servers."""
        if conversation is None:
            for cache in self.cluster.caches:
                cache.evict()
        else:
            self.cluster.pick(conversation).evict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Record a request, see to its troubles, let it in, and route it."""
        if scope["type"] != "http":
            raise RuntimeError("only HTTP is spoken here")
        arrived = asyncio.get_running_loop().time()
        headers = Headers(scope=scope)
        trouble = Trouble()
        try:
            body = await read_body(receive, self.settings.body_limit)
            self._record(RecordedRequest(scope["method"], scope["path"], headers, body))
            trouble = trouble_of(self.settings.trouble, headers)
            early = forced(scope, headers, trouble)
            if early is None:
                authenticate(scope["path"], headers)
        except ApiError as error:
            early = failure(error, trouble)
        if early is not None:
            await early(scope, receive, send)
            return
        scope["xai.call"] = Call(arrived, headers, body, trouble, scope["path"])
        await self._router(scope, receive, send)

    def _record(self, request: RecordedRequest) -> None:
        self.requests.append(request)
        del self.requests[: -self.settings.recorded_requests]

    def _record_answer(self, answer: RecordedAnswer) -> None:
        self.answers.append(answer)
        del self.answers[: -self.settings.recorded_requests]

    # Generations

    async def _chat(self, request: Request) -> Response:
        call = call_of(request)
        body = body_of(call, "model", "messages")
        if body.get("stream") and body.get("deferred"):
            raise ApiError(400, "Streaming is not supported with deferred completions.")
        model = model_of(body)
        refuse_unsupported(body, model)
        choices = call.trouble.choices or limit_of(body, "n") or 1
        limit = limit_of(body, "max_completion_tokens", "max_tokens")
        work = self._work(call, body, model, chat_prompt(body), limit, choices)
        if body.get("deferred"):
            work.on_prefilled()
            request_id = new_id()
            self._deferred[request_id] = (False, chat_completions.completion(work.generation, body))
            _bound(self._deferred, self.settings.stored_responses)
            return success({"request_id": request_id}, call)
        events = list(chat_completions.chunks(work.generation, body))
        if body.get("stream"):
            kind = call.trouble.error_event
            return stream(call, work, events, chat_completions.error_payload(kind) if kind else None)
        return whole(call, work, events, chat_completions.completion(work.generation, body))

    async def _respond(self, request: Request) -> Response:
        call = call_of(request)
        body = body_of(call, "model", "input")
        model = model_of(body)
        prompt = responses_prompt(body, self._history(body))
        work = self._work(call, body, model, prompt, limit_of(body, "max_output_tokens"))
        generation = work.generation

        def on_prefilled() -> None:
            work.on_prefilled()
            if body.get("store") is not False:
                turns = (*prompt.pieces, *generation.answer.pieces())
                self._stored[generation.id] = (responses.response(generation, body), turns)
                _bound(self._stored, self.settings.stored_responses)

        stored = Work(generation, work.pace, on_prefilled)
        events = list(responses.events(generation, body))
        if body.get("stream"):
            kind = call.trouble.error_event
            return stream(call, stored, events, responses.error_payload(kind, generation, body) if kind else None)
        return whole(call, stored, events, responses.response(generation, body))

    async def _compact(self, request: Request) -> Response:
        call = call_of(request)
        body = body_of(call, "model", "input")
        prompt = responses_prompt(body, self._history(body))
        work = self._work(call, body, model_of(body), prompt, None)
        return whole(call, work, [], responses.compaction(work.generation))

    async def _message(self, request: Request) -> Response:
        call = call_of(request)
        body = body_of(call, "model", "messages")
        work = self._work(call, body, model_of(body), messages_prompt(body), limit_of(body, "max_tokens"))
        includes_cached = self.settings.messages_input_includes_cached
        events = list(messages.events(work.generation, includes_cached=includes_cached))
        if body.get("stream"):
            # Anthropic's clients read the type from the `event:` line, so here it is always there.
            error = messages.error_payload() if call.trouble.error_event else None
            return stream(call, work, events, error, event_lines=True)
        return whole(call, work, events, messages.message(work.generation, includes_cached=includes_cached))

    def _history(self, body: JSON) -> tuple[str, ...]:
        previous = body.get("previous_response_id")
        if not previous:
            return ()
        if body.get("instructions"):
            raise ApiError(400, "`instructions` cannot be combined with `previous_response_id`.")
        if previous not in self._stored:
            raise ApiError(404, f"Response with id={previous} not found.")
        return self._stored[previous][1]

    def _work(self, call: Call, body: JSON, model: str, prompt: Prompt, limit: int | None, choices: int = 1) -> Work:
        settings = self.settings
        # Which of the two wins when both are given is undocumented; an empty value counts as none.
        conversation = str(body.get("prompt_cache_key") or call.headers.get("x-grok-conv-id") or "")
        cache = self.cluster.pick(conversation)
        tokens = prompt.tokens()
        cached = self.cluster.cached_tokens(cache, model, tokens)
        answer = make_answer(prompt, model, body.get("tools"), limit, settings, call.trouble)
        generation = Generation(model, prompt, answer, len(tokens), cached, call.trouble, choices)
        asked = call.path != "/v1/chat/completions" or chat_completions.includes_usage(body)
        usage_sent = call.trouble.usage == "every_chunk" or (asked and call.trouble.usage is None)
        self._record_answer(RecordedAnswer(call.path, conversation, generation, usage_sent))
        prefill_s = (len(tokens) - cached) / 1000 * settings.prefill_s_per_1k_tokens

        def remember() -> None:
            # The answer counts as known too, with its reasoning: a follow-up that leaves the
            # reasoning out no longer begins alike.
            self.cluster.remember(cache, model, [*tokens, *tokens_of(answer.pieces())])

        return Work(generation, Pace(call.arrived, prefill_s, settings.event_gap_s, call.trouble), remember)

    # Reading and deleting

    async def _deferred_result(self, request: Request) -> Response:
        call, key = call_of(request), request.path_params["id"]
        if key not in self._deferred:
            raise ApiError(404, f"Deferred completion {key} not found.")
        polled, completion = self._deferred.pop(key)
        if polled:
            return success(completion, call)
        self._deferred[key] = (True, completion)
        return not_ready(call)

    async def _stored_response(self, request: Request) -> Response:
        return success(self._find(request)[0], call_of(request))

    async def _delete_response(self, request: Request) -> Response:
        self._find(request)
        key = request.path_params["id"]
        del self._stored[key]
        return success({"id": key, "object": "response", "deleted": True}, call_of(request))

    def _find(self, request: Request) -> tuple[JSON, tuple[str, ...]]:
        key = request.path_params["id"]
        if key not in self._stored:
            raise ApiError(404, f"Response with id={key} not found.")
        return self._stored[key]

    async def _models(self, request: Request) -> Response:
        return success({"object": "list", "data": models.all_models()}, call_of(request))

    async def _model(self, request: Request) -> Response:
        return success(models.one_model(request.path_params["id"]), call_of(request))


def create_app(settings: ServerSettings | None = None) -> XAIServer:
    """Make a server as an ASGI application."""
    return XAIServer(settings)


async def _on_api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return failure(error, call_of(request).trouble)


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    where = f"{request.method} {request.url.path}"
    return failure(ApiError(error.status_code, f"There is nothing at {where}."), call_of(request).trouble)


def _bound(memory: OrderedDict[str, Any], size: int) -> None:
    while len(memory) > size:
        memory.popitem(last=False)

"""The official SDK over gRPC: what it asks and gets is told as over HTTP, and its application notices nothing.

A script is written once and runs for both colours: ``done`` awaits what is to be awaited, ``each`` iterates over what
is a stream of either kind.
"""

import asyncio
import datetime
import gc
import inspect
import logging
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.trace import NoOpTracer, SpanKind, StatusCode

from conftest import Telemetry
from opentelemetry.instrumentation.xai import XAIInstrumentor, guard

xai_sdk = pytest.importorskip("xai_sdk", reason="the official SDK is not installed")
grpc = pytest.importorskip("grpc")
from pydantic import BaseModel  # noqa: E402  the SDK needs it
from xai_sdk.aio import chat as aio_chat  # noqa: E402
from xai_sdk.chat import assistant, image, system, tool, tool_result, user  # noqa: E402
from xai_sdk.proto import chat_pb2, chat_pb2_grpc, deferred_pb2, usage_pb2  # noqa: E402
from xai_sdk.sync import chat as sync_chat  # noqa: E402

from opentelemetry.instrumentation.xai.clients import grpc_calls, grpc_deferred  # noqa: E402
from opentelemetry.instrumentation.xai.clients.grpc_peers import address_of  # noqa: E402

SYSTEM = "You are a patient teacher of geography. " * 40
QUESTION = "Which river is the longest, and why do people disagree about it?"
KEY = "key-of-the-application"
LOCAL = "localhost"

HAS_CALL_IDS = "tool_call_id" in chat_pb2.Message.DESCRIPTOR.fields_by_name
HAS_COMPACTION = hasattr(chat_pb2, "CompactContextRequest")

both_colours = pytest.mark.parametrize("colour", [xai_sdk.Client, xai_sdk.AsyncClient], ids=["sync", "async"])
both_channels = pytest.mark.parametrize("secure", [False, True], ids=["insecure", "secure"])
pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")


class Answer(BaseModel):
    """What ``parse`` is asked for."""

    text: str


@pytest.fixture(scope="module")
def app() -> Any:
    """The server's memory, which HTTP and gRPC share."""
    xai_server = pytest.importorskip("xai_server", reason="the server needs starlette and uvicorn")
    return xai_server.create_app(xai_server.ServerSettings(block=16, minimum_tokens=0))


@pytest.fixture(scope="module")
def channels(app: Any) -> Iterator[dict[bool, Any]]:
    """The services, by whether their channel is secure."""
    from xai_server.grpc_service import serving

    with serving(app) as insecure, serving(app, secure=True) as secure:
        yield {False: insecure, True: secure}


@pytest.fixture
def service(channels: dict[bool, Any]) -> Iterator[Any]:
    """The service without TLS, as it is at first."""
    running = channels[False]
    running.calls.clear()
    yield running
    running.polls, running.verdict = 1, deferred_pb2.DeferredStatus.DONE


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No spans of the SDK's own, as with ``XAI_SDK_DISABLE_TRACING=1``."""
    for module in (sync_chat, aio_chat):
        monkeypatch.setattr(module, "tracer", NoOpTracer())


@pytest.fixture
def telemetry_on(instrument: Any) -> Telemetry:
    """Telemetry with the instrumentation on, for servers on this machine."""
    telemetry: Telemetry = instrument(hosts=LOCAL)
    return telemetry


async def done(value: Any) -> Any:
    """The value itself, or what is awaited."""
    return await value if inspect.isawaitable(value) else value


async def each(stream: Any) -> AsyncIterator[Any]:
    """The items of a stream of either kind."""
    if hasattr(stream, "__aiter__"):
        async for item in stream:
            yield item
    else:
        for item in stream:
            yield item


def made(colour: Any, service: Any, *, trouble: str = "", identity: str | None = None, **more: Any) -> Any:
    """A client of the service."""
    metadata = [("x-grok-conv-id", identity)] if identity else []
    if trouble:
        metadata.append(("x-trouble", trouble))
    more.setdefault("use_insecure_channel", True)
    return colour(api_key=KEY, api_host=service.target, metadata=tuple(metadata), **more)


def run(colour: Any, service: Any, script: Callable[[Any], Any], **more: Any) -> Any:
    """Run a script with a client."""

    async def work() -> Any:
        client = made(colour, service, **more)
        try:
            return await script(client)
        finally:
            await done(client.close())

    return asyncio.run(work())


def chat_of(client: Any, **more: Any) -> Any:
    """A chat with a question."""
    settings = {"model": "grok-4.7", "messages": [system(SYSTEM), user(QUESTION)], "temperature": 0.7, "top_p": 0.5}
    return client.chat.create(**{**settings, "max_tokens": 500, **more})


async def drained(stream: Any) -> Any:
    """The last item of a stream."""
    last = None
    async for item in each(stream):
        last = item
    return last


async def as_stream(chat: Any) -> Any:
    """The response of a chat that was streamed."""
    return (await drained(chat.stream()))[0]


WAYS: dict[str, Callable[[Any], Any]] = {
    "sample": lambda chat: done(chat.sample()),
    "sample_batch": lambda chat: done(chat.sample_batch(2)),
    "stream": as_stream,
    "stream_batch": lambda chat: drained(chat.stream_batch(2)),
    "defer": lambda chat: done(chat.defer(interval=datetime.timedelta(milliseconds=5))),
    "defer_batch": lambda chat: done(chat.defer_batch(2, interval=datetime.timedelta(milliseconds=5))),
}


def usage_of(response: Any) -> dict[str, Any]:
    """The counts that the application sees, as the conventions count, by hand."""
    usage = response.usage
    ticks = getattr(usage, "cost_in_usd_ticks", 0)
    return {
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage.completion_tokens + usage.reasoning_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_prompt_text_tokens,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
        **({"xai.response.cost_usd": pytest.approx(ticks / 1e10)} if ticks else {}),
    }


@both_colours
@both_channels
@pytest.mark.parametrize("way", WAYS)
def test_a_complete_call_is_one_span_right_in_every_attribute(
    colour: Any, secure: bool, way: str, channels: Any, telemetry_on: Telemetry
) -> None:
    """However the SDK is asked for an answer, that is one CLIENT span with request, answer, usage and timing."""
    service, identity = channels[secure], str(uuid.uuid4())
    seen: list[Any] = []

    async def script(client: Any) -> None:
        found = await WAYS[way](chat_of(client))
        found = found[0] if isinstance(found, tuple) else found
        seen.append(found[0] if isinstance(found, list) else found)

    run(colour, service, script, identity=identity, use_insecure_channel=not secure)
    (response,) = seen
    span, attributes = telemetry_on.span, telemetry_on.attributes()
    assert (span.name, span.kind, span.status.status_code) == ("chat grok-4.7", SpanKind.CLIENT, StatusCode.UNSET)
    timed = {name: attributes.pop(name) for name in list(attributes) if "time_to_first" in name}
    batch = "batch" in way
    assert attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "x_ai",
        "gen_ai.request.model": "grok-4.7",
        "gen_ai.request.temperature": 0.7,
        "gen_ai.request.top_p": 0.5,
        "gen_ai.request.max_tokens": 500,
        "gen_ai.response.id": response.id,
        "gen_ai.response.model": "grok-4.7",
        "gen_ai.response.finish_reasons": ("stop", "stop") if batch else ("stop",),
        "gen_ai.conversation.id": identity,
        "xai.conversation.id.source": "metadata",
        "server.address": "localhost",
        "server.port": int(service.target.rpartition(":")[2]),
        **usage_of(response),
        **({"gen_ai.request.choice.count": 2} if batch else {}),
        **({"gen_ai.request.stream": True} if "stream" in way else {}),
        "xai.cache.outcome": "not_applicable",
        "xai.cache.reason": "first_request",
        "xai.cache.cause": "expected",
        "xai.cache.confidence": "certain",
        "xai.cache.potential_tokens": 0,
        "xai.cache.lost_tokens": 0,
    }
    if "stream" in way:
        chunk, token, answer = (
            timed[f"{name}"]
            for name in (
                "gen_ai.response.time_to_first_chunk",
                "xai.response.time_to_first_token",
                "xai.response.time_to_first_answer_token",
            )
        )
        assert span.end_time is not None
        assert span.start_time is not None
        assert 0 < chunk <= token <= answer <= (span.end_time - span.start_time) / 1e9 + 1e-9
    else:
        assert not timed
    metrics = telemetry_on.metrics()
    assert metrics["gen_ai.client.operation.duration"][0].count == 1
    assert telemetry_on.total("gen_ai.client.inference.usage.input_tokens") == response.usage.prompt_tokens


@both_colours
def test_parse_is_one_span_of_json(colour: Any, service: Any, telemetry_on: Telemetry) -> None:
    """``parse`` asks for JSON; that the answer does not fit the shape is the application's own affair."""

    async def script(client: Any) -> None:
        with pytest.raises(ValueError, match="JSON"):
            await done(chat_of(client).parse(Answer))

    run(colour, service, script)
    attributes = telemetry_on.attributes()
    assert attributes["gen_ai.output.type"] == "json"
    assert attributes["gen_ai.response.finish_reasons"] == ("stop",)
    assert "error.type" not in attributes


@both_colours
@pytest.mark.parametrize("way", ["sample", "stream"])
def test_cached_tokens_are_the_ones_that_xai_reports(
    colour: Any, way: str, service: Any, telemetry_on: Telemetry
) -> None:
    """The same prompt twice in one conversation: 0 cached tokens are a value, and the second call has many."""
    model = f"grok-4.7-{uuid.uuid4()}"

    async def script(client: Any) -> None:
        await WAYS[way](chat_of(client, model=model))
        await WAYS[way](chat_of(client, model=model))

    run(colour, service, script, identity="conversation")
    first, second = (dict(span.attributes or {})["gen_ai.usage.cache_read.input_tokens"] for span in telemetry_on.spans)
    assert first == 0
    assert second > 300


TOOLS = [("look_up", "Looks something up.", {"type": "object", "properties": {"what": {"type": "string"}}})]


def _drop_reasoning(message: Any) -> None:
    message.ClearField("reasoning_content")


CHANGES: dict[str, dict[str, Any]] = {
    "reused": {},
    "provider_miss": {},
    "history_edited": {"question": "Which river is the shortest? " * 300},
    "reasoning_dropped": {"reasoning": False},
    "conversation_id_missing": {"identity": False},
    "system_changed": {"system": "You are impatient. " * 300},
    "tools_changed": {"tools": [("look_up", "Finds something.", {})]},
    "model_changed": {"model": "another"},
    "parameters_changed": {"effort": "low"},
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
def test_the_ledger_says_of_messages_what_it_says_of_json(
    change: str, streamed: bool, app: Any, service: Any, instrument: Any
) -> None:
    """The same two turns over HTTP and over gRPC have the same outcome, for the same reason, at the same place."""
    httpx = pytest.importorskip("httpx")
    from xai_server.running import running

    telemetry = instrument()
    changed, model, answers = CHANGES[change], f"grok-4.7-{uuid.uuid4()}", {}
    long = f"{QUESTION} " * 300

    def turn(number: int, **more: Any) -> dict[str, Any]:
        own = changed if number == 2 else {}
        return {
            "model": own.get("model", "") + model,
            "system": own.get("system", SYSTEM),
            "question": own.get("question", long),
            "tools": own.get("tools", TOOLS),
            "effort": own.get("effort"),
            "identity": identity if own.get("identity", True) else None,
            "reasoning": own.get("reasoning", True),
        }

    identity = f"http-{uuid.uuid4()}"
    with running(app.settings) as http:
        for number in (1, 2):
            asked = turn(number)
            messages = [
                {"role": "system", "content": asked["system"]},
                {"role": "user", "content": asked["question"]},
            ]
            if number == 2:
                said = {key: value for key, value in answers["http"].items() if value is not None and key != "refusal"}
                if not asked["reasoning"]:
                    del said["reasoning_content"]
                messages += [said, {"role": "user", "content": "And the second longest?"}]
                if change != "reused":
                    http.app.evict()
            body = {"model": asked["model"], "messages": messages, "tools": [_tool_of(each) for each in asked["tools"]]}
            if asked["effort"]:
                body["reasoning_effort"] = asked["effort"]
            if streamed:
                body |= {"stream": True, "stream_options": {"include_usage": True}}
            headers = {"authorization": f"Bearer {KEY}"}
            if asked["identity"]:
                headers["x-grok-conv-id"] = asked["identity"]
            answer = httpx.post(f"{http.url}/v1/chat/completions", json=body, headers=headers)
            if number == 1:
                answers["http"] = _message_in(answer, streamed=streamed)

    XAIInstrumentor().uninstrument()  # and with another ledger
    instrument(hosts=LOCAL)
    identity = f"grpc-{uuid.uuid4()}"
    for number in (1, 2):
        asked = turn(number)

        async def script(client: Any, asked: dict[str, Any] = asked, number: int = number) -> None:
            chat = chat_of(
                client,
                model=asked["model"],
                messages=[system(asked["system"]), user(asked["question"])],
                tools=[tool(*each) for each in asked["tools"]],
                reasoning_effort=asked["effort"],
                temperature=None,
                top_p=None,
                max_tokens=None,
            )
            if number == 2:
                chat.append(answers["grpc"])
                if not asked["reasoning"]:
                    _drop_reasoning(chat.messages[-1])
                chat.append(user("And the second longest?"))
                if change != "reused":
                    app.evict()
            response = await (as_stream(chat) if streamed else done(chat.sample()))
            if number == 1:
                answers["grpc"] = response

        run(xai_sdk.Client, service, script, identity=asked["identity"])

    spans = [dict(span.attributes or {}) for span in telemetry.spans]
    assert len(spans) == 4
    of_interest = [
        {
            name: value
            for name, value in attributes.items()
            if name.startswith(("xai.cache.", "gen_ai.usage."))
            and name not in ("xai.cache.idle_s", "gen_ai.usage.output_tokens", "gen_ai.usage.reasoning.output_tokens")
        }
        for attributes in spans
    ]
    assert of_interest[0] == of_interest[2]
    assert of_interest[1] == of_interest[3]
    assert of_interest[3].get("xai.cache.reason", "reused") == change


def _tool_of(described: tuple[str, str, Any]) -> dict[str, Any]:
    name, description, parameters = described
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


def _message_in(answer: Any, *, streamed: bool) -> dict[str, Any]:
    """The assistant's message of an answer over HTTP."""
    import json

    if not streamed:
        return dict(answer.json()["choices"][0]["message"])
    message = {"role": "assistant", "content": "", "reasoning_content": ""}
    for line in answer.text.splitlines():
        if line.startswith("data: {"):
            for choice in json.loads(line[6:])["choices"]:
                for name in ("content", "reasoning_content"):
                    message[name] += choice["delta"].get(name) or ""
    return message


def second(telemetry: Telemetry) -> dict[str, Any]:
    """The attributes of the last span."""
    return dict(telemetry.spans[-1].attributes or {})


@both_colours
def test_a_tool_call_and_its_result_continue_the_conversation(
    colour: Any, service: Any, telemetry_on: Telemetry
) -> None:
    """A tool call is a finish and a token; sent back with its result, the conversation goes on and is reused."""

    async def script(client: Any) -> None:
        messages = [system(SYSTEM * 8), user("Use a tool.")]
        chat = chat_of(client, messages=messages, tools=[tool(*each) for each in TOOLS])
        response = await as_stream(chat)
        chat.append(response)
        chat.append(tool_result("Found.", response.tool_calls[0].id) if HAS_CALL_IDS else tool_result("Found."))
        await done(chat.sample())

    run(colour, service, script, identity=str(uuid.uuid4()))
    first, last = (dict(span.attributes or {}) for span in telemetry_on.spans)
    assert first["gen_ai.response.finish_reasons"] == ("tool_calls",)
    assert first["xai.response.time_to_first_answer_token"] > 0
    assert last["xai.cache.outcome"] == "reused"
    assert last["xai.cache.potential_tokens"] > 1024


def test_a_response_id_continues_what_lies_on_the_server(service: Any, telemetry_on: Telemetry) -> None:
    """With ``previous_response_id`` the prompt before is the server's, and its request the predecessor."""

    async def script(client: Any) -> None:
        response = chat_of(client, messages=[system(SYSTEM * 8), user(QUESTION)], store_messages=True).sample()
        chat_of(client, messages=[user("And then?")], previous_response_id=response.id).sample()

    run(xai_sdk.Client, service, script, identity=str(uuid.uuid4()))
    found = second(telemetry_on)
    assert found["gen_ai.request.previous_response.id"]
    assert found["xai.cache.outcome"] == "reused"
    assert found["xai.cache.potential_tokens"] > 1024


@both_colours
@pytest.mark.skipif(not HAS_COMPACTION, reason="this version of the SDK cannot compact")
@pytest.mark.parametrize("kept", [False, True], ids=["replaced", "kept"])
@pytest.mark.parametrize("identity", ["a conversation", None], ids=["id", "no-id"])
def test_a_compaction_is_one_span_and_the_reason_of_what_follows(
    colour: Any, kept: bool, identity: str | None, service: Any, telemetry_on: Telemetry
) -> None:
    """``compact`` is an exchange of its own, beside the ledger; the turn after it lost the cache to it, as expected."""

    async def script(client: Any) -> None:
        chat = chat_of(client, messages=[system(SYSTEM * 8), user(QUESTION)])
        chat.append(await done(chat.sample()))
        if kept:  # the SDK used to leave the rest to the server
            compacted = await done(client.chat.compact_context("grok-4.7", chat.messages))
            chat.append(chat_pb2.Message(role=2, encrypted_content=compacted.encrypted_content))
        else:
            await done(chat.compact())
        chat.append(user("What was it?"))
        await done(chat.sample())

    run(colour, service, script, identity=identity and f"{identity} {uuid.uuid4()}")
    _, compaction, after = telemetry_on.spans
    attributes = dict(compaction.attributes or {})
    assert compaction.name == "compact grok-4.7"
    assert attributes["gen_ai.operation.name"] == "compact"
    assert attributes["gen_ai.usage.input_tokens"] > 1024
    assert not any(name.startswith("xai.cache.") for name in attributes)
    assert dict(after.attributes or {})["xai.cache.reason"] == "compacted"


@both_colours
@pytest.mark.parametrize("way", ["left", "closed", "forgotten"])
def test_a_stream_that_is_broken_off_ends_its_span_unset(
    colour: Any, way: str, service: Any, telemetry_on: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Leaving, closing or forgetting a stream is the application's right: no error, finish reason ``error``."""
    # The SDK's generators complain of being closed in another context, and pytest keeps the traceback with the stream.
    monkeypatch.setattr(logging.getLogger("opentelemetry.context"), "disabled", True)

    async def script(client: Any) -> None:
        stream = chat_of(client).stream()
        for _ in range(2):
            await (anext(stream) if hasattr(stream, "__anext__") else done(next(stream)))
        if way == "closed":
            await done(stream.aclose() if hasattr(stream, "aclose") else stream.close())
        elif way == "forgotten":
            del stream
            gc.collect()
            await asyncio.sleep(0.05)
        else:
            async for _ in each(stream):
                break
            del stream
            await asyncio.sleep(0.05)

    run(colour, service, script, trouble="events=400")
    gc.collect()
    attributes = telemetry_on.attributes()
    assert telemetry_on.span.status.status_code is StatusCode.UNSET
    assert attributes["gen_ai.response.finish_reasons"] == ("error",)
    assert "error.type" not in attributes


FAILURES = [
    # way, trouble, error.type, what the application gets, whether an answer had begun
    ("sample", "status=429", "RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED", False),
    ("stream", "status=400", "INVALID_ARGUMENT", "INVALID_ARGUMENT", False),
    ("defer", "status=403", "PERMISSION_DENIED", "PERMISSION_DENIED", False),
    ("sample", "status=500", "INTERNAL", "INTERNAL", False),
    ("sample", "stall", "timeout", "DEADLINE_EXCEEDED", False),
    ("stream", "stall", "timeout", "DEADLINE_EXCEEDED", False),
    ("stream", "stall_after=3", "timeout", "DEADLINE_EXCEEDED", True),
    ("stream", "cut=3", "stream_interrupted", "INTERNAL", True),
    ("stream", "error_event", "RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED", True),
]


@both_colours
@pytest.mark.parametrize(("way", "trouble", "error_type", "status", "begun"), FAILURES)
def test_a_failure_is_named_by_its_status(
    colour: Any,
    way: str,
    trouble: str,
    error_type: str,
    status: str,
    begun: bool,
    service: Any,
    telemetry_on: Telemetry,
) -> None:
    """A call that fails has the status's name, a deadline is a timeout, a stream that broke an interrupted one."""

    async def script(client: Any) -> None:
        with pytest.raises(grpc.RpcError) as raised:
            await WAYS[way](chat_of(client))
        assert raised.value.code().name == status
        assert isinstance(raised.value.details(), str)

    run(colour, service, script, trouble=trouble, timeout=0.4 if "stall" in trouble else 20)
    attributes = telemetry_on.attributes()
    assert attributes["error.type"] == error_type
    assert telemetry_on.span.status.status_code is StatusCode.ERROR
    assert attributes.get("gen_ai.response.finish_reasons") == (("error",) if begun else None)
    assert "http.response.status_code" not in attributes


@both_colours
def test_a_server_that_is_not_there_is_unavailable(colour: Any, service: Any, telemetry_on: Telemetry) -> None:
    """gRPC's own retries are within the one call; what is left is its status."""

    class Nowhere:
        target = "localhost:1"

    async def script(client: Any) -> None:
        with pytest.raises(grpc.RpcError):
            await done(chat_of(client).sample())

    run(colour, Nowhere, script)
    attributes = telemetry_on.attributes()
    assert (attributes["error.type"], attributes["server.port"]) == ("UNAVAILABLE", 1)


@pytest.mark.parametrize("way", ["sample", "stream", "defer"])
def test_a_cancelled_task_is_no_error(way: str, service: Any, telemetry_on: Telemetry) -> None:
    """Cancelling the task that waits for an answer is the application's right."""
    service.polls = 10_000

    async def script(client: Any) -> None:
        task = asyncio.create_task(WAYS[way](chat_of(client)))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(xai_sdk.AsyncClient, service, script, trouble="" if way == "defer" else "stall")
    assert telemetry_on.span.status.status_code is StatusCode.UNSET
    assert "error.type" not in telemetry_on.attributes()


@both_colours
def test_polling_that_times_out_ends_the_span(colour: Any, service: Any, telemetry_on: Telemetry) -> None:
    """Where the SDK gives a deferred completion up, that is a timeout, and the span lasts until then."""
    service.polls = 10_000
    short = datetime.timedelta(milliseconds=100)

    async def script(client: Any) -> None:
        with pytest.raises(TimeoutError):
            await done(chat_of(client).defer(timeout=short, interval=short / 10))

    run(colour, service, script)
    assert telemetry_on.attributes()["error.type"] == "timeout"
    duration = telemetry_on.metrics()["gen_ai.client.operation.duration"][0].total
    assert duration is not None
    assert duration > 0.05  # the SDK's time began before our span's


@both_colours
@pytest.mark.parametrize("verdict", ["EXPIRED", "FAILED"])
def test_a_deferred_completion_that_comes_to_nothing_is_an_error(
    colour: Any, verdict: str, service: Any, telemetry_on: Telemetry
) -> None:
    """That xAI gave up a completion which it had accepted is an error that the answer itself tells of."""
    service.verdict = dict(deferred_pb2.DeferredStatus.items()).get(verdict, deferred_pb2.DeferredStatus.EXPIRED)

    async def script(client: Any) -> None:
        with pytest.raises((RuntimeError, ValueError)):
            await done(chat_of(client).defer(interval=datetime.timedelta(milliseconds=5)))

    run(colour, service, script)
    assert telemetry_on.attributes()["error.type"] == "error_event"


def test_deferred_completions_that_nobody_fetches_are_bounded(
    service: Any, telemetry_on: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of those that are started by hand and never polled, the oldest end as abandoned; so do all when we are off."""
    monkeypatch.setattr(grpc_deferred, "_MOST", 2)

    async def script(client: Any) -> None:
        chat = chat_of(client)
        for _ in range(3):
            client.chat._stub.StartDeferredCompletion(chat._make_request(1))
        assert len(telemetry_on.spans) == 1
        XAIInstrumentor().uninstrument()

    run(xai_sdk.Client, service, script)
    assert len(telemetry_on.spans) == 3
    assert {span.status.status_code for span in telemetry_on.spans} == {StatusCode.UNSET}


def test_the_first_token_is_the_first_that_is_not_empty(service: Any, telemetry_on: Telemetry) -> None:
    """The empty first chunk, the first reasoning and the first answer are three moments."""

    async def script(client: Any) -> None:
        await as_stream(chat_of(client))

    run(xai_sdk.Client, service, script, trouble="empty_at=50,reasoning_at=200,answer_at=400")
    attributes = telemetry_on.attributes()
    assert 0.04 < attributes["gen_ai.response.time_to_first_chunk"] < 0.19
    assert 0.19 < attributes["xai.response.time_to_first_token"] < 0.39
    assert 0.39 < attributes["xai.response.time_to_first_answer_token"] < 5


@pytest.mark.parametrize(("usage", "outcome"), [("every_chunk", "not_applicable"), ("none", "unreported")])
def test_the_last_usage_counts_and_none_is_none(
    usage: str, outcome: str, service: Any, telemetry_on: Telemetry
) -> None:
    """Usage in every chunk is not added up; without any, the answer came and the cached tokens are unreported."""
    seen: list[Any] = []

    async def script(client: Any) -> None:
        seen.append(await as_stream(chat_of(client)))

    run(xai_sdk.Client, service, script, trouble=f"usage={usage}")
    attributes = telemetry_on.attributes()
    assert attributes["xai.cache.outcome"] == outcome
    reported = {name: value for name, value in attributes.items() if name.startswith("gen_ai.usage.")}
    expected = usage_of(seen[0])
    expected.pop("xai.response.cost_usd", None)
    assert reported == (expected if usage == "every_chunk" else {})


# --- the conversation id -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "identity", "problems"),
    [
        ("for my eyes only", None, ("missing", "telemetry_only")),
        ("for my eyes only", "sent", ("telemetry_only",)),
        ("sent", "sent", None),
        (None, None, ("missing",)),
        (None, "sent", None),
    ],
)
def test_a_conversation_id_that_is_never_sent_is_a_problem(
    label: str | None, identity: str | None, problems: Any, service: Any, telemetry_on: Telemetry
) -> None:
    """``conversation_id=`` of a chat is the SDK's telemetry alone: said so on the span, and never taken for the id."""

    async def script(client: Any) -> None:
        messages = [user(QUESTION), assistant("The Nile."), user("Really?")]
        chat_of(client, messages=messages, conversation_id=label).sample()

    run(xai_sdk.Client, service, script, identity=identity)
    attributes = telemetry_on.attributes()
    assert attributes.get("xai.conversation.id.problems") == problems
    assert attributes.get("gen_ai.conversation.id") == identity
    assert "conversation_id" not in str(service.calls[-1].metadata)


def test_metadata_of_a_single_call_counts(service: Any, telemetry_on: Telemetry) -> None:
    """Whoever calls the stub himself may give each call an id of its own, and keeps his other metadata."""

    async def script(client: Any) -> None:
        stub, request = client.chat._stub, chat_of(client)._make_request(1)
        stub.GetCompletion(request, metadata=(("x-grok-conv-id", "of the call"), ("x-own", "kept")))
        stub.GetCompletion(request, 10, (("x-grok-conv-id", "by position"),))

    run(xai_sdk.Client, service, script)
    ids = [dict(span.attributes or {})["gen_ai.conversation.id"] for span in telemetry_on.spans]
    assert ids == ["of the call", "by position"]
    assert service.calls[-2].metadata["x-own"] == "kept"


@both_colours
@both_channels
def test_clients_that_were_made_before_are_observed(colour: Any, secure: bool, channels: Any, instrument: Any) -> None:
    """Their address is known; where their metadata is not to be seen, no id is missed."""
    service, told = channels[secure], []

    async def script(client: Any) -> None:
        telemetry = instrument(hosts=LOCAL)
        await done(chat_of(client, messages=[user("a"), assistant("b"), user("c")]).sample())
        told.append(telemetry)

    run(colour, service, script, identity="early", use_insecure_channel=not secure)
    attributes = told[0].attributes()
    assert attributes["server.port"] == int(service.target.rpartition(":")[2])
    assert attributes.get("gen_ai.conversation.id") == (None if secure else "early")
    assert "xai.conversation.id.problems" not in attributes


def test_credentials_are_told_apart_and_never_told(service: Any, instrument: Any) -> None:
    """The ledger knows that another key was used; no attribute holds a key, or anything that was said."""
    telemetry = instrument(hosts=LOCAL)

    async def script(client: Any) -> None:
        chat = chat_of(client, messages=[system(SYSTEM * 8), user(QUESTION)])
        chat.append(chat.sample()).append(user("And?"))
        service.app.evict()
        other = xai_sdk.Client(
            api_key="another-key",
            api_host=service.target,
            metadata=(("x-grok-conv-id", identity),),
            use_insecure_channel=True,
        )
        chat._stub = other.chat._stub
        chat.sample()
        other.close()

    identity = str(uuid.uuid4())
    run(xai_sdk.Client, service, script, identity=identity)
    assert second(telemetry)["xai.cache.reason"] == "credentials_changed"
    shown = str([dict(span.attributes or {}) for span in telemetry.spans]) + str(telemetry.metrics())
    for secret in (KEY, "another-key", QUESTION, SYSTEM[:20]):
        assert secret not in shown


@pytest.mark.parametrize(
    ("target", "address"),
    [
        ("api.x.ai", ("api.x.ai", 443)),
        ("API.x.ai:8443", ("api.x.ai", 8443)),
        ("localhost:50051", ("localhost", 50051)),
        ("[::1]:50051", ("::1", 50051)),
        ("[::1]", ("::1", 443)),
        ("::1", ("::1", 443)),
        ("dns:///gateway.internal:8443", ("gateway.internal", 8443)),
        ("dns://8.8.8.8/gateway.internal", ("gateway.internal", 443)),
        ("ipv4:127.0.0.1:50051,127.0.0.2:50051", ("127.0.0.1", 50051)),
        ("ipv6:[::1]:50051", ("::1", 50051)),
        ("", ("", 443)),
    ],
)
def test_the_address_is_the_one_of_the_channel(target: str, address: tuple[str, int]) -> None:
    """Host and port of a target in gRPC's ways of writing it."""
    assert address_of(target) == address


# --- never in the way -------------------------------------------------------------------------------------------


def test_hosts_that_are_not_watched_are_left_alone(service: Any, instrument: Any) -> None:
    """A stub of another host gives what gRPC gives, and no metadata is added."""
    telemetry = instrument(hosts="elsewhere")

    async def script(client: Any) -> None:
        assert chat_of(client).sample().content

    run(xai_sdk.Client, service, script)
    assert not telemetry.spans
    assert "traceparent" not in service.calls[-1].metadata


def test_suppressed_instrumentation_is_silent(service: Any, telemetry_on: Telemetry) -> None:
    """Within ``suppress_instrumentation`` nothing is recorded."""

    async def script(client: Any) -> None:
        with suppress_instrumentation():
            chat_of(client).sample()

    run(xai_sdk.Client, service, script)
    assert not telemetry_on.spans


def test_reading_what_is_stored_is_no_exchange(service: Any, telemetry_on: Telemetry) -> None:
    """Stored completions are passed untouched."""

    async def script(client: Any) -> None:
        client.chat.get_stored_completion("some-id")

    run(xai_sdk.Client, service, script)
    assert not telemetry_on.spans


def test_the_trace_goes_on_to_the_server(service: Any, telemetry_on: Telemetry) -> None:
    """The call carries the trace context of its span."""

    async def script(client: Any) -> None:
        chat_of(client).sample()

    run(xai_sdk.Client, service, script)
    context = telemetry_on.span.get_span_context()
    assert context is not None
    assert service.calls[-1].metadata["traceparent"].split("-")[1:3] == [
        f"{context.trace_id:032x}",
        f"{context.span_id:016x}",
    ]


def test_what_a_synchronous_method_gives_is_what_grpc_gives(service: Any, telemetry_on: Telemetry) -> None:
    """Messages, call objects and futures are instances of what they are, and have all that they have."""

    async def script(client: Any) -> None:
        stub, request = client.chat._stub, chat_of(client)._make_request(1)
        assert isinstance(stub.GetCompletion, grpc.UnaryUnaryMultiCallable)
        assert isinstance(stub.GetCompletionChunk, grpc.UnaryStreamMultiCallable)
        assert type(stub.GetCompletion(request)) is chat_pb2.GetChatCompletionResponse
        response, call = stub.GetCompletion.with_call(request)
        assert type(response) is chat_pb2.GetChatCompletionResponse
        assert call.code() is grpc.StatusCode.OK
        future = stub.GetCompletion.future(request)
        assert isinstance(future, grpc.Future)
        assert future.result(10).id
        stream = stub.GetCompletionChunk(request, timeout=10)
        assert isinstance(stream, grpc.Call)
        assert iter(stream) is stream
        assert type(next(stream)) is chat_pb2.GetChatCompletionChunk
        assert type(stream.next()) is chat_pb2.GetChatCompletionChunk
        assert stream.initial_metadata() is not None
        assert stream.is_active()
        assert len(list(stream)) > 2
        assert stream.code() is grpc.StatusCode.OK

    run(xai_sdk.Client, service, script)
    _until(lambda: len(telemetry_on.spans) == 4)  # a future is kept in a thread of gRPC's
    for span in telemetry_on.spans:
        assert dict(span.attributes or {})["gen_ai.response.finish_reasons"] == ("stop",)


def test_what_an_asynchronous_method_gives_is_what_grpc_gives(service: Any, telemetry_on: Telemetry) -> None:
    """Calls can be awaited twice, gathered, read, iterated over in two loops, and asked for their code."""

    async def script(client: Any) -> None:
        stub, request = client.chat._stub, chat_of(client)._make_request(1)
        call = stub.GetCompletion(request)
        assert isinstance(call, grpc.aio.UnaryUnaryCall)
        assert (await call).id == (await call).id
        assert await call.code() is grpc.StatusCode.OK
        one, other = await asyncio.gather(stub.GetCompletion(request), stub.GetCompletion(request))
        assert one.id != other.id
        assert (await asyncio.wait_for(stub.GetCompletion(request), 10)).id
        stream = stub.GetCompletionChunk(request, metadata=grpc.aio.Metadata(("x-own", "kept")))
        assert isinstance(stream, grpc.aio.UnaryStreamCall)
        count = 0
        while (await stream.read()) is not grpc.aio.EOF:
            count += 1
        assert await stream.code() is grpc.StatusCode.OK
        stream = stub.GetCompletionChunk(request)
        async for chunk in stream:
            assert type(chunk) is chat_pb2.GetChatCompletionChunk
            break
        assert len([chunk async for chunk in stream]) == count - 1

    run(xai_sdk.AsyncClient, service, script)
    assert len(telemetry_on.spans) == 6
    for span in telemetry_on.spans:
        assert dict(span.attributes or {})["gen_ai.response.finish_reasons"] == ("stop",)
    assert any(call.metadata.get("x-own") == "kept" and "traceparent" in call.metadata for call in service.calls)


@pytest.mark.parametrize("way", ["stream", "future"])
def test_a_call_that_is_cancelled_is_abandoned(way: str, service: Any, telemetry_on: Telemetry) -> None:
    """``cancel()`` of a stream or of a future is the application's right."""

    async def script(client: Any) -> None:
        stub, request = client.chat._stub, chat_of(client)._make_request(1)
        if way == "stream":
            stream = stub.GetCompletionChunk(request)
            next(stream)
            stream.cancel()
            with pytest.raises(grpc.RpcError):
                list(stream)
        else:
            future = stub.GetCompletion.future(request)
            await asyncio.sleep(0.1)
            future.cancel()

    run(xai_sdk.Client, service, script, trouble="events=400" if way == "stream" else "stall")
    _until(lambda: telemetry_on.spans)
    assert telemetry_on.span.status.status_code is StatusCode.UNSET


def test_switched_off_nothing_of_ours_is_left(service: Any, instrument: Any) -> None:
    """The class is as it was, stubs have kept what they had, and what somebody still holds is inert."""
    before = dict(vars(chat_pb2_grpc.ChatStub))

    def wrapped() -> list[Any]:
        chats = [getattr(chat.Chat, name) for chat in (sync_chat, aio_chat) for name in WAYS]
        return [xai_sdk.client.BaseClient.__init__, *chats]

    originals = wrapped()
    telemetry = instrument(hosts=LOCAL)

    async def script(client: Any) -> None:
        stub, request = client.chat._stub, chat_of(client)._make_request(1)
        held = stub.GetCompletion
        own = vars(stub)["GetCompletion"]
        XAIInstrumentor().uninstrument()
        assert dict(vars(chat_pb2_grpc.ChatStub)) == before
        assert stub.GetCompletion is own
        assert held(request).id
        assert chat_of(client).sample().id

    run(xai_sdk.Client, service, script)
    assert wrapped() == originals
    assert not telemetry.spans


def test_a_fault_of_ours_costs_nothing_but_telemetry(
    service: Any, telemetry_on: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever breaks within, the application gets its answer."""
    monkeypatch.setattr(guard, "raise_faults", False)

    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError

    async def script(client: Any) -> None:
        for place in ("with_metadata", "_handed_on"):
            with monkeypatch.context() as patch:
                if place == "_handed_on":
                    patch.setattr(grpc_calls, "Stream", broken)
                else:
                    patch.setattr("opentelemetry.instrumentation.xai.clients.xai_sdk.with_metadata", broken)
                assert (await as_stream(chat_of(client))).content
        with monkeypatch.context() as patch:
            patch.setattr("opentelemetry.instrumentation.xai.observer.facts_of", broken)
            assert chat_of(client).sample().content
        with monkeypatch.context() as patch:
            patch.setattr("opentelemetry.instrumentation.xai.wire.grpc_chat.settle_usage", broken)
            patch.setattr("opentelemetry.instrumentation.xai.message_exchange.settle_usage", broken)
            assert chat_of(client).sample().content

    run(xai_sdk.Client, service, script)


@both_colours
def test_many_calls_at_once_are_kept_apart(colour: Any, service: Any, telemetry_on: Telemetry) -> None:
    """Thirty-two calls at once are as many spans, each with its own id."""
    ids: list[str] = []

    async def script(client: Any) -> None:
        async def one(number: int) -> None:
            chat = chat_of(client, messages=[user(f"Question {number}")])
            ids.append((await (as_stream(chat) if number % 2 else done(chat.sample()))).id)

        if colour is xai_sdk.AsyncClient:
            await asyncio.gather(*[one(number) for number in range(32)])
        else:
            with ThreadPoolExecutor(16) as pool:
                list(pool.map(lambda number: asyncio.run(one(number)), range(32)))

    run(colour, service, script)
    assert sorted(dict(span.attributes or {})["gen_ai.response.id"] for span in telemetry_on.spans) == sorted(ids)


def test_nothing_is_kept_of_clients_that_are_gone(service: Any, telemetry_on: Telemetry) -> None:
    """Stubs and what is known of them go with their clients."""
    import weakref

    client = made(xai_sdk.Client, service, identity="short-lived")
    chat = chat_of(client, conversation_id="label")
    chat.sample()
    gone = [weakref.ref(client.chat._stub), weakref.ref(chat._stub)]
    client.close()
    del client, chat
    gc.collect()
    assert [reference() for reference in gone] == [None, None]


# --- beside others ----------------------------------------------------------------------------------------------


@both_colours
@pytest.mark.parametrize("ours_first", [True, False])
def test_the_span_of_the_grpc_instrumentation_is_a_child_of_ours(
    colour: Any,
    ours_first: bool,
    service: Any,
    telemetry: Telemetry,
    instrument: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In either order, OpenTelemetry's own instrumentation of gRPC records a child, and the calls are what they were."""
    theirs = pytest.importorskip("opentelemetry.instrumentation.grpc")
    from opentelemetry.instrumentation.grpc import GrpcAioInstrumentorClient, GrpcInstrumentorClient

    interceptor = theirs.client_interceptor  # the synchronous one knows the global provider alone
    provider = telemetry.tracer_provider
    monkeypatch.setattr(
        theirs, "client_interceptor", lambda **more: interceptor(**more | {"tracer_provider": provider})
    )

    other = GrpcInstrumentorClient() if colour is xai_sdk.Client else GrpcAioInstrumentorClient()
    if ours_first:
        instrument(hosts=LOCAL)
    other.instrument(tracer_provider=telemetry.tracer_provider)
    try:
        if not ours_first:
            instrument(hosts=LOCAL)

        async def script(client: Any) -> None:
            assert (await done(chat_of(client).sample())).content
            assert (await as_stream(chat_of(client))).content

        run(colour, service, script)
    finally:
        other.uninstrument()
    ours = {span.context.span_id: span for span in telemetry.spans if span.context}
    children = [span for span in telemetry.exporter.get_finished_spans() if span not in telemetry.spans]
    assert len(ours) == len(children) == 2
    assert {span.parent.span_id for span in children if span.parent} == set(ours)


@both_colours
@pytest.mark.parametrize("way", WAYS)
def test_the_span_of_the_sdk_is_current_when_ours_begins(
    colour: Any, way: str, service: Any, telemetry: Telemetry, instrument: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With ``spans=always`` ours is a child of the SDK's own span of the same call."""
    for module in (sync_chat, aio_chat):
        monkeypatch.setattr(module, "tracer", telemetry.tracer_provider.get_tracer(module.__name__))
    instrument(hosts=LOCAL, spans="always")

    async def script(client: Any) -> None:
        await WAYS[way](chat_of(client))

    run(colour, service, script)
    (theirs,) = [span for span in telemetry.exporter.get_finished_spans() if span not in telemetry.spans]
    assert theirs.name == f"chat.{way} grok-4.7"
    assert telemetry.span.parent == theirs.context


@both_colours
@pytest.mark.parametrize("way", WAYS)
def test_the_span_of_the_sdk_is_enriched_and_not_doubled(
    colour: Any, way: str, service: Any, telemetry: Telemetry, instrument: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With ``spans=auto`` the one span of a call is the SDK's, and has what it lacks; metrics are all there."""
    for module in (sync_chat, aio_chat):
        monkeypatch.setattr(module, "tracer", telemetry.tracer_provider.get_tracer(module.__name__))
    instrument(hosts=LOCAL)
    model = f"grok-4.7-{uuid.uuid4()}"

    async def script(client: Any) -> None:
        await WAYS[way](chat_of(client, model=model))
        await WAYS[way](chat_of(client, model=model))

    run(colour, service, script, identity="conversation")
    assert not telemetry.spans
    first, last = (dict(span.attributes or {}) for span in telemetry.exporter.get_finished_spans())
    assert first["gen_ai.usage.cache_read.input_tokens"] == 0
    assert last["gen_ai.usage.cache_read.input_tokens"] > 300
    assert (last["gen_ai.conversation.id"], last["xai.conversation.id.source"]) == ("conversation", "metadata")
    assert first["xai.cache.reason"] == "first_request"
    knows_cost = "cost_in_usd_ticks" in usage_pb2.SamplingUsage.DESCRIPTOR.fields_by_name  # not in every version
    assert ("xai.response.cost_usd" in last) == knows_cost
    assert ("xai.response.time_to_first_token" in last) == ("stream" in way)
    (duration,) = telemetry.metrics()["gen_ai.client.operation.duration"]
    assert duration.count == 2


@both_colours
@pytest.mark.parametrize(("way", "trouble", "error_type"), [each[:3] for each in FAILURES[:2] + FAILURES[6:]])
def test_a_failure_is_named_on_the_span_of_the_sdk(
    colour: Any,
    way: str,
    trouble: str,
    error_type: str,
    service: Any,
    telemetry: Telemetry,
    instrument: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No SDK tries again above a call over gRPC: its failure is that of the SDK's span too."""
    for module in (sync_chat, aio_chat):
        monkeypatch.setattr(module, "tracer", telemetry.tracer_provider.get_tracer(module.__name__))
    instrument(hosts=LOCAL)

    async def script(client: Any) -> None:
        with pytest.raises(grpc.RpcError):
            await WAYS[way](chat_of(client))

    run(colour, service, script, trouble=trouble, timeout=0.4 if "stall" in trouble else 20)
    (span,) = telemetry.exporter.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert dict(span.attributes or {})["error.type"] == error_type


@both_colours
def test_a_stream_that_is_broken_off_enriches_the_span_of_the_sdk(
    colour: Any, service: Any, telemetry: Telemetry, instrument: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left early, a stream is one span all the same: the SDK's, with the moments that were seen."""
    for module in (sync_chat, aio_chat):
        monkeypatch.setattr(module, "tracer", telemetry.tracer_provider.get_tracer(module.__name__))
    instrument(hosts=LOCAL)

    async def script(client: Any) -> None:
        stream = chat_of(client).stream()
        await (anext(stream) if inspect.isasyncgen(stream) else done(next(stream)))
        await done(stream.aclose() if inspect.isasyncgen(stream) else stream.close())

    run(colour, service, script, trouble="events=400")
    (span,) = telemetry.exporter.get_finished_spans()
    attributes = dict(span.attributes or {})
    assert span.name == "chat.stream grok-4.7"
    assert attributes["gen_ai.response.finish_reasons"] == ("error",)
    assert attributes["gen_ai.response.time_to_first_chunk"] > 0


@both_colours
@pytest.mark.parametrize("batch", [False, True], ids=["stream", "stream_batch"])
@pytest.mark.parametrize("way", ["left", "closed", "thrown"])
def test_a_stream_that_is_broken_off_is_told_before_the_span_of_the_sdk_ends(
    colour: Any,
    batch: bool,
    way: str,
    service: Any,
    telemetry: Telemetry,
    instrument: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So that whoever adds to the SDK's span finds it open; generators stay generators, and throw as they did."""
    monkeypatch.setattr(logging.getLogger("opentelemetry.context"), "disabled", True)
    for module in (sync_chat, aio_chat):
        monkeypatch.setattr(module, "tracer", telemetry.tracer_provider.get_tracer(module.__name__))
    instrument(hosts=LOCAL, spans="always")

    async def script(client: Any) -> None:
        stream = chat_of(client).stream_batch(1) if batch else chat_of(client).stream()
        is_async = inspect.isasyncgen(stream)
        assert is_async or inspect.isgenerator(stream)
        await (anext(stream) if is_async else done(next(stream)))
        if way == "closed":
            await done(stream.aclose() if is_async else stream.close())
        elif way == "thrown":
            with pytest.raises(ZeroDivisionError):
                await done((stream.athrow if is_async else stream.throw)(ZeroDivisionError()))
        del stream
        await asyncio.sleep(0.05)

    run(colour, service, script, trouble="events=400")
    gc.collect()
    (theirs,) = [span for span in telemetry.exporter.get_finished_spans() if span not in telemetry.spans]
    ours = telemetry.span
    assert (theirs.status.status_code is StatusCode.ERROR) == (way == "thrown")
    assert ours.status.status_code is StatusCode.UNSET
    assert ours.end_time is not None
    assert theirs.end_time is not None
    assert way == "thrown" or ours.end_time <= theirs.end_time


def _until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 5
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert condition()


def test_images_and_files_are_part_of_the_prompt(service: Any, telemetry_on: Telemetry) -> None:
    """Another image in an earlier turn is an edited history; the same one is not."""

    async def script(client: Any) -> None:
        def messages(url: str, *more: Any) -> list[Any]:
            return [user(image(url), SYSTEM * 8), *more]

        chat = chat_of(client, messages=messages("https://a.example/one.png"))
        response = chat.sample()
        for url in ("https://a.example/one.png", "https://a.example/two.png"):
            service.app.evict()
            again = chat_of(client, messages=messages(url))
            again.append(response).append(user("Really?"))
            again.sample()

    run(xai_sdk.Client, service, script, identity=str(uuid.uuid4()))
    _, same, other = (dict(span.attributes or {}) for span in telemetry_on.spans)
    assert same["xai.cache.reason"] == "provider_miss"
    assert other["xai.cache.reason"] == "history_edited"


@both_colours
def test_reasoning_that_is_sent_back_encrypted_is_not_dropped(
    colour: Any, service: Any, telemetry_on: Telemetry
) -> None:
    """Encrypted reasoning is reasoning: sent back with the answer, nothing was dropped, and without it something was."""

    async def script(client: Any) -> None:
        def chat() -> Any:
            return chat_of(client, messages=[system(SYSTEM * 8), user(QUESTION)], use_encrypted_content=True)

        response = await as_stream(chat())
        for kept in (True, False):
            service.app.evict()
            again = chat().append(response).append(user("And?"))
            again.messages[-2].ClearField("reasoning_content")
            if not kept:
                again.messages[-2].ClearField("encrypted_content")
            await done(again.sample())

    run(colour, service, script, identity=str(uuid.uuid4()))
    reasons = [dict(span.attributes or {})["xai.cache.reason"] for span in telemetry_on.spans]
    assert reasons == ["first_request", "provider_miss", "reasoning_dropped"]


def test_a_thread_that_ends_before_its_stream_leaves_no_context(service: Any, telemetry_on: Telemetry) -> None:
    """A stream begun in one thread and read in another is one span, and neither thread keeps it as current."""
    from opentelemetry import trace

    client = made(xai_sdk.Client, service)
    stream = client.chat._stub.GetCompletionChunk(chat_of(client)._make_request(1))
    assert not trace.get_current_span().get_span_context().is_valid
    thread = threading.Thread(target=lambda: list(stream))
    thread.start()
    thread.join()
    client.close()
    assert telemetry_on.attributes()["gen_ai.response.finish_reasons"] == ("stop",)

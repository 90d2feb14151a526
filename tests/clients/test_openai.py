"""What the openai SDK offers beyond a plain call keeps working, and is observed as what it is on the wire."""

import asyncio
from typing import Any

import pytest

from clients.loops import complaints
from conftest import Telemetry

openai = pytest.importorskip("openai")

CHAT = {"model": "grok-4.7", "messages": [{"role": "user", "content": "Name a river."}]}
RESPONSE = {"model": "grok-4.7", "input": "Name a river."}
CONVERSATION = {"x-grok-conv-id": "conversation-1"}


@pytest.fixture
def client(server: Any) -> Any:
    """An SDK client for the local server."""
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="k", max_retries=2) as client:
        yield client


def finish_reasons(telemetry: Telemetry) -> Any:
    """The finish reasons of the one span."""
    return telemetry.attributes()["gen_ai.response.finish_reasons"]


def test_with_raw_response_gives_headers_and_the_parsed_answer(client: Any, observed: Telemetry) -> None:
    """``with_raw_response``: the SDK's own type, with headers, and parsable."""
    raw = client.chat.completions.with_raw_response.create(**CHAT)
    assert type(raw).__module__.startswith("openai.")
    assert raw.headers["x-request-id"] == observed.attributes()["xai.request.id"]
    assert raw.parse().usage.prompt_tokens == observed.attributes()["gen_ai.usage.input_tokens"]
    assert raw.elapsed.total_seconds() > 0


@pytest.mark.parametrize("read", ["iter_lines", "iter_bytes", "iter_text", "read"])
def test_with_streaming_response_reads_the_body_in_any_way(read: str, client: Any, observed: Telemetry) -> None:
    """``with_streaming_response``: each way of reading sees the whole body and completes the span."""
    with client.chat.completions.with_streaming_response.create(**CHAT, stream=True) as response:
        pieces = getattr(response, read)()
        body = pieces if read == "read" else type(pieces := list(pieces))()
        if read != "read":
            body = (b"" if isinstance(pieces[0], bytes) else "").join(pieces)
    assert (b"[DONE]" if isinstance(body, bytes) else "[DONE]") in body
    assert finish_reasons(observed) == ("stop",)


def test_with_streaming_response_that_is_not_read_is_closed_early(client: Any, observed: Telemetry) -> None:
    """Leaving the block without reading is breaking off."""
    with client.chat.completions.with_streaming_response.create(**CHAT, stream=True) as response:
        assert response.status_code == 200
    assert finish_reasons(observed) == ("error",)
    assert "error.type" not in observed.attributes()


def test_the_stream_helpers_work(client: Any, observed: Telemetry) -> None:
    """``chat.completions.stream()`` and ``responses.stream()`` accumulate as ever."""
    with client.chat.completions.stream(**CHAT) as stream:
        assert stream.get_final_completion().choices[0].finish_reason == "stop"
    with client.responses.stream(**RESPONSE) as stream:
        assert stream.get_final_response().status == "completed"
    assert [dict(span.attributes or {})["gen_ai.response.finish_reasons"] for span in observed.spans] == [
        ("stop",),
        ("completed",),
    ]


def test_each_retry_of_the_sdk_is_a_span_with_its_ordinal(client: Any, observed: Telemetry) -> None:
    """Two refusals and an answer: three spans, of which the later two say that they are repetitions."""
    client.with_options(default_headers={"x-trouble": "status=503, recovers=2, retry_after=0"}).chat.completions.create(
        **CHAT
    )
    assert [
        (
            attributes.get("http.request.resend_count"),
            attributes.get("error.type"),
            attributes["http.response.status_code"],
        )
        for attributes in (dict(span.attributes or {}) for span in observed.spans)
    ] == [(None, "503", 503), (1, "503", 503), (2, None, 200)]


def test_the_conversation_id_is_found_in_header_body_and_response(client: Any, observed: Telemetry) -> None:
    """Responses: the body's ``prompt_cache_key`` first; chat: the header first; a chained response: the answer's."""
    client.responses.create(**RESPONSE, prompt_cache_key="in-body", extra_headers={"x-grok-conv-id": "in-header"})
    client.chat.completions.create(**CHAT, prompt_cache_key="in-body", extra_headers={"x-grok-conv-id": "in-header"})
    client.chat.completions.create(**CHAT, extra_body={"prompt_cache_key": "in-body"})
    client.chat.completions.create(**CHAT, extra_headers={"x-grok-conv-id": ""})
    found = [
        (
            attributes.get("gen_ai.conversation.id"),
            attributes.get("xai.conversation.id.source"),
            attributes.get("xai.conversation.id.problems"),
        )
        for attributes in (dict(span.attributes or {}) for span in observed.spans)
    ]
    assert found == [
        ("in-body", "body", ("conflicting",)),
        ("in-header", "header", ("wrong_carrier", "conflicting")),
        ("in-body", "body", ("wrong_carrier",)),
        (None, None, None),
    ]


def test_a_prompt_with_earlier_turns_and_no_id_has_a_problem(client: Any, observed: Telemetry) -> None:
    """Earlier turns in the messages, or on the server, and nothing that routes them: ``missing``."""
    turns = [
        *CHAT["messages"],
        {"role": "assistant", "content": "The Nile."},
        {"role": "user", "content": "And another?"},
    ]
    client.chat.completions.create(model="grok-4.7", messages=turns)
    first = client.responses.create(**RESPONSE, prompt_cache_key="one")
    client.responses.create(**RESPONSE, previous_response_id=first.id)
    problems = [dict(span.attributes or {}).get("xai.conversation.id.problems") for span in observed.spans]
    assert problems == [("missing",), None, ("missing",)]


def test_a_task_that_walks_away_from_a_stream_leaves_no_trace_in_the_context(
    server: Any, observed: Telemetry, caplog: Any
) -> None:
    """An async generator that is left half-way and finalised by the event loop: one span, no warning."""

    async def main() -> None:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="k") as client:
            stream = await client.chat.completions.create(**CHAT, stream=True, extra_headers=CONVERSATION)
            async for _ in stream:
                break
            await stream.close()

    asyncio.run(main())
    assert finish_reasons(observed) == ("error",)
    assert "detach" not in caplog.text


def test_a_loop_that_ends_has_no_more_to_complain_of_than_without_us(
    server: Any, instrument: Any, monkeypatch: Any
) -> None:
    """Generators of the SDK and its client get in each other's way when a loop closes them; ours is not among them."""

    async def main() -> None:
        client = openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="k")
        stream = await client.chat.completions.create(**CHAT, stream=True, extra_headers={"x-trouble": "events=400"})
        async for _ in stream:
            break

    without = complaints(main)
    if complaints(main) != without:
        pytest.skip("this version of the client is by itself not the same twice")
    telemetry: Telemetry = instrument()
    assert complaints(main) == without
    assert len(telemetry.spans) == 10


def test_tool_calls_count_as_answer_tokens(client: Any, observed: Telemetry) -> None:
    """A stream whose answer is a tool call has a first answer token."""
    tools = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}]
    messages = [{"role": "user", "content": "Please use a tool for this."}]
    for _ in client.chat.completions.create(model="grok-4.7", messages=messages, tools=tools, stream=True):
        pass
    assert finish_reasons(observed) == ("tool_calls",)
    assert observed.attributes()["xai.response.time_to_first_answer_token"] > 0


def test_request_settings_are_on_the_span(client: Any, observed: Telemetry) -> None:
    """The settings that the conventions name, with the values that were sent; no content."""
    client.chat.completions.create(
        **CHAT,
        n=2,
        seed=7,
        reasoning_effort="low",
        response_format={"type": "json_object"},
        user="somebody",
    )
    attributes = observed.attributes()
    assert attributes["gen_ai.request.choice.count"] == 2
    assert attributes["gen_ai.request.seed"] == 7
    assert attributes["gen_ai.request.reasoning.level"] == "low"
    assert attributes["gen_ai.output.type"] == "json"
    assert attributes["gen_ai.response.finish_reasons"] == ("stop", "stop")
    assert "somebody" not in str(attributes)

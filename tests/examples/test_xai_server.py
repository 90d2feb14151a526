"""The example server keeps its promises: xAI's shapes, its cache, and its troubles.

All of it over real sockets, with httpx and the SDKs that people use.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
httpx = pytest.importorskip("httpx")

import xai_server  # noqa: E402
from xai_server import RunningServer, ServerSettings, TroubleError, cost_in_usd_ticks, parse_trouble, running  # noqa: E402
from xai_server.__main__ import main  # noqa: E402
from xai_server.prefix_cache import PrefixCache, chain  # noqa: E402
from xai_server.tokens import tokenize  # noqa: E402
from xai_server.trouble import SWITCHES  # noqa: E402

# Loading the certificates that nobody needs here takes most of the time of a request.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
KEY = {"authorization": "Bearer test-key"}
CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
STREAMS = (CHAT, RESPONSES, MESSAGES)
LONG = "The quick brown fox jumps over the lazy dog. " * 200
TOOL = {"name": "find", "parameters": {"type": "object", "properties": {"query": {"type": "string"}}}}


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """One server for all tests that do not mind each other."""
    with running() as server:
        yield server


@pytest.fixture
def fresh(request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    """Start a server with empty caches, and with the settings that a test asks for."""
    with running(getattr(request, "param", None)) as server:
        yield server


def body_for(path: str, text: str = "Say something.", **more: Any) -> dict[str, Any]:
    """Make a small request for any of the three generation endpoints."""
    body: dict[str, Any] = {"model": "grok-4.7", **more}
    if path == RESPONSES:
        body["input"] = text
    else:
        body["messages"] = [{"role": "user", "content": text}]
    return body


def post(server: RunningServer, path: str, body: Any, trouble: str = "", **headers: str) -> Any:
    """Post a body, with a key and maybe with troubles."""
    sent = {**KEY, **headers, **({"x-trouble": trouble} if trouble else {})}
    return httpx.post(server.url + path, json=body, headers=sent, verify=NO_TLS)


def events_of(text: str) -> list[Any]:
    """Read the data of plainly framed events."""
    found = [line[len("data: ") :] for line in text.splitlines() if line.startswith("data: ")]
    return [data if data == "[DONE]" else json.loads(data) for data in found]


def stream(server: RunningServer, path: str, trouble: str = "", **more: Any) -> list[Any]:
    """Read a whole stream as events."""
    response = post(server, path, body_for(path, stream=True, **more), trouble)
    assert response.status_code == 200, response.text
    return events_of(response.text)


def broken_stream(server: RunningServer, path: str, trouble: str) -> bytes:
    """Read what a stream sends before its connection is cut."""
    seen = b""
    sent = {**KEY, "x-trouble": trouble}
    with httpx.stream("POST", server.url + path, json=body_for(path, stream=True), headers=sent) as response:
        try:
            for portion in response.iter_raw():
                seen += portion
        except httpx.RemoteProtocolError:
            return seen
    pytest.fail("the stream came to a proper end")


def text_of(path: str, events: list[Any]) -> str:
    """Join the answer deltas of a stream."""
    if path == CHAT:
        return "".join(c["delta"].get("content") or "" for e in events if e != "[DONE]" for c in e["choices"])
    kind = "response.output_text.delta" if path == RESPONSES else "content_block_delta"
    deltas = [e["delta"] for e in events if e != "[DONE]" and e["type"] == kind]
    return "".join(delta if isinstance(delta, str) else delta.get("text", "") for delta in deltas)


def cached_of(response: Any) -> int:
    """Read the cached tokens of an answer in any of the three shapes."""
    usage = response.json()["usage"]
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
    return int(details["cached_tokens"] if details else usage["cache_read_input_tokens"])


class TestPrices:
    """The cost that xAI reports."""

    @pytest.mark.parametrize(
        ("model", "input", "cached", "output", "tools", "ticks"),
        [
            ("grok-3-mini", 12, 11, 291, {}, 1_466_250),
            ("grok-4.6", 5467, 1152, 593, {"web_search": 1}, 177_640_000),
            ("grok-4.3", 35493, 896, 1135, {}, 462_629_500),
            ("grok-4.3", 20872, 9920, 4872, {"x_search": 7}, 628_540_000),
        ],
    )
    def test_reported_costs(
        self, model: str, input: int, cached: int, output: int, tools: dict[str, int], ticks: int
    ) -> None:
        """Costs that were seen in real answers come out to the tick."""
        assert cost_in_usd_ticks(model, input, cached, output, tool_calls=tools) == ticks

    def test_long_context(self) -> None:
        """From 200,000 prompt tokens on the high rate holds for all tokens, but not for tools."""
        below = cost_in_usd_ticks("grok-4.7", 199_999, 0, 10)
        at = cost_in_usd_ticks("grok-4.7", 200_000, 0, 10, tool_calls={"web_search": 1})
        assert below == 199_999 * 20_000 + 10 * 60_000
        assert at == 2 * (200_000 * 20_000 + 10 * 60_000) + 50_000_000

    def test_unknown_model(self) -> None:
        """A model without a price costs as much as grok-4.7."""
        assert cost_in_usd_ticks("grok-9", 10, 5, 1) == cost_in_usd_ticks("grok-4.7", 10, 5, 1)


class TestEntrance:
    """Who is let in, and what the rest are told."""

    def test_no_key(self, server: RunningServer) -> None:
        """A request without a key is a 401 with a flat error."""
        response = httpx.post(server.url + CHAT, json=body_for(CHAT))
        assert response.status_code == 401
        assert set(response.json()) == {"code", "error"}

    def test_wrong_key(self, server: RunningServer) -> None:
        """A wrong key is a 400 and not a 401, as at xAI."""
        response = post(server, CHAT, body_for(CHAT), authorization="Bearer bad-key")
        assert response.status_code == 400
        assert "Incorrect API key" in response.json()["error"]

    def test_x_api_key(self, server: RunningServer) -> None:
        """Messages takes Anthropic's header for the key, chat does not."""
        key = {"x-api-key": "k"}
        assert httpx.post(server.url + MESSAGES, json=body_for(MESSAGES), headers=key).status_code == 200
        assert httpx.post(server.url + CHAT, json=body_for(CHAT), headers=key).status_code == 401

    @pytest.mark.parametrize("path", STREAMS)
    def test_missing_field(self, server: RunningServer, path: str) -> None:
        """A body without a field that is needed is a 422 which names it."""
        body = body_for(path)
        for missing in body:
            response = post(server, path, {name: value for name, value in body.items() if name != missing})
            assert response.status_code == 422
            assert f"`{missing}`" in response.json()["error"]

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"x"', b'{"model":1,"messages":[]}'])
    def test_unreadable_body(self, server: RunningServer, content: bytes) -> None:
        """A body that is no fitting JSON object is a 422."""
        assert httpx.post(server.url + CHAT, content=content, headers=KEY).status_code == 422

    def test_mistyped_messages(self, server: RunningServer) -> None:
        """Messages that are no list of objects are a 422."""
        assert post(server, CHAT, {"model": "grok-4.7", "messages": ["hello"]}).status_code == 422

    def test_stream_and_deferred(self, server: RunningServer) -> None:
        """A deferred completion cannot be streamed."""
        assert post(server, CHAT, body_for(CHAT, stream=True, deferred=True)).status_code == 400

    def test_unknown_model(self, server: RunningServer) -> None:
        """A model whose name says so does not exist."""
        assert post(server, CHAT, body_for(CHAT) | {"model": "no-such-model"}).status_code == 404

    def test_unsupported_parameter(self, server: RunningServer) -> None:
        """Reasoning models refuse what the others accept."""
        body = body_for(CHAT, presence_penalty=0.5)
        response = post(server, CHAT, body)
        assert response.status_code == 400
        assert response.json()["error"] == "Model grok-4.7 does not support parameter presencePenalty."
        assert post(server, CHAT, body | {"model": "grok-4.20-0309-non-reasoning"}).status_code == 200

    def test_elsewhere(self, server: RunningServer) -> None:
        """Unknown paths are 404, wrong methods 405, both with a flat error."""
        missing = httpx.get(server.url + "/v1/nothing", headers=KEY)
        wrong = httpx.get(server.url + CHAT, headers=KEY)
        assert (missing.status_code, wrong.status_code) == (404, 405)
        assert set(missing.json()) == set(wrong.json()) == {"code", "error"}

    @pytest.mark.parametrize("fresh", [ServerSettings(recorded_requests=2, body_limit=1000)], indirect=True)
    def test_record(self, fresh: RunningServer) -> None:
        """Requests are recorded as they arrived, and only so many of them."""
        for text in "abc":
            post(fresh, CHAT, body_for(CHAT, text), **{"X-Grok-Conv-Id": "c1"})
        assert [r.json()["messages"][0]["content"] for r in fresh.requests] == ["b", "c"]
        last = fresh.requests[-1]
        assert (last.method, last.path, last.headers["x-grok-conv-id"]) == ("POST", CHAT, "c1")
        assert post(fresh, CHAT, body_for(CHAT, LONG)).status_code == 413

    def test_record_of_answers(self, fresh: RunningServer) -> None:
        """Answers are recorded with what they say: the conversation, the counts, and whether usage was told."""
        whole = post(fresh, CHAT, body_for(CHAT, LONG), **{"x-grok-conv-id": "c1"}).json()
        stream(fresh, CHAT)
        stream(fresh, CHAT, stream_options={"include_usage": True})
        post(fresh, RESPONSES, body_for(RESPONSES, prompt_cache_key="c2"), "usage=none")
        assert [(answer.path, answer.conversation, answer.usage_sent) for answer in fresh.answers] == [
            (CHAT, "c1", True),
            (CHAT, "", False),
            (CHAT, "", True),
            (RESPONSES, "c2", False),
        ]
        first = fresh.answers[0].generation
        assert (whole["id"], whole["usage"]["prompt_tokens"]) == (first.id, first.input_tokens)


class TestChat:
    """Chat completions, whole and streamed."""

    def test_usage(self, server: RunningServer) -> None:
        """The completion tokens exclude reasoning, the total includes it."""
        body = post(server, CHAT, body_for(CHAT)).json()
        usage = body["usage"]
        reasoning = usage["completion_tokens_details"]["reasoning_tokens"]
        assert reasoning > 0
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] + reasoning
        assert usage["cost_in_usd_ticks"] == cost_in_usd_ticks(
            "grok-4.7", usage["prompt_tokens"], 0, usage["completion_tokens"] + reasoning
        )
        assert body["choices"][0]["message"]["reasoning_content"]

    def test_deterministic(self, server: RunningServer) -> None:
        """The same prompt gets the same answer, another prompt another one."""
        answers = [post(server, CHAT, body_for(CHAT, text)).json()["choices"] for text in ("a", "a", "b")]
        assert answers[0] == answers[1] != answers[2]

    def test_stream_order(self, server: RunningServer) -> None:
        """An empty chunk, reasoning, answer, finish reason, usage, and the end."""
        *chunks, usage, done = stream(server, CHAT, stream_options={"include_usage": True})
        deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
        kinds = ["content" if "content" in d else "reasoning_content" if d else "" for d in deltas[1:]]
        assert deltas[0] == {"role": "assistant", "content": ""}
        assert list(dict.fromkeys(kinds)) == ["reasoning_content", "content", ""]
        assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
        assert not any("usage" in chunk for chunk in chunks)
        assert usage["choices"] == []
        assert usage["usage"]["completion_tokens"] > 0
        assert done == "[DONE]"

    def test_stream_without_usage(self, server: RunningServer) -> None:
        """Usage is not sent to those who did not ask for it."""
        assert not any("usage" in event for event in stream(server, CHAT)[:-1])

    @pytest.mark.parametrize("path", STREAMS)
    def test_stream_says_the_same(self, server: RunningServer, path: str) -> None:
        """A stream adds up to the answer that is given in one piece, characters beyond ASCII included."""
        streamed = text_of(path, stream(server, path))
        body = post(server, path, body_for(path)).json()
        whole = {
            CHAT: lambda: body["choices"][0]["message"]["content"],
            RESPONSES: lambda: body["output"][-1]["content"][0]["text"],
            MESSAGES: lambda: body["content"][-1]["text"],
        }[path]()
        assert streamed == whole
        assert not whole.isascii()

    def test_non_reasoning(self, server: RunningServer) -> None:
        """A model that does not reason shows no reasoning."""
        events = stream(server, CHAT, model="grok-4.20-0309-non-reasoning")
        assert not any("reasoning_content" in c["delta"] for e in events[:-1] for c in e["choices"])

    def test_alias(self, server: RunningServer) -> None:
        """The model that answers may be called otherwise than the one asked for."""
        body = post(server, CHAT, body_for(CHAT, model="grok-4.20")).json()
        assert body["model"] == "grok-4.20-0309-reasoning"

    @pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
    def test_limit(self, server: RunningServer, name: str) -> None:
        """A token limit cuts the answer short."""
        body = post(server, CHAT, body_for(CHAT) | {name: 5}).json()
        assert body["usage"]["completion_tokens"] == 5
        assert body["choices"][0]["finish_reason"] == "length"

    def test_tool(self, server: RunningServer) -> None:
        """Asked to use a tool the model calls it; shown the result it answers."""
        tools = [{"type": "function", "function": TOOL}]
        body = body_for(CHAT, "Please use a tool.", tools=tools)
        choice = post(server, CHAT, body).json()["choices"][0]
        call = choice["message"]["tool_calls"][0]
        assert choice["finish_reason"] == "tool_calls"
        assert call["function"]["name"] == "find"
        assert set(json.loads(call["function"]["arguments"])) == {"query"}
        body["messages"] += [choice["message"], {"role": "tool", "tool_call_id": call["id"], "content": "found"}]
        assert post(server, CHAT, body).json()["choices"][0]["finish_reason"] == "stop"

    def test_deferred(self, server: RunningServer) -> None:
        """A deferred completion is not ready at first, then readable once."""
        request_id = post(server, CHAT, body_for(CHAT, deferred=True)).json()["request_id"]
        polls = [httpx.get(f"{server.url}/v1/chat/deferred-completion/{request_id}", headers=KEY) for _ in range(3)]
        assert [poll.status_code for poll in polls] == [202, 200, 404]
        assert polls[0].content == b""
        assert polls[1].json()["usage"]["prompt_tokens"] > 0

    def test_headers(self, server: RunningServer) -> None:
        """Every answer has an id, only whole generations tell their timing, only successes their limits."""
        whole = post(server, CHAT, body_for(CHAT)).headers
        streamed = post(server, CHAT, body_for(CHAT, stream=True)).headers
        failed = post(server, CHAT, {}).headers
        assert all("x-request-id" in headers for headers in (whole, streamed, failed))
        assert [any(k.startswith("x-metrics-") for k in h) for h in (whole, streamed, failed)] == [True, False, False]
        assert [any(k.startswith("x-ratelimit-") for k in h) for h in (whole, streamed, failed)] == [True, True, False]


class TestResponses:
    """The Responses API, its stream and its memory."""

    def test_usage(self, server: RunningServer) -> None:
        """The output tokens include reasoning, unlike those of chat."""
        usage = post(server, RESPONSES, body_for(RESPONSES)).json()["usage"]
        assert usage["output_tokens"] > usage["output_tokens_details"]["reasoning_tokens"] > 0
        assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]

    def test_stream_order(self, server: RunningServer) -> None:
        """Events come in the recorded order, numbered, with usage in the last object only."""
        *events, done = stream(server, RESPONSES)
        assert done == "[DONE]"
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        assert list(dict.fromkeys(event["type"].removeprefix("response.") for event in events)) == [
            "created",
            "in_progress",
            "output_item.added",
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
            "output_item.done",
            "content_part.added",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "completed",
        ]
        assert ["usage" in e["response"] for e in events if "response" in e] == [False, False, True]

    def test_store(self, server: RunningServer) -> None:
        """A stored response can be read and deleted; one not stored cannot."""
        stored = post(server, RESPONSES, body_for(RESPONSES)).json()
        url = f"{server.url}{RESPONSES}/{stored['id']}"
        assert httpx.get(url, headers=KEY).json() == stored
        assert httpx.delete(url, headers=KEY).json() == {"id": stored["id"], "object": "response", "deleted": True}
        assert httpx.get(url, headers=KEY).status_code == 404
        unstored = post(server, RESPONSES, body_for(RESPONSES, store=False)).json()
        assert httpx.get(f"{server.url}{RESPONSES}/{unstored['id']}", headers=KEY).status_code == 404

    def test_chain(self, fresh: RunningServer) -> None:
        """A chained response is billed for the whole history, most of it from the cache."""
        first = post(fresh, RESPONSES, body_for(RESPONSES, LONG, prompt_cache_key="k")).json()
        body = body_for(RESPONSES, "And now?", prompt_cache_key="k", previous_response_id=first["id"])
        second = post(fresh, RESPONSES, body)
        assert second.json()["usage"]["input_tokens"] > first["usage"]["input_tokens"]
        assert cached_of(second) >= first["usage"]["input_tokens"] // 128 * 128
        assert second.json()["previous_response_id"] == first["id"]
        assert second.json()["prompt_cache_key"] == "k"
        assert post(fresh, RESPONSES, body | {"instructions": "Be brief."}).status_code == 400
        assert post(fresh, RESPONSES, body | {"previous_response_id": "nope"}).status_code == 404

    def test_encrypted_reasoning(self, server: RunningServer) -> None:
        """Sealed reasoning comes on request, and from grok-4.7 always."""

        def sealed(**more: Any) -> bool:
            return "encrypted_content" in post(server, RESPONSES, body_for(RESPONSES, **more)).json()["output"][0]

        assert sealed()
        assert not sealed(model="grok-4.6")
        assert sealed(model="grok-4.6", include=["reasoning.encrypted_content"])

    def test_incomplete(self, server: RunningServer) -> None:
        """A token limit ends the stream with `response.incomplete`."""
        last = stream(server, RESPONSES, max_output_tokens=3)[-2]
        assert last["type"] == "response.incomplete"
        assert last["response"]["incomplete_details"] == {"reason": "max_output_tokens"}

    def test_tool(self, server: RunningServer) -> None:
        """A tool call is an item of its own, and streams its arguments."""
        body = body_for(RESPONSES, "use a tool", tools=[{"type": "function", **TOOL}], stream=True)
        events = events_of(post(server, RESPONSES, body).text)
        assert "response.function_call_arguments.delta" in [e["type"] for e in events[:-1]]
        assert events[-2]["response"]["output"][-1]["type"] == "function_call"

    def test_compaction(self, fresh: RunningServer) -> None:
        """A compacted conversation is one item, shorter, and unknown to the cache."""
        post(fresh, RESPONSES, body_for(RESPONSES, LONG, prompt_cache_key="k"))
        compacted = post(fresh, RESPONSES + "/compact", body_for(RESPONSES, LONG, prompt_cache_key="k"))
        item = compacted.json()["output"][0]
        assert cached_of(compacted) > 0
        assert item["type"] == "compaction"
        body = {"model": "grok-4.7", "input": [item, {"role": "user", "content": LONG}], "prompt_cache_key": "k"}
        assert cached_of(post(fresh, RESPONSES, body)) == 0


class TestMessages:
    """The Anthropic-compatible API."""

    @pytest.mark.parametrize(
        "fresh", [ServerSettings(), ServerSettings(messages_input_includes_cached=True)], indirect=True
    )
    def test_usage(self, fresh: RunningServer) -> None:
        """Cache reads are counted beside the input or within it, as set; writes are always 0."""
        first, second = (
            post(fresh, MESSAGES, body_for(MESSAGES, LONG), **{"x-grok-conv-id": "m"}).json()["usage"] for _ in range(2)
        )
        cached = second["cache_read_input_tokens"]
        apart = 0 if fresh.app.settings.messages_input_includes_cached else cached
        assert cached > 1024
        assert second["input_tokens"] + apart == first["input_tokens"]
        assert second["cache_creation_input_tokens"] == 0

    def test_stream_order(self, server: RunningServer) -> None:
        """One run of events per block, then the counts, then the stop."""
        *events, done = stream(server, MESSAGES)
        block = ["content_block_start", "content_block_delta", "content_block_stop"]
        kinds = [e["type"] for i, e in enumerate(events) if i == 0 or e["type"] != events[i - 1]["type"]]
        assert kinds == ["message_start", *block, *block, "message_delta", "message_stop"]
        assert events[0]["message"]["usage"]["output_tokens"] == 0
        assert events[-2]["usage"]["output_tokens"] > 0
        assert done == "[DONE]"

    def test_tool(self, server: RunningServer) -> None:
        """A tool call is a block, and the reason to stop."""
        tools = [{"name": "find", "input_schema": TOOL["parameters"]}]
        body = post(server, MESSAGES, body_for(MESSAGES, "use a tool", tools=tools)).json()
        assert body["content"][-1]["type"] == body["stop_reason"] == "tool_use"


class TestModels:
    """The list of models."""

    def test_prices(self, server: RunningServer) -> None:
        """Prices are integers, 10,000 to the dollar per million tokens."""
        listed = {m["id"]: m for m in httpx.get(server.url + "/v1/models", headers=KEY).json()["data"]}
        assert listed["grok-4.7"]["cached_prompt_text_token_price"] == 5_000
        assert httpx.get(server.url + "/v1/models/grok-4.7", headers=KEY).json() == listed["grok-4.7"]
        assert httpx.get(server.url + "/v1/models/grok-x", headers=KEY).status_code == 404


class TestCache:
    """What the prompt cache finds again."""

    def ask(self, server: RunningServer, messages: list[dict[str, Any]], conversation: str = "c", **more: Any) -> Any:
        """Ask on chat, in a conversation."""
        return post(
            server,
            CHAT,
            {"model": "grok-4.7", "messages": messages, **more},
            **({"x-grok-conv-id": conversation} if conversation else {}),
        )

    def test_whole_blocks(self, fresh: RunningServer) -> None:
        """A repeated prompt is found again, rounded down to whole blocks."""
        messages = [{"role": "user", "content": LONG}]
        cold, warm = self.ask(fresh, messages), self.ask(fresh, messages)
        assert cached_of(cold) == 0
        assert cached_of(warm) == cold.json()["usage"]["prompt_tokens"] // 128 * 128

    def test_body_key(self, fresh: RunningServer) -> None:
        """The key in the body routes like the header."""
        messages = [{"role": "user", "content": LONG}]
        self.ask(fresh, messages, "c")
        assert cached_of(self.ask(fresh, messages, "", prompt_cache_key="c")) > 0

    def test_short_prompts(self, fresh: RunningServer) -> None:
        """Prompts below the minimum never hit."""
        messages = [{"role": "user", "content": "word " * 1000}]
        assert [cached_of(self.ask(fresh, messages)) for _ in range(2)] == [0, 0]

    def test_other_server(self, fresh: RunningServer) -> None:
        """A conversation id that leads to another server misses."""
        server_of = fresh.app.cluster.server_of
        other = next(name for name in map(str, range(100)) if server_of(name) != server_of("c"))
        messages = [{"role": "user", "content": LONG}]
        self.ask(fresh, messages)
        assert cached_of(self.ask(fresh, messages, other)) == 0

    def test_without_a_conversation(self, fresh: RunningServer) -> None:
        """Without an id, or with an empty one, any server may be asked."""
        messages = [{"role": "user", "content": LONG}]
        hits = [cached_of(self.ask(fresh, messages, "", prompt_cache_key="")) > 0 for _ in range(20)]
        assert hits.count(False) == 4

    def test_models_apart(self, fresh: RunningServer) -> None:
        """Models do not share their caches."""
        messages = [{"role": "user", "content": LONG}]
        self.ask(fresh, messages)
        assert cached_of(self.ask(fresh, messages, model="grok-4.6")) == 0

    def test_edited_history(self, fresh: RunningServer) -> None:
        """The prefix ends at the first message that changed."""
        messages = [{"role": "system", "content": LONG}, {"role": "user", "content": LONG}]
        self.ask(fresh, messages)
        messages[1] = {"role": "user", "content": "No. " + LONG}
        cached = cached_of(self.ask(fresh, messages))
        assert 0 < cached <= len(tokenize(LONG)) + 2
        messages[0] = {"role": "system", "content": "12:00 " + LONG}
        assert cached_of(self.ask(fresh, messages)) == 0

    def test_tools_come_first(self, fresh: RunningServer) -> None:
        """Changed tools change the prefix from its start, another effort changes nothing."""
        messages = [{"role": "user", "content": LONG}]
        self.ask(fresh, messages)
        assert cached_of(self.ask(fresh, messages, reasoning_effort="low")) > 0
        assert cached_of(self.ask(fresh, messages, tools=[{"type": "function", "function": TOOL}])) == 0

    @pytest.mark.parametrize("fresh", [ServerSettings(reasoning_words=300, answer_words=300)], indirect=True)
    def test_reasoning_sent_back(self, fresh: RunningServer) -> None:
        """Sending the reasoning back keeps the prefix; dropping it ends the prefix there."""
        messages = [{"role": "user", "content": LONG}]
        first = self.ask(fresh, messages).json()
        said = first["choices"][0]["message"]
        asked = {"role": "user", "content": "Go on."}
        kept = cached_of(self.ask(fresh, [*messages, said, asked], max_tokens=1))
        dropped = cached_of(
            self.ask(fresh, [*messages, {"role": "assistant", "content": said["content"]}, asked], max_tokens=1)
        )
        assert dropped == first["usage"]["prompt_tokens"] // 128 * 128
        assert kept == first["usage"]["total_tokens"] // 128 * 128 > dropped

    @pytest.mark.parametrize("fresh", [ServerSettings(reasoning_words=300)], indirect=True)
    def test_sealed_reasoning_sent_back(self, fresh: RunningServer) -> None:
        """On Responses the sealed reasoning does the same, its summary alone does not."""
        asked = {"role": "user", "content": LONG}
        first = post(fresh, RESPONSES, {"model": "grok-4.7", "input": [asked], "prompt_cache_key": "k"}).json()
        open_items = [{k: v for k, v in item.items() if k != "encrypted_content"} for item in first["output"]]
        kept, dropped = (
            cached_of(
                post(
                    fresh,
                    RESPONSES,
                    {
                        "model": "grok-4.7",
                        "input": [asked, *items, {"role": "user", "content": "?"}],
                        "prompt_cache_key": "k",
                    },
                )
            )
            for items in (first["output"], open_items)
        )
        assert kept > dropped == first["usage"]["input_tokens"] // 128 * 128

    def test_evict(self, fresh: RunningServer) -> None:
        """Evicted prompts are forgotten, of one conversation or of all."""
        messages = [{"role": "user", "content": LONG}]
        for conversation in (None, "c"):
            self.ask(fresh, messages)
            fresh.app.evict(conversation)
            assert cached_of(self.ask(fresh, messages)) == 0

    def test_failures_are_not_remembered(self, fresh: RunningServer) -> None:
        """A request that was refused leaves nothing behind."""
        body = body_for(CHAT, LONG, prompt_cache_key="c")
        assert post(fresh, CHAT, body, "status=503").status_code == 503
        assert cached_of(post(fresh, CHAT, body)) == 0

    @pytest.mark.parametrize("fresh", [ServerSettings(noise=True)], indirect=True)
    def test_noise(self, fresh: RunningServer) -> None:
        """With noise a cold call reports nothing or one block."""
        seen = {cached_of(self.ask(fresh, [{"role": "user", "content": f"{n} {LONG}"}])) for n in range(20)}
        assert seen == {0, 128}

    def test_capacity(self) -> None:
        """A full cache forgets the prefix unused for longest, from its end."""
        old, new = (chain([name] * 6, 2) for name in ("old", "new"))
        cache = PrefixCache(capacity=4)
        cache.remember("m", old)
        cache.remember("m", new)
        assert len(cache) == 4
        assert (cache.known_blocks("m", old), cache.known_blocks("m", new)) == (1, 3)


@pytest.mark.timing
class TestTime:
    """When things happen."""

    @pytest.mark.parametrize("fresh", [ServerSettings(prefill_s_per_1k_tokens=0.1)], indirect=True)
    def test_prefill(self, fresh: RunningServer) -> None:
        """What was cached need not be read again, so the answer comes sooner."""
        body = body_for(CHAT, LONG, prompt_cache_key="t")
        cold, warm = (float(post(fresh, CHAT, body).headers["x-metrics-ttft-ms"]) for _ in range(2))
        assert cold > 150
        assert warm < 60

    def test_three_moments(self, server: RunningServer) -> None:
        """Headers come at once, then the empty event, reasoning and answer when asked for."""
        sent = {**KEY, "x-trouble": "empty_at=150,reasoning_at=200,answer_at=250"}
        moments: dict[str, float] = {}
        start = time.monotonic()
        with httpx.stream(
            "POST", server.url + CHAT, json=body_for(CHAT, stream=True), headers=sent, verify=NO_TLS
        ) as response:
            moments["headers"] = time.monotonic() - start
            for line in response.iter_lines():
                for name in ('"content":""', '"reasoning_content":"', '"content":"'):
                    if name in line:
                        moments.setdefault(name, time.monotonic() - start)
                        break
        headers, empty, reasoning, answer = moments.values()
        assert headers < 0.15
        assert 0.15 <= empty < reasoning < answer
        assert reasoning >= 0.2
        assert answer >= 0.25

    @pytest.mark.parametrize("fresh", [ServerSettings(event_gap_s=0.005, answer_words=10)], indirect=True)
    def test_gap(self, fresh: RunningServer) -> None:
        """A stream takes its time from delta to delta, and a whole answer as long altogether."""
        response = post(fresh, CHAT, body_for(CHAT))
        assert float(response.headers["x-metrics-e2e-ms"]) >= 100
        assert float(response.headers["x-metrics-mean-itl-ms"]) == pytest.approx(5, abs=0.5)


class TestTrouble:
    """The switches."""

    def test_grammar(self) -> None:
        """Switches are separated by commas, and a later text wins over an earlier one."""
        trouble = parse_trouble("status=429, crlf", " status = 503 ,, split=7")
        assert (trouble.status, trouble.crlf, trouble.split, trouble.join) == (503, True, 7, False)
        assert parse_trouble("split").split == 1

    @pytest.mark.parametrize("text", ["nonsense", "split=0", "split=many", "status=200", "usage=odd", "join=7"])
    def test_bad_switches(self, server: RunningServer, text: str) -> None:
        """An unknown switch or a value it does not take is refused, with what would be allowed."""
        with pytest.raises(TroubleError):
            parse_trouble(text)
        with pytest.raises(TroubleError):
            ServerSettings(trouble=text)
        assert post(server, CHAT, body_for(CHAT), text).status_code == 400

    def test_bad_name_teaches(self, server: RunningServer) -> None:
        """The error for an unknown name lists the known ones."""
        assert "error_event" in post(server, CHAT, body_for(CHAT), "nonsense").json()["error"]

    @pytest.mark.parametrize("fresh", [ServerSettings(trouble="status=503")], indirect=True)
    def test_for_all(self, fresh: RunningServer) -> None:
        """Switches in the settings hold for all requests, a header goes over them."""
        assert post(fresh, CHAT, body_for(CHAT)).status_code == 503
        assert post(fresh, CHAT, body_for(CHAT), "status=429").status_code == 429

    @pytest.mark.parametrize("path", STREAMS)
    def test_error_shapes(self, server: RunningServer, path: str) -> None:
        """An error has the status and the shape that were asked for."""
        flat, nested, string, page = (
            post(server, path, body_for(path), f"status=429,error={shape},retry_after=3")
            for shape in ("flat", "nested", "string", "html")
        )
        assert {r.status_code for r in (flat, nested, string, page)} == {429}
        assert flat.headers["retry-after"] == "3"
        assert isinstance(flat.json()["error"], str)
        assert nested.json()["error"]["code"] == 429
        assert isinstance(string.json(), str)
        assert page.text.startswith("<html>")

    @pytest.mark.parametrize(
        ("path", "shape", "expected"),
        [
            (CHAT, "flat", "code"),
            (CHAT, "nested", "error"),
            (RESPONSES, "flat", "message"),
            (RESPONSES, "failed", "response"),
            (MESSAGES, "flat", "error"),
        ],
    )
    def test_error_event(self, server: RunningServer, path: str, shape: str, expected: str) -> None:
        """After three deltas the stream reports an error and is over, with status 200."""
        events = stream(server, path, f"error_event={shape}")
        assert expected in events[-1]
        assert "[DONE]" not in events
        if path == RESPONSES:
            assert events[-1]["sequence_number"] == len(events) - 1
            assert events[-1]["type"] == ("response.failed" if shape == "failed" else "error")

    @pytest.mark.parametrize("path", STREAMS)
    def test_cut_stream(self, server: RunningServer, path: str) -> None:
        """A cut stream breaks off after so many events."""
        seen = broken_stream(server, path, "cut=4")
        assert seen.count(b"data: ") == 4

    def test_cut_body(self, server: RunningServer) -> None:
        """A cut body is shorter than its declared length."""
        with pytest.raises(httpx.RemoteProtocolError):
            post(server, CHAT, body_for(CHAT), "cut")

    @pytest.mark.parametrize("streamed", [True, False])
    def test_stall(self, server: RunningServer, streamed: bool) -> None:
        """A stalled answer hangs until the client has had enough, and the server takes no harm."""
        for trouble in ("stall", "stall_after=1"):
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(
                    server.url + CHAT,
                    json=body_for(CHAT, stream=streamed),
                    headers={**KEY, "x-trouble": trouble},
                    timeout=0.1,
                )
        assert post(server, CHAT, body_for(CHAT), "stall=0.01").status_code == 200

    def test_leaving_while_it_hangs(self) -> None:
        """The server stops at once, even if clients are waiting."""
        outcome: list[Exception] = []

        def wait(url: str) -> None:
            try:
                httpx.post(url, json=body_for(CHAT), headers={**KEY, "x-trouble": "stall"}, timeout=10)
            except httpx.HTTPError as error:
                outcome.append(error)

        with running() as server:
            waiting = threading.Thread(target=wait, args=(server.url + CHAT,))
            waiting.start()
            while not server.requests:
                time.sleep(0.001)
            start = time.monotonic()
        waiting.join(5)
        assert time.monotonic() - start < 2
        assert len(outcome) == 1

    def test_usage_switches(self, server: RunningServer) -> None:
        """Usage can be everywhere, nowhere, null, or nonsense."""
        *chunks, _done = stream(server, CHAT, "usage=every_chunk")
        totals = [chunk["usage"]["total_tokens"] for chunk in chunks]
        assert totals == sorted(totals)
        assert totals[-1] == post(server, CHAT, body_for(CHAT)).json()["usage"]["total_tokens"]
        for path in STREAMS:
            none, null, odd = (
                post(server, path, body_for(path), f"usage={value}").json() for value in ("none", "null", "wrong_types")
            )
            assert "usage" not in none
            assert null["usage"] is None
            assert odd["usage"].keys() == post(server, path, body_for(path)).json()["usage"].keys()
            assert "many" in odd["usage"].values()
        events = stream(server, RESPONSES, "usage=every_chunk")
        assert all("usage" in event["response"] for event in events[:-1] if "response" in event)

    @pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
    @pytest.mark.parametrize("path", STREAMS)
    def test_encoding(self, server: RunningServer, encoding: str, path: str) -> None:
        """Bodies and streams can be compressed, with and without odd portions."""
        if encoding in ("br", "zstd"):
            pytest.importorskip({"br": "brotli", "zstd": "zstandard"}[encoding])
        plain = text_of(path, stream(server, path))
        for more in ("", ",split=3", ",join"):
            response = post(server, path, body_for(path, stream=True), f"encoding={encoding}{more}")
            assert response.headers["content-encoding"] == encoding
            assert text_of(path, events_of(response.text)) == plain
        assert post(server, path, body_for(path), f"encoding={encoding}").json()["model"] == "grok-4.7"

    @pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
    def test_encoding_is_flushed(self, server: RunningServer, encoding: str) -> None:
        """A compressed event can be read before the next one is due."""
        if encoding in ("br", "zstd"):
            pytest.importorskip({"br": "brotli", "zstd": "zstandard"}[encoding])
        sent = {**KEY, "x-trouble": f"encoding={encoding},stall_after=1"}
        with httpx.stream(
            "POST", server.url + CHAT, json=body_for(CHAT, stream=True), headers=sent, verify=NO_TLS
        ) as response:
            assert next(response.iter_lines()).startswith("data: {")

    @pytest.mark.parametrize("split", [1, 3, 1000])
    def test_split(self, server: RunningServer, split: int) -> None:
        """Portions have the size asked for, so they end inside characters."""
        sent = {**KEY, "x-trouble": f"split={split}"}
        for body in (body_for(CHAT, stream=True), body_for(CHAT)):
            with httpx.stream("POST", server.url + CHAT, json=body, headers=sent) as response:
                portions = list(response.iter_raw())
            assert max(map(len, portions)) <= split
            assert "漢" in b"".join(portions).decode() or "é" in b"".join(portions).decode()

    @pytest.mark.parametrize("path", STREAMS)
    def test_join(self, server: RunningServer, path: str) -> None:
        """All events come in one portion."""
        sent = {**KEY, "x-trouble": "join"}
        with httpx.stream("POST", server.url + path, json=body_for(path, stream=True), headers=sent) as response:
            assert response.read().count(b"data: ") > 10

    def test_join_and_cut(self, server: RunningServer) -> None:
        """Joined events before a cut are still sent."""
        seen = broken_stream(server, CHAT, "join,cut=3")
        assert seen.count(b"data: ") == 3

    def test_framing(self, server: RunningServer) -> None:
        """Line ends, comments, byte order mark, event names and blanks are all as asked for."""

        def raw(trouble: str, path: str = CHAT) -> bytes:
            return bytes(post(server, path, body_for(path, stream=True), trouble).content)

        plain = raw("")
        assert raw("crlf").count(b"\r\n") == plain.count(b"\n") == raw("cr").count(b"\r")
        assert b"\n" not in raw("cr")
        assert raw("comments").count(b": keep-alive\n\n") == plain.count(b"data: ")
        assert raw("bom").startswith(b"\xef\xbb\xbfdata: ")
        assert b"event: response.completed\ndata: " in raw("event_lines", RESPONSES)
        assert b"event: " not in raw("", RESPONSES)
        assert b'"object": "chat.completion.chunk", ' in raw("spaces")
        assert b"[DONE]" not in raw("no_done")

    def test_incomplete(self, server: RunningServer) -> None:
        """An answer can be called incomplete although nothing is missing."""
        assert stream(server, CHAT, "incomplete")[-2]["choices"][0]["finish_reason"] == "length"
        assert stream(server, RESPONSES, "incomplete")[-2]["type"] == "response.incomplete"
        assert stream(server, MESSAGES, "incomplete")[-3]["delta"]["stop_reason"] == "max_tokens"

    @pytest.mark.parametrize("path", STREAMS)
    def test_size(self, server: RunningServer, path: str) -> None:
        """Answers have as many bytes and deltas as asked for."""
        assert len(text_of(path, stream(server, path, "answer_bytes=100001")).encode()) == 100_001
        events = stream(server, path, "events=77,answer_bytes=1000")
        kinds = ("content_block_delta", "response.output_text.delta")
        deltas = [
            e for e in events[:-1] if (e["choices"][0]["delta"].get("content") if path == CHAT else e["type"] in kinds)
        ]
        if path == MESSAGES:
            deltas = [e for e in deltas if e["delta"]["type"] == "text_delta"]
        assert len(deltas) == 77

    def test_choices(self, server: RunningServer) -> None:
        """Several choices can be had, and are all paid for."""
        one = post(server, CHAT, body_for(CHAT)).json()["usage"]["completion_tokens"]
        body = post(server, CHAT, body_for(CHAT), "choices=3").json()
        assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
        assert body["usage"]["completion_tokens"] == 3 * one
        indices = {c["index"] for e in stream(server, CHAT, n=2)[:-1] for c in e["choices"]}
        assert indices == {0, 1}

    def test_redirect(self, fresh: RunningServer) -> None:
        """Redirects lead to the same path, as often as asked for."""
        sent = {**KEY, "x-trouble": "redirect=2"}
        assert httpx.post(fresh.url + CHAT, json=body_for(CHAT), headers=sent).status_code == 307
        fresh.requests.clear()
        response = httpx.post(fresh.url + CHAT, json=body_for(CHAT), headers=sent, follow_redirects=True)
        assert response.status_code == 200
        assert [request.path for request in fresh.requests] == [CHAT] * 3


class TestClients:
    """The SDKs get on with the server."""

    def test_openai_chat(self, server: RunningServer) -> None:
        """The openai SDK reads a chat stream with its usage."""
        openai = pytest.importorskip("openai")
        with openai.OpenAI(base_url=server.url + "/v1", api_key="k") as client:
            chunks = list(
                client.chat.completions.create(
                    **body_for(CHAT), stream=True, stream_options={"include_usage": True}, prompt_cache_key="k"
                )
            )
        assert chunks[-1].usage.prompt_tokens > 0
        assert chunks[1].choices[0].delta.reasoning_content

    def test_openai_responses(self, server: RunningServer) -> None:
        """The openai SDK reads a response, and its stream to the end."""
        openai = pytest.importorskip("openai")
        with openai.OpenAI(base_url=server.url + "/v1", api_key="k") as client:
            whole = client.responses.create(**body_for(RESPONSES))
            events = list(client.responses.create(**body_for(RESPONSES), stream=True))
            assert client.responses.retrieve(whole.id).output_text == whole.output_text
        assert events[-1].response.output_text == whole.output_text
        assert events[-1].response.usage.output_tokens_details.reasoning_tokens > 0

    def test_openai_errors(self, server: RunningServer) -> None:
        """The openai SDK raises what the server reports, in the middle of a stream too."""
        openai = pytest.importorskip("openai")
        with openai.OpenAI(base_url=server.url + "/v1", api_key="k", max_retries=0) as client:
            with pytest.raises(openai.RateLimitError):
                client.chat.completions.create(**body_for(CHAT), extra_headers={"x-trouble": "status=429"})
            broken = client.chat.completions.create(
                **body_for(CHAT), stream=True, extra_headers={"x-trouble": "error_event"}
            )
            with pytest.raises(openai.APIError):
                list(broken)

    def test_openai_retries(self, fresh: RunningServer) -> None:
        """A failure that passes is overcome by the SDK's next attempt."""
        openai = pytest.importorskip("openai")
        with openai.OpenAI(base_url=fresh.url + "/v1", api_key="k") as client:
            trouble = {"x-trouble": "status=503, recovers=1, retry_after=0"}
            assert client.chat.completions.create(**body_for(CHAT), extra_headers=trouble).choices
        assert [request.headers["x-stainless-retry-count"] for request in fresh.requests] == ["0", "1"]

    @pytest.mark.parametrize("trouble", ["split=1", "crlf", "comments", "join", "encoding=gzip", "spaces"])
    def test_openai_bears_it(self, server: RunningServer, trouble: str) -> None:
        """What is unusual but allowed does not disturb the openai SDK."""
        openai = pytest.importorskip("openai")
        with openai.OpenAI(base_url=server.url + "/v1", api_key="k") as client:
            calm, rough = (
                "".join(
                    chunk.choices[0].delta.content or ""
                    for chunk in client.chat.completions.create(
                        **body_for(CHAT), stream=True, extra_headers={"x-trouble": name} if name else {}
                    )
                )
                for name in ("", trouble)
            )
        assert calm == rough != ""

    def test_anthropic(self, server: RunningServer) -> None:
        """The anthropic SDK reads a message, and its stream to the end."""
        anthropic = pytest.importorskip("anthropic")
        with anthropic.Anthropic(base_url=server.url, api_key="k") as client:
            body = body_for(MESSAGES, max_tokens=100)
            whole = client.messages.create(**body)
            with client.messages.stream(**body) as events:
                final = events.get_final_message()
        assert final.content[-1].text == whole.content[-1].text
        assert final.usage.output_tokens == whole.usage.output_tokens


class TestCommandLine:
    """`python -m xai_server`."""

    def test_help_teaches(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The help names the settings and all troubles."""
        with pytest.raises(SystemExit):
            main(["--help"])
        text = capsys.readouterr().out
        assert "--prefill-s-per-1k-tokens" in text
        assert "x-trouble" in text
        assert "error_event" in text

    def test_bad_settings(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Settings that cannot be are refused with a reason."""
        with pytest.raises(SystemExit):
            main(["--trouble", "nonsense"])
        assert "known are" in capsys.readouterr().err

    def test_readme(self) -> None:
        """The table in the README is the list of switches."""
        readme = (Path(xai_server.__file__).parent / "README.md").read_text(encoding="utf-8")
        for switch in SWITCHES:
            value = f" {switch.value}" if switch.value else ""
            assert f"| `{switch.name}`{value} | {switch.effect} |" in readme

"""What applications' own test suites get: the assertion, and the fixture that watches the client library."""

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import pytest

from opentelemetry.instrumentation.xai import instrumentor
from opentelemetry.instrumentation.xai.testing import assert_cache_stable
from opentelemetry.instrumentation.xai.testing.recording import Recording

Json = dict[str, Any]
PLUGIN = "opentelemetry_instrumentation_xai_pytest"


def user(text: str) -> Json:
    """A message of the user."""
    return {"role": "user", "content": text}


def assistant(text: str) -> Json:
    """A message of the model."""
    return {"role": "assistant", "content": text}


def body(*messages: Json, **fields: Any) -> Json:
    """A body for chat completions."""
    return {"model": "grok-4.7", "messages": list(messages), **fields}


FIRST = body(user("One?"))
SECOND = body(user("One?"), assistant("1"), user("Two?"))
THIRD = body(user("One?"), assistant("1"), user("Two?"), assistant("2"), user("Three?"))


class TestAssertCacheStable:
    """``assert_cache_stable`` holds any number of bodies to each other, one after the other."""

    def test_it_says_nothing_where_all_is_well(self) -> None:
        """Dicts, other mappings and JSON, also mixed."""
        bodies: list[Mapping[str, Any] | str | bytes] = [
            FIRST, json.dumps(SECOND), json.dumps(THIRD).encode(), MappingProxyType(THIRD),
        ]  # fmt: skip
        assert_cache_stable(*bodies)

    def test_it_names_section_index_and_reason(self) -> None:
        """And which pair, the place, and the fix."""
        edited = body(user("One?"), assistant("1!"), *THIRD["messages"][2:])
        with pytest.raises(AssertionError) as raised:
            assert_cache_stable(FIRST, SECOND, edited)
        lines = str(raised.value).splitlines()
        assert lines[0] == (
            "request 3 would not reuse the cache of request 2: history_edited at messages[1] (the client's doing)"
        )
        assert lines[1].startswith("  section messages, index 1; ")
        assert lines[2] == '  before  {"role":"assistant","content":"1"}'
        assert lines[3] == '  after   {"role":"assistant","content":"1!"}'
        assert lines[4].index("^") == lines[3].index("!")
        assert lines[5].startswith("  Fix: Only append")
        assert lines[5].endswith("(dashboards/runbook.md, history_edited)")

    def test_a_guess_is_called_one(self) -> None:
        """Whether a parameter counts is inferred."""
        with pytest.raises(AssertionError, match="parameters_changed at parameters \\(the client's doing, inferred\\)"):
            assert_cache_stable(FIRST, {**SECOND, "tool_choice": "required"})

    def test_another_conversation_fails(self) -> None:
        """Who gives two bodies says that one follows the other."""
        with pytest.raises(AssertionError, match="request 2 does not continue request 1: first_request"):
            assert_cache_stable(FIRST, body(user("Other?")))

    @pytest.mark.parametrize(
        ("bodies", "kind", "why"),
        [
            ((), TypeError, "two or more request bodies"),
            ((FIRST,), TypeError, "not 1"),
            (([FIRST, SECOND],), TypeError, r"\*bodies"),
            ((FIRST, 7), TypeError, "request 2: a body is a dict, or JSON as str or bytes, not int"),
            ((body(user(object())), SECOND), TypeError, "request 1: .*not JSON serializable"),  # type: ignore[arg-type]
            ((FIRST, "{"), ValueError, "request 2: not JSON"),
            ((FIRST, {"model": "grok"}), ValueError, 'request 2: not a request body: .*neither "messages"'),
        ],
    )
    def test_what_are_no_bodies_is_told(self, bodies: tuple[Any, ...], kind: type[Exception], why: str) -> None:
        """With an error of the kind that Python has for it, which says which of them it is."""
        with pytest.raises(kind, match=why):
            assert_cache_stable(*bodies)

    def test_pytest_shows_the_callers_line(self) -> None:
        """No frame of ours stands between a failure and the test."""
        with pytest.raises(AssertionError) as raised:
            assert_cache_stable(FIRST, body(user("Other?")))
        frames = raised.traceback.filter(raised)
        assert Path(frames[-1].path).name == "test_testing.py"


def answered(request: httpx.Request) -> httpx.Response:
    """An answer as a test makes it up: without usage."""
    if b"fail" in request.content:
        return httpx.Response(503, json={"error": "no"})
    if b'"stream":true' in request.content:
        events = 'data: {"id":"r","choices":[{"index":0,"delta":{"content":"1"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
        return httpx.Response(200, text=events, headers={"content-type": "text/event-stream"})
    choice = {"index": 0, "message": assistant("1"), "finish_reason": "stop"}
    return httpx.Response(200, json={"id": "r", "choices": [choice]})


def post(client: httpx.Client, content: Json, conversation: str | None = "c", host: str = "api.x.ai") -> None:
    """Send a body."""
    headers = {"x-grok-conv-id": conversation} if conversation else {}
    client.post(f"https://{host}/v1/chat/completions", json=content, headers=headers)


@pytest.fixture
def client() -> Any:
    """A client that reaches no network."""
    with httpx.Client(transport=httpx.MockTransport(answered)) as mocked:
        yield mocked


class TestRecording:
    """What the fixture gives, used by hand."""

    def test_appended_turns_pass(self, client: httpx.Client) -> None:
        """Requests are kept with their bodies, in the order of sending."""
        with Recording().running() as recording:
            for content in (FIRST, SECOND, THIRD):
                post(client, content)
            recording.check()
        sent = [request.body.document for request in recording.requests if request.body]
        assert sent == [FIRST, SECOND, THIRD]
        assert [request.number for request in recording.requests] == [1, 2, 3]

    @pytest.mark.parametrize(
        ("ids", "reason"), [((None, None), "conversation_id_missing"), (("a", "b"), "conversation_id_changed")]
    )
    def test_ids_in_headers_count(self, client: httpx.Client, ids: tuple[Any, Any], reason: str) -> None:
        """Without an id, or under another, an intact prompt finds no cache."""
        with Recording().running() as recording:
            post(client, FIRST, ids[0])
            post(client, SECOND, ids[1])
            with pytest.raises(AssertionError, match=f"request 2 would not reuse the cache of request 1: {reason}"):
                recording.check()

    def test_each_break_is_told_once(self, client: httpx.Client) -> None:
        """Who has looked at one need not hear of it again."""
        with Recording().running() as recording:
            post(client, FIRST)
            post(client, {**SECOND, "model": "grok-4.3"})
            with pytest.raises(AssertionError, match="model_changed"):
                recording.check()
            recording.check()
            post(client, {**THIRD, "model": "grok-4.7"})
            assert len(recording.complaints()) == 1

    def test_conversations_are_told_apart(self, client: httpx.Client) -> None:
        """Interleaved ones are compared each with itself, and unrelated requests with nothing."""
        other = [body(user("A?")), body(user("A?"), assistant("1"), user("B?"))]
        with Recording().running() as recording:
            post(client, FIRST, "one")
            post(client, other[0], "two")
            post(
                client,
                body(user("Hello")),
                "three",
            )
            post(client, SECOND, "one")
            post(client, {**other[1], "model": "grok-4.3"}, "two")
            (complaint,) = recording.complaints()
        assert complaint.startswith("request 5 would not reuse the cache of request 2: model_changed")

    def test_reasoning_that_came_with_the_answer_is_missed(self) -> None:
        """From the first follow-up on, which two bodies cannot show."""
        told = {"index": 0, "message": {**assistant("1"), "reasoning_content": "Hm."}, "finish_reason": "stop"}
        transport = httpx.MockTransport(lambda _: httpx.Response(200, json={"id": "r", "choices": [told]}))
        assert_cache_stable(FIRST, SECOND)
        with Recording().running() as recording, httpx.Client(transport=transport) as answering:
            post(answering, FIRST)
            post(answering, SECOND)
            (complaint,) = recording.complaints()
        assert "reasoning_dropped at messages[1]" in complaint

    def test_a_compaction_is_no_failure(self, client: httpx.Client) -> None:
        """It breaks the cache by design."""
        long = [message for place in range(6) for message in (user(f"Question {place}? " * 9), assistant("Yes. " * 20))]
        with Recording().running() as recording:
            post(client, body(*long, user("More?")))
            post(client, body(user("In short: yes."), assistant("Good."), user("Still more?")))
            assert recording.complaints() == []

    def test_failed_requests_and_retries_break_nothing(self, client: httpx.Client) -> None:
        """What got no answer is in no cache, and who sends it again loses nothing."""
        with Recording().running() as recording:
            post(client, body(user("fail")))
            post(client, FIRST)
            post(client, FIRST)
            post(client, SECOND)
            assert recording.complaints() == []
        assert len(recording.requests) == 4

    def test_streams_count_too(self, client: httpx.Client) -> None:
        """Also those that the test does not read to the end."""
        with Recording().running() as recording:
            for content in (FIRST, {**SECOND, "messages": [user("1?"), *SECOND["messages"][1:]]}):
                request = client.build_request(
                    "POST", "https://api.x.ai/v1/chat/completions", headers={"x-grok-conv-id": "c"},
                    content=json.dumps({**content, "stream": True}, separators=(",", ":")),
                )  # fmt: skip
                client.send(request, stream=True).close()
            (complaint,) = recording.complaints()
        assert "history_edited at messages[0]" in complaint

    def test_only_hosts_of_the_api_are_watched(self, client: httpx.Client) -> None:
        """xAI's own, and those that are named."""
        with Recording(("gateway",)).running() as recording:
            for host in ("gateway", "elsewhere", "eu-west-1.api.x.ai"):
                post(client, FIRST, host=host)
            client.get("https://api.x.ai/v1/models")
        assert [request.host for request in recording.requests] == ["gateway", "eu-west-1.api.x.ai"]

    def test_the_libraries_are_as_before_afterwards(self, client: httpx.Client) -> None:
        """Nothing stays patched, and nothing is recorded any more."""
        originals = (httpx.Client.send, httpx.AsyncClient.send)
        with Recording().running() as recording:
            assert (httpx.Client.send, httpx.AsyncClient.send) != originals
        assert (httpx.Client.send, httpx.AsyncClient.send) == originals
        post(client, FIRST)
        assert recording.requests == []
        assert instrumentor._instrumentation.observer is None

    def test_the_request_is_sent_as_it_is(self) -> None:
        """No header is added, and the body is the application's."""
        seen: list[httpx.Request] = []

        def answer(request: httpx.Request) -> httpx.Response:
            seen.append(request)
            return answered(request)

        with httpx.Client(transport=httpx.MockTransport(answer)) as plain:
            post(plain, FIRST)
            with Recording().running():
                post(plain, FIRST)
        assert seen[0].content == seen[1].content
        assert seen[0].headers.raw == seen[1].headers.raw


class TestBesideTheInstrumentation:
    """The fixture and telemetry do not disturb each other."""

    def test_both_see_every_request(self, instrument: Any, client: httpx.Client) -> None:
        """Spans are recorded as ever, and hosts of the one are not those of the other."""
        telemetry = instrument(hosts="mine")
        with Recording(("theirs",)).running() as recording:
            for host in ("api.x.ai", "mine", "theirs", "nobodys"):
                post(client, FIRST, host, host)
            post(client, SECOND, "other")
            (complaint,) = recording.complaints()
        assert "conversation_id_changed" in complaint
        assert [request.host for request in recording.requests] == ["api.x.ai", "theirs", "api.x.ai"]
        assert [span.attributes["server.address"] for span in telemetry.spans] == ["api.x.ai", "mine", "api.x.ai"]
        assert telemetry.total("xai.client.cache.requests") == 3
        post(client, THIRD)
        assert len(telemetry.spans) == 4
        assert len(recording.requests) == 3

    def test_it_may_be_switched_meanwhile(self, instrument: Any, client: httpx.Client) -> None:
        """A test that switches the instrumentation on and off is watched throughout."""
        original = httpx.Client.send
        with Recording().running() as recording:
            post(client, FIRST)
            telemetry = instrument()
            post(client, SECOND)
            instrumentor.XAIInstrumentor().uninstrument()
            post(client, THIRD)
            recording.check()
        assert len(recording.requests) == 3
        assert len(telemetry.spans) == 1
        assert httpx.Client.send is original

    def test_a_layer_below_is_the_same_request(self, instrument: Any) -> None:
        """A transport that sends by a client of its own does not count twice, with and without telemetry."""
        inner = httpx.Client(transport=httpx.MockTransport(answered))

        class Layered(httpx.BaseTransport):
            def handle_request(self, request: httpx.Request) -> httpx.Response:
                return inner.send(inner.build_request("POST", request.url, content=request.read()))

        with Recording().running() as recording, httpx.Client(transport=Layered()) as outer:
            post(outer, FIRST)
            instrument()
            post(outer, SECOND)
        assert len(recording.requests) == 2


TESTS = """
import asyncio
import httpx, pytest

def answer(request):
    choice = {"index": 0, "message": {"role": "assistant", "content": "1"}, "finish_reason": "stop"}
    return httpx.Response(200, json={"id": "r", "choices": [choice]})

def conversation(*changes, host="api.x.ai"):
    messages = [{"role": "user", "content": "One?"}]
    with httpx.Client(transport=httpx.MockTransport(answer)) as client:
        for change in ({}, *changes):
            body = {"model": "grok-4.7", "messages": messages, **change}
            client.post(f"https://{host}/v1/chat/completions", json=body, headers={"x-grok-conv-id": "c"})
            messages = [*messages, {"role": "assistant", "content": "1"}, {"role": "user", "content": "Next?"}]

def test_stable(xai_cache_stable):
    conversation({}, {})
    assert len(xai_cache_stable.requests) == 3

def test_broken(xai_cache_stable):
    conversation({}, {"model": "grok-4.3"})

def test_broken_and_unwatched():
    conversation({"model": "grok-4.3"})

def test_broken_and_expected(xai_cache_stable):
    conversation({"model": "grok-4.3"})
    with pytest.raises(AssertionError, match="model_changed"):
        xai_cache_stable.check()

def test_fails_by_itself(xai_cache_stable):
    conversation({"model": "grok-4.3"})
    assert not "its own failure"

def test_other_host(xai_cache_stable):
    conversation({"model": "grok-4.3"}, host="gateway")

@pytest.mark.xai_hosts("gateway")
def test_named_host(xai_cache_stable):
    conversation({"model": "grok-4.3"}, host="gateway")

def test_asynchronous(xai_cache_stable):
    async def send():
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
            messages = [{"role": "user", "content": "One?"}]
            for model in ("grok-4.7", "grok-4.3"):
                body = {"model": model, "messages": messages}
                await client.post("https://api.x.ai/v1/chat/completions", json=body, headers={"x-grok-conv-id": "c"})
                messages = [*messages, {"role": "assistant", "content": "1"}, {"role": "user", "content": "Next?"}]
    asyncio.run(send())
"""


def run_pytest(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the tests above as a user would: the plugin is found by its entry point."""
    (folder / "test_application.py").write_text(textwrap.dedent(TESTS))
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA", "--strict-markers", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "PYTEST_"))},
    )


class TestPlugin:
    """The fixture as pytest runs it."""

    def test_the_tests_that_break_the_cache_fail(self, tmp_path: Path) -> None:
        """They fail, which is no error at teardown; who asked for nothing is not watched."""
        output = run_pytest(tmp_path).stdout
        results = {
            line.split("::")[1].split()[0]: line.split()[0]
            for line in output.splitlines()
            if " test_application.py::" in line
        }
        failed = {"test_broken", "test_fails_by_itself", "test_named_host", "test_asynchronous"}
        assert {name for name, result in results.items() if result == "FAILED"} == failed
        assert len(results) == 8
        assert "ERROR" not in output
        assert "request 3 would not reuse the cache of request 2: model_changed at model" in output
        assert "its own failure" in output
        assert "recording.py" not in output

    def test_fixture_and_marker_are_explained(self, tmp_path: Path) -> None:
        """By pytest's own lists."""
        assert "xai_cache_stable" in run_pytest(tmp_path, "--fixtures").stdout
        assert "@pytest.mark.xai_hosts(*hosts)" in run_pytest(tmp_path, "--markers").stdout

    def test_pytest_starts_without_the_package(self) -> None:
        """The plugin alone is imported in every run, and neither our package nor OpenTelemetry."""
        script = f"import sys, pytest; before = set(sys.modules); import {PLUGIN}; print(set(sys.modules) - before)"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
        assert done.stdout.strip() == repr({PLUGIN})

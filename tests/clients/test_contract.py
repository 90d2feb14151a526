"""What every client library's calls look like in telemetry, however they go: one span each, right in every attribute.

Each promise stands here once and is kept for every driver, over real sockets, against the faithful server.
"""

import json
import socket
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from clients.drivers import DRIVERS, Call
from conftest import Telemetry

ENDPOINTS = ("chat", "responses", "messages")
PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}
SYSTEM = "You are a patient teacher of geography. " * 40
QUESTION = "Which river is the longest, and why do people disagree about it?"

both = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
every_endpoint = pytest.mark.parametrize("endpoint", ENDPOINTS)
every_driver = pytest.mark.parametrize("driver", DRIVERS, ids=lambda driver: driver.name)


def body_of(endpoint: str, *, streamed: bool) -> dict[str, Any]:
    """A request of the endpoint."""
    body: dict[str, Any] = {"model": "grok-4.7", "temperature": 0.25, "top_p": 0.5}
    if endpoint == "chat":
        body |= {
            "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}],
            "max_completion_tokens": 500,
        }
        if streamed:
            body["stream_options"] = {"include_usage": True}
    elif endpoint == "responses":
        body |= {"instructions": SYSTEM, "input": QUESTION, "max_output_tokens": 500}
    else:
        body |= {"system": SYSTEM, "messages": [{"role": "user", "content": QUESTION}], "max_tokens": 500}
    return body | ({"stream": True} if streamed else {})


@pytest.fixture
def make(server: Any) -> Any:
    """A function that makes a call to the server, with a conversation of its own."""

    def call(endpoint: str, *, streamed: bool = False, trouble: str = "", timeout: float = 5.0, **more: Any) -> Call:
        headers = {"x-grok-conv-id": f"conversation-{uuid.uuid4()}"}
        if trouble:
            headers["x-trouble"] = trouble
        return Call(server.url, PATHS[endpoint], body_of(endpoint, streamed=streamed) | more, headers, timeout)

    return call


def documents(raw: bytes) -> Iterator[dict[str, Any]]:
    """The JSON documents of a body, streamed or not: a second, plain reading of the wire to compare ours with."""
    if raw.lstrip().startswith(b"{"):
        yield json.loads(raw)
        return
    for line in raw.splitlines():
        if line.startswith(b"data: {"):
            yield json.loads(line[6:])


def finish_of(endpoint: str) -> tuple[str, ...]:
    """How the endpoint says that an answer is whole."""
    return ({"chat": "stop", "responses": "completed", "messages": "end_turn"}[endpoint],)


def usage_in(pieces: list[Any]) -> dict[str, Any]:
    """The counts that the application saw, as sent, later ones over earlier ones."""
    counts: dict[str, Any] = {}
    for piece in pieces:
        for holder in (piece, piece.get("response"), piece.get("message")):
            if isinstance(holder, dict) and isinstance(holder.get("usage"), dict):
                counts.update({name: value for name, value in holder["usage"].items() if value is not None})
    return counts


def normalised(endpoint: str, counts: dict[str, Any]) -> dict[str, Any]:
    """The same counts as the conventions count, by hand."""
    if endpoint == "chat":
        reasoning = counts["completion_tokens_details"]["reasoning_tokens"]
        return {
            "gen_ai.usage.input_tokens": counts["prompt_tokens"],
            "gen_ai.usage.output_tokens": counts["completion_tokens"] + reasoning,
            "gen_ai.usage.cache_read.input_tokens": counts["prompt_tokens_details"]["cached_tokens"],
            "gen_ai.usage.reasoning.output_tokens": reasoning,
            "xai.response.cost_usd": pytest.approx(counts["cost_in_usd_ticks"] / 1e10),
        }
    if endpoint == "responses":
        return {
            "gen_ai.usage.input_tokens": counts["input_tokens"],
            "gen_ai.usage.output_tokens": counts["output_tokens"],
            "gen_ai.usage.cache_read.input_tokens": counts["input_tokens_details"]["cached_tokens"],
            "gen_ai.usage.reasoning.output_tokens": counts["output_tokens_details"]["reasoning_tokens"],
            "xai.response.cost_usd": pytest.approx(counts["cost_in_usd_ticks"] / 1e10),
        }
    return {
        "gen_ai.usage.input_tokens": counts["input_tokens"] + counts["cache_read_input_tokens"],
        "gen_ai.usage.output_tokens": counts["output_tokens"],
        "gen_ai.usage.cache_read.input_tokens": counts["cache_read_input_tokens"],
    }


@every_driver
@every_endpoint
@both
def test_a_complete_call_is_one_span_right_in_every_attribute(
    driver: Any, endpoint: str, streamed: bool, make: Any, server: Any, observed: Telemetry
) -> None:
    """A call that goes well gives one CLIENT span with request, answer, usage and timing, and nothing else."""
    call = make(endpoint, streamed=streamed)
    seen = driver.read(call)
    assert seen.error is None
    assert seen.pieces
    span, attributes = observed.span, observed.attributes()
    assert (span.name, span.kind, span.status.status_code) == ("chat grok-4.7", SpanKind.CLIENT, StatusCode.UNSET)
    pieces = list(documents(seen.raw)) if isinstance(seen.pieces[0], bytes) else seen.pieces
    timed = {
        name: attributes.pop(name)
        for name in list(attributes)
        if "time_to_first" in name or name in ("gen_ai.response.id", "xai.request.id")
    }
    port = int(server.url.rpartition(":")[2])
    assert attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "x_ai",
        "gen_ai.request.model": "grok-4.7",
        "gen_ai.request.temperature": 0.25,
        "gen_ai.request.top_p": 0.5,
        "gen_ai.request.max_tokens": 500,
        "gen_ai.response.model": "grok-4.7",
        "gen_ai.response.finish_reasons": finish_of(endpoint),
        "gen_ai.conversation.id": call.headers["x-grok-conv-id"],
        "xai.conversation.id.source": "header",
        "server.address": "127.0.0.1",
        "server.port": port,
        "http.response.status_code": 200,
        **normalised(endpoint, usage_in(pieces)),
        **({"gen_ai.request.stream": True} if streamed else {}),
        "xai.cache.outcome": "not_applicable",
        "xai.cache.reason": "first_request",
        "xai.cache.cause": "expected",
        "xai.cache.confidence": "certain",
        "xai.cache.potential_tokens": 0,
        "xai.cache.lost_tokens": 0,
    }
    assert timed.pop("gen_ai.response.id")
    assert timed.pop("xai.request.id")
    if streamed:
        assert set(timed) == {
            "gen_ai.response.time_to_first_chunk",
            "xai.response.time_to_first_token",
            "xai.response.time_to_first_answer_token",
        }
        chunk, token, answer = (
            timed[name] for name in sorted(timed, key=lambda name: ("chunk" not in name, "answer" in name))
        )
        assert span.end_time is not None
        assert span.start_time is not None
        assert 0 < chunk <= token <= answer <= (span.end_time - span.start_time) / 1e9 + 1e-9
    else:
        assert set(timed) == {"xai.server.time_to_first_token"}


@every_driver
@every_endpoint
def test_cached_tokens_are_the_ones_that_xai_reports(
    driver: Any, endpoint: str, make: Any, observed: Telemetry
) -> None:
    """The same prompt twice in one conversation: 0 cached tokens are a value, and the second call has many."""
    call = make(endpoint, streamed=True, **({} if endpoint != "responses" else {"store": False}))
    call.body["model"] = f"grok-4.7-{uuid.uuid4()}"  # a cache of its own
    driver.read(call)
    driver.read(call)
    first, second = (dict(span.attributes or {})["gen_ai.usage.cache_read.input_tokens"] for span in observed.spans)
    assert first == 0
    assert second > 300
    assert observed.total("gen_ai.client.inference.usage.cache_read.input_tokens") == second


@every_driver
@every_endpoint
@pytest.mark.parametrize("close", [True, False], ids=["closed", "forgotten"])
def test_a_stream_that_is_broken_off_ends_its_span_unset(
    driver: Any, endpoint: str, close: bool, make: Any, observed: Telemetry
) -> None:
    """Closing a stream early, or forgetting it, is the application's right: no error, finish reason ``error``."""
    call = make(endpoint, streamed=True, trouble="events=400")
    seen = driver.leave(call, 2, close=close)
    assert seen.error is None
    attributes = observed.attributes()
    assert observed.span.status.status_code is StatusCode.UNSET
    assert attributes["gen_ai.response.finish_reasons"] == ("error",)
    assert "error.type" not in attributes
    assert "gen_ai.usage.input_tokens" not in attributes or endpoint == "messages"


@every_driver
@every_endpoint
def test_a_stream_that_the_server_cuts_is_an_interrupted_one(
    driver: Any, endpoint: str, make: Any, observed: Telemetry
) -> None:
    """A connection that ends in mid-stream is an ERROR of its own type, and the application gets its exception."""
    seen = driver.read(make(endpoint, streamed=True, trouble="cut=5"))
    assert seen.error is not None
    attributes = observed.attributes()
    assert observed.span.status.status_code is StatusCode.ERROR
    assert attributes["error.type"] == "stream_interrupted"
    assert attributes["gen_ai.response.finish_reasons"] == ("error",)


@every_driver
@every_endpoint
def test_a_body_that_the_server_cuts_is_an_interrupted_one(
    driver: Any, endpoint: str, make: Any, observed: Telemetry
) -> None:
    """The same for an answer that is not streamed."""
    seen = driver.read(make(endpoint, trouble="cut"))
    assert (seen.error is not None) is getattr(driver, "notices_cuts", True)
    assert observed.attributes()["error.type"] == "stream_interrupted"
    assert observed.attributes()["gen_ai.response.finish_reasons"] == ("error",)


@pytest.mark.combinations
@every_driver
@every_endpoint
@both
@pytest.mark.parametrize("status", [400, 401, 429, 500])
def test_an_http_error_is_named_by_its_status(
    driver: Any, endpoint: str, streamed: bool, status: int, make: Any, observed: Telemetry
) -> None:
    """HTTP 4xx and 5xx: ERROR, the status code as type, no finish reason."""
    seen = driver.read(make(endpoint, streamed=streamed, trouble=f"status={status}"))
    assert (seen.error is not None) is driver.name.startswith("openai")
    attributes = observed.attributes()
    assert observed.span.status.status_code is StatusCode.ERROR
    assert attributes["error.type"] == str(status)
    assert attributes["http.response.status_code"] == status
    assert "gen_ai.response.finish_reasons" not in attributes
    assert {point.attributes["error.type"] for point in observed.metrics()["gen_ai.client.operation.duration"]} == {
        str(status)
    }


@every_driver
@every_endpoint
@pytest.mark.parametrize("form", ["flat", "nested", "failed"])
def test_an_error_event_in_mid_stream_is_an_error(
    driver: Any, endpoint: str, form: str, make: Any, observed: Telemetry
) -> None:
    """An error told by the stream itself, under HTTP 200, is an ERROR."""
    if form == "failed" and endpoint != "responses":
        pytest.skip("only Responses has response.failed")
    driver.read(make(endpoint, streamed=True, trouble=f"error_event={form}"))
    attributes = observed.attributes()
    assert observed.span.status.status_code is StatusCode.ERROR
    assert attributes["error.type"] == "error_event"
    assert attributes["http.response.status_code"] == 200
    assert attributes["gen_ai.response.finish_reasons"] == ("error",)


@every_driver
@pytest.mark.parametrize(
    ("trouble", "finish"), [("stall", None), ("stall_after=3", ("error",))], ids=["headers", "body"]
)
def test_a_timeout_is_a_timeout(driver: Any, trouble: str, finish: Any, make: Any, observed: Telemetry) -> None:
    """Waiting too long, for the headers or in mid-stream, is an ERROR of type ``timeout``."""
    seen = driver.read(make("chat", streamed=True, trouble=trouble, timeout=0.3))
    assert seen.error is not None
    attributes = observed.attributes()
    assert observed.span.status.status_code is StatusCode.ERROR
    assert attributes["error.type"] == "timeout"
    assert attributes.get("gen_ai.response.finish_reasons") == finish


@pytest.mark.parametrize(
    "driver", [driver for driver in DRIVERS if driver.asynchronous], ids=lambda driver: driver.name
)
@pytest.mark.parametrize("trouble", ["stall", "stall_after=3"], ids=["sending", "body"])
def test_a_cancelled_task_is_no_error(driver: Any, trouble: str, make: Any, observed: Telemetry) -> None:
    """Cancelling the task ends the span at once, unset."""
    import asyncio

    seen = driver.cancel(make("chat", streamed=True, trouble=trouble, timeout=60.0), 0.3)
    assert isinstance(seen.error, asyncio.CancelledError)
    attributes = observed.attributes()
    assert observed.span.status.status_code is StatusCode.UNSET
    assert attributes["gen_ai.response.finish_reasons"] == ("error",)
    assert "error.type" not in attributes


@every_driver
def test_a_server_that_is_not_there_is_named_by_the_exception(driver: Any, observed: Telemetry) -> None:
    """A failure to connect is an ERROR named by the client library's exception, without a finish reason."""
    with socket.create_server(("127.0.0.1", 0)) as closed_soon:
        port = closed_soon.getsockname()[1]
    seen = driver.read(Call(f"http://127.0.0.1:{port}", PATHS["chat"], body_of("chat", streamed=False)))
    assert seen.error is not None
    attributes = observed.attributes()
    wrapped = type(seen.error).__module__.startswith("openai")  # the SDK wraps what its client raised
    raised = type(seen.error.__cause__ if wrapped else seen.error)
    assert raised.__module__.partition(".")[0] in ("httpx", "httpx2", *driver.needs)
    timed_out = "Timeout" in raised.__name__  # as openai's aiohttp transport calls it
    assert attributes["error.type"] == ("timeout" if timed_out else f"{raised.__module__}.{raised.__qualname__}")
    assert "gen_ai.response.finish_reasons" not in attributes


@pytest.mark.combinations
@every_driver
@every_endpoint
def test_the_first_token_is_the_first_that_is_not_empty(driver: Any, endpoint: str, make: Any, instrument: Any) -> None:
    """An empty event at 50 ms, reasoning from 200 ms, the answer from 400 ms: three different figures."""
    driver.read(make(endpoint, streamed=True))  # SDKs build their types at the first use, which takes long
    observed: Telemetry = instrument()
    driver.read(make(endpoint, streamed=True, trouble="empty_at=50, reasoning_at=200, answer_at=400"))
    attributes = observed.attributes()
    chunk = attributes["gen_ai.response.time_to_first_chunk"]
    token = attributes["xai.response.time_to_first_token"]
    answer = attributes["xai.response.time_to_first_answer_token"]
    assert (chunk >= 0.045, token >= 0.195, answer >= 0.395) == (True, True, True)
    assert token - chunk > 0.075  # 0.15 on an idle machine
    assert answer - token > 0.1  # 0.2
    kinds = {
        point.attributes["xai.token.kind"]: point.total
        for point in observed.metrics()["xai.client.time_to_first_token"]
    }
    assert kinds == {
        "reasoning": pytest.approx(attributes["xai.response.time_to_first_token"]),
        "answer": pytest.approx(attributes["xai.response.time_to_first_answer_token"]),
    }


@pytest.mark.combinations
@every_driver
@every_endpoint
@both
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_a_compressed_answer_tells_the_same(
    driver: Any, endpoint: str, streamed: bool, coding: str, make: Any, observed: Telemetry
) -> None:
    """Whatever the client library can decompress, we can read."""
    pytest.importorskip({"br": "brotli", "zstd": "zstandard"}.get(coding, "zlib"))
    if coding not in _codings_of(driver):
        pytest.skip("the client library has no such decoder")
    seen = driver.read(make(endpoint, streamed=streamed, trouble=f"encoding={coding}"))
    assert seen.error is None
    assert observed.attributes()["gen_ai.usage.input_tokens"] > 300
    assert observed.attributes()["gen_ai.response.finish_reasons"] == finish_of(endpoint)


def _codings_of(driver: Any) -> str:
    """What the driver's library says that it accepts."""
    if hasattr(driver, "codings"):
        return str(driver.codings)
    if driver.name == "openai-aiohttp":
        return "gzip, deflate"
    try:
        import httpx2 as library
    except ImportError:
        import httpx as library  # type: ignore[no-redef]
    with library.Client() as client:
        return str(client.headers["accept-encoding"])


@every_driver
def test_an_sdk_retry_is_a_further_span(driver: Any, make: Any, observed: Telemetry) -> None:
    """Each attempt is an exchange; a further one carries its ordinal."""
    for attempt in range(3):
        call = make("chat", trouble="status=503, recovers=2")
        call.headers["x-stainless-retry-count"] = str(attempt)
        driver.read(call)
    assert [
        (dict(span.attributes or {}).get("http.request.resend_count"), dict(span.attributes or {}).get("error.type"))
        for span in observed.spans
    ] == [(None, "503"), (1, "503"), (2, None)]


@every_driver
def test_span_and_histogram_use_the_same_instants(driver: Any, make: Any, observed: Telemetry) -> None:
    """The duration metric is the span's duration, to the nanosecond."""
    driver.read(make("chat", streamed=True))
    (point,) = observed.metrics()["gen_ai.client.operation.duration"]
    assert point.total == pytest.approx((observed.span.end_time - observed.span.start_time) / 1e9, abs=1e-9)


@pytest.mark.parametrize(
    "driver", [driver for driver in DRIVERS if not driver.asynchronous], ids=lambda driver: driver.name
)
@every_endpoint
def test_the_span_ends_with_the_terminal_event_not_with_the_connection(
    driver: Any, endpoint: str, make: Any, observed: Telemetry
) -> None:
    """What an application does after the stream's last event is none of the span's time."""
    if not hasattr(driver, "lines"):
        pytest.skip("the SDK closes a stream by itself")
    ended: list[bool] = []
    lines = driver.lines(make(endpoint, streamed=True))
    for line in lines:
        if any(mark in line for mark in ("[DONE]", '"response.completed"', '"message_stop"')):
            ended.append(bool(observed.spans))
            time.sleep(0.05)
            break
    lines.close()
    assert ended == [True]
    assert len(observed.spans) == 1

"""Nothing secret leaves: whatever is in keys, cookies, URLs, prompts and answers is in no span, metric, log line or repr."""

import gc
import json
import logging
import string
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import Telemetry, examples
from opentelemetry.instrumentation.xai import XAIInstrumentor
from opentelemetry.instrumentation.xai.settings import Settings

httpx = pytest.importorskip("httpx")

canary = st.text(string.ascii_letters, min_size=12, max_size=24).map(lambda text: f"canary{text}")


def _events(endpoint: str, secret: str, *, error: bool) -> list[dict[str, Any]]:
    if endpoint == "responses":
        response = {
            "id": "r", "model": "m", "status": "completed", "instructions": secret, "user": secret,
            "output": [{"type": "message", "content": [{"type": "output_text", "text": secret}]}],
            "metadata": {secret: secret}, "usage": {"input_tokens": 3, "output_tokens": 2, secret: secret},
        }  # fmt: skip
        return [
            {"type": "response.created", "response": {**response, "usage": None}},
            {"type": "response.output_text.delta", "delta": secret},
            {"type": "response.failed" if error else "response.completed", "response": response},
        ]
    if endpoint == "messages":
        return [
            {"type": "message_start", "message": {"id": "r", "model": "m", "usage": {"input_tokens": 3}, "x": secret}},
            {"type": "content_block_delta", "delta": {"type": "text_delta", "text": secret}},
            {"type": "error", "error": {"message": secret}} if error else {"type": "message_stop"},
        ]
    delta = {"content": secret, "reasoning_content": secret, "tool_calls": [{"function": {"arguments": secret}}]}
    return [
        {"id": "r", "model": "m", "choices": [{"index": 0, "delta": delta}]},
        {"code": secret, "error": secret} if error else {"choices": [], "usage": {"prompt_tokens": 3, secret: secret}},
    ]


def _body(endpoint: str, secret: str) -> dict[str, Any]:
    turns = [
        {"role": "system", "content": secret},
        {"role": "assistant", "content": secret, "reasoning_content": secret},
    ]
    return {
        "model": "grok-4.7",
        "input" if endpoint == "responses" else "messages": turns,
        "instructions": secret,
        "system": secret,
        "user": secret,
        "safety_identifier": secret,
        "metadata": {"k": secret},
        "tools": [{"type": "function", "function": {"name": secret, "description": secret}}],
        "tool_choice": secret,
        "response_format": {"type": "json_schema", "json_schema": {"name": secret}},
        "stream": True,
    }


@given(
    secret=canary,
    endpoint=st.sampled_from(["chat/completions", "responses", "messages"]),
    status=st.sampled_from([200, 200, 400, 500]),
    streamed=st.booleans(),
    error=st.booleans(),
    damaged=st.booleans(),
    mode=st.sampled_from(["plain", "hashed", "off"]),
)
@settings(max_examples=examples(120), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_canary_ever_leaves(
    secret: str,
    endpoint: str,
    status: int,
    streamed: bool,
    error: bool,
    damaged: bool,
    mode: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A canary in every place where secrets are, and not a trace of it in anything that we export, log or represent."""
    caplog.set_level(logging.DEBUG)
    caplog.clear()
    telemetry = Telemetry()
    events = _events(endpoint, secret, error=error)
    if streamed:
        content = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    else:
        content = json.dumps(events[-1].get("response", events[-1])).encode()
    if damaged:
        content = content[:-7]
    headers = {
        "content-type": "text/event-stream" if streamed else "application/json",
        "set-cookie": f"session={secret}",
        "x-other": secret,
    }
    kept: list[Any] = []

    def handle(_request: Any) -> Any:
        kept.extend(
            thing
            for thing in gc.get_objects()
            if str(type(thing).__module__).startswith("opentelemetry.instrumentation.xai.")
        )
        return httpx.Response(status, headers=headers, content=iter([content]))

    XAIInstrumentor().instrument(
        tracer_provider=telemetry.tracer_provider,
        meter_provider=telemetry.meter_provider,
        conversation_id=mode,
        key=secret,
    )
    try:
        with httpx.Client(
            transport=httpx.MockTransport(handle),
            headers={"authorization": f"Bearer {secret}", "x-api-key": secret, "x-goog": secret},
            cookies={"session": secret},
        ) as client:
            for turn in range(2):  # the second is compared with the first
                body = {**_body(endpoint, secret), "tools": [{"name": secret, "turn": turn}]}
                client.post(f"https://user:{secret}@api.x.ai/v1/{endpoint}?token={secret}", json=body)
    finally:
        XAIInstrumentor().uninstrument()
    ours = [record for record in caplog.records if record.name.startswith("opentelemetry")]
    spans = [span.to_json() for span in telemetry.exporter.get_finished_spans()]
    metrics = repr(telemetry.metrics())
    telemetry.shutdown()
    assert len(spans) == 2
    exported = [*spans, metrics, *(record.getMessage() for record in ours), *map(repr, kept)]
    assert not [text for text in exported if secret in text]


def test_no_secret_shows_in_a_repr() -> None:
    """The settings hold the key of hashed ids, and show it to nobody."""
    assert "canary" not in repr(Settings.read({"key": "canary"}, {}))

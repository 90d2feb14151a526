"""A small exchange, whole and as a stream, for tests that look at what a client library makes of it."""

import gzip
import json
from typing import Any

from conftest import Telemetry

PATH = "/v1/chat/completions"
BODY = {"model": "grok-4.7", "messages": [{"role": "user", "content": "hi"}]}
STREAM = {**BODY, "stream": True}
ANSWER = {
    "id": "one",
    "model": "grok-4.7",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9},
}
DOCUMENT = json.dumps(ANSWER).encode()
EVENTS = [
    b'data: {"id":"one","model":"grok-4.7","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n',
    b'data: {"id":"one","model":"grok-4.7","choices":[{"index":0,"delta":{"content":"h\xc3\xa9"}}]}\n\n',
    b'data: {"id":"one","model":"grok-4.7","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
    b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}}\n\n',
    b"data: [DONE]\n\n",
]
WHOLE = b"".join(EVENTS)


def coded(coding: str) -> list[bytes]:
    """The stream's chunks in a content coding: plain, gzip or br; or what only says that it is gzip."""
    if coding == "plain":
        return EVENTS
    if coding == "br":
        import brotli

        return [brotli.compress(WHOLE)]
    return [gzip.compress(WHOLE) if coding == "gzip" else b"\x1f\x8b this is no gzip"]


def coding_header(coding: str) -> str:
    """The header line that says so."""
    return "" if coding == "plain" else f"content-encoding: {'br' if coding == 'br' else 'gzip'}\r\n"


def complete(telemetry: Telemetry, count: int = 1) -> bool:
    """Whether there are just so many spans, and each has seen the whole of the exchange."""
    return [
        (attributes.get("gen_ai.response.finish_reasons"), attributes.get("gen_ai.usage.input_tokens"))
        for attributes in (dict(span.attributes or {}) for span in telemetry.spans)
    ] == [(("stop",), 7)] * count


def of_other(telemetry: Telemetry, scope: str) -> list[Any]:
    """The spans of another instrumentation."""
    return [
        span
        for span in telemetry.exporter.get_finished_spans()
        if span.instrumentation_scope is not None and span.instrumentation_scope.name == scope
    ]

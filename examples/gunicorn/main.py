"""A help desk as a WSGI application. It does not mention OpenTelemetry; README.md says how to switch telemetry on."""

import os
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

from openai import OpenAI

RULES = "You are the help desk of a bicycle shop. Be brief, friendly and exact. " * 120  # long enough to be cached


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer ``/?customer=…&question=…``. All questions of a customer share a conversation id."""
    asked = parse_qs(environ["QUERY_STRING"])
    with OpenAI(
        base_url=os.environ.get("XAI_BASE_URL", "https://api.x.ai/v1"), api_key=os.environ["XAI_API_KEY"]
    ) as client:  # made in the worker: connections do not survive a fork
        completion = client.chat.completions.create(
            model=os.environ.get("XAI_MODEL", "grok-4.7"),
            messages=[
                {"role": "system", "content": RULES},
                {"role": "user", "content": asked.get("question", ["Are you open?"])[0]},
            ],
            extra_headers={"x-grok-conv-id": asked.get("customer", ["somebody"])[0]},
        )
    start_response("200 OK", [("content-type", "text/plain; charset=utf-8")])
    return [(completion.choices[0].message.content or "").encode()]

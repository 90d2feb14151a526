"""A help desk behind FastAPI. It does not mention OpenTelemetry; README.md says how to switch telemetry on."""

import os
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from openai import AsyncOpenAI

RULES = "You are the help desk of a bicycle shop. Be brief, friendly and exact. " * 120  # long enough to be cached

app = FastAPI()
client = AsyncOpenAI(
    base_url=os.environ.get("XAI_BASE_URL", "https://api.x.ai/v1"), api_key=os.environ.get("XAI_API_KEY", "")
)


@app.get("/{customer}/ask")  # type: ignore[untyped-decorator, unused-ignore]
async def ask(customer: str, question: str) -> StreamingResponse:
    """Stream an answer. All questions of a customer share a conversation id, and so a server's cache."""
    stream = await client.chat.completions.create(
        model=os.environ.get("XAI_MODEL", "grok-4.7"),
        messages=[{"role": "system", "content": RULES}, {"role": "user", "content": question}],
        extra_headers={"x-grok-conv-id": customer},
        stream=True,
        stream_options={"include_usage": True},
    )

    async def text() -> AsyncIterator[str]:
        async for chunk in stream:
            if chunk.choices:
                yield chunk.choices[0].delta.content or ""

    return StreamingResponse(text(), media_type="text/plain")

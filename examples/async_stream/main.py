"""Three streamed conversations at once with ``AsyncOpenAI``, inside a span of the application's own.

Each call's span finds its parent, although the calls take turns on one event loop.
"""

import asyncio
import os
from collections.abc import Sequence
from typing import Any

from openai import AsyncOpenAI
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from opentelemetry import trace
from opentelemetry.instrumentation.xai import XAIInstrumentor

RULES = "You are the help desk of a bicycle shop. Be brief, friendly and exact. " * 120  # long enough to be cached
QUESTIONS = {
    "ada": ("My chain skips. Why?", "What does a new one cost?"),
    "ben": ("Can I hire two bicycles?", "And a trailer?"),
    "cleo": ("My brakes squeal. Why?", "Which pads are quiet?"),
}


async def converse(client: AsyncOpenAI, name: str, questions: Sequence[str]) -> None:
    """Ask one question after the other, and read the answers as they come."""
    turns: list[Any] = [{"role": "system", "content": RULES}]
    for question in questions:
        turns.append({"role": "user", "content": question})
        stream = await client.chat.completions.create(
            model=os.environ.get("XAI_MODEL", "grok-4.7"),
            messages=turns,
            stream=True,
            stream_options={"include_usage": True},  # without it xAI does not say what was cached
            extra_headers={"x-grok-conv-id": f"{name}-today"},
        )
        answer = {"role": "assistant", "reasoning_content": "", "content": ""}
        async for chunk in stream:
            for choice in chunk.choices:
                answer["reasoning_content"] += getattr(choice.delta, "reasoning_content", None) or ""
                answer["content"] += choice.delta.content or ""
        turns.append(answer)


async def serve(tracer: trace.Tracer) -> None:
    """Serve all three at the same time."""
    base_url = os.environ.get("XAI_BASE_URL", "https://api.x.ai/v1")
    async with AsyncOpenAI(base_url=base_url, api_key=os.environ["XAI_API_KEY"]) as client:
        with tracer.start_as_current_span("help desk"):
            await asyncio.gather(*(converse(client, name, asked) for name, asked in QUESTIONS.items()))


def main() -> None:
    """Set up, serve, flush."""
    tracer_provider = TracerProvider()
    tracer_provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
    XAIInstrumentor().instrument(tracer_provider=tracer_provider)
    asyncio.run(serve(tracer_provider.get_tracer("help-desk")))
    tracer_provider.shutdown()


if __name__ == "__main__":
    main()

"""Telemetry set up in code: the OpenTelemetry SDK, one line for xAI, and a conversation of two turns.

Spans and metrics go to the console; put your own exporters in their place.
"""

import os
from typing import Any

from openai import OpenAI
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from opentelemetry.instrumentation.xai import XAIInstrumentor

RULES = "You are the help desk of a bicycle shop. Be brief, friendly and exact. " * 120  # long enough to be cached


def converse(client: OpenAI, conversation_id: str) -> None:
    """Ask twice; the id leads both calls to the server that keeps the first prompt in its cache."""
    messages: list[Any] = [{"role": "system", "content": RULES}]
    for question in ("My chain skips. Why?", "And what does a new one cost?"):
        messages.append({"role": "user", "content": question})
        completion = client.chat.completions.create(
            model=os.environ.get("XAI_MODEL", "grok-4.7"),
            messages=messages,
            extra_headers={"x-grok-conv-id": conversation_id},
        )
        messages.append(completion.choices[0].message.model_dump(exclude_none=True))  # with its reasoning


def main() -> None:
    """Set up, converse, flush."""
    tracer_provider = TracerProvider()
    tracer_provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
    meter_provider = MeterProvider([PeriodicExportingMetricReader(ConsoleMetricExporter())])
    XAIInstrumentor().instrument(tracer_provider=tracer_provider, meter_provider=meter_provider)

    base_url = os.environ.get("XAI_BASE_URL", "https://api.x.ai/v1")
    converse(OpenAI(base_url=base_url, api_key=os.environ["XAI_API_KEY"]), "ada-gears")

    tracer_provider.shutdown()
    meter_provider.shutdown()  # collects once more, so that nothing is lost


if __name__ == "__main__":
    main()

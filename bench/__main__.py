"""``make bench``: the cost of a call, of a chunk of a stream, of a bystander's call and of the import.

Everything runs in memory, with a real SDK whose exporters drop what they get. Instrumented and uninstrumented rounds alternate and the
median of the paired differences is shown with its spread, since machines are noisy; for exact figures count instructions
(``valgrind --tool=callgrind``) instead of time.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from rich.console import Console
from rich.table import Table

from opentelemetry.instrumentation.xai import XAIInstrumentor
from opentelemetry.instrumentation.xai.exchange import Exchange
from opentelemetry.instrumentation.xai.observation import Ending, Request
from opentelemetry.instrumentation.xai.wire.routes import dialect_of

CHUNKS = 500
USAGE = {
    "prompt_tokens": 1200,
    "completion_tokens": 40,
    "total_tokens": 1240,
    "prompt_tokens_details": {"cached_tokens": 1024},
}
ANSWER = {
    "id": "one",
    "model": "grok-4.7",
    "choices": [{"index": 0, "message": {"content": "word " * 150}, "finish_reason": "stop"}],
    "usage": USAGE,
}
BODY = {"model": "grok-4.7", "messages": [{"role": "user", "content": "hi"}]}


def events() -> list[bytes]:
    """A chat stream of ``CHUNKS`` events."""
    texts = [
        {"id": "one", "model": "grok-4.7", "choices": [{"index": 0, "delta": {"content": f" w{n}"}}]}
        for n in range(CHUNKS - 1)
    ]
    last = {"choices": [], "usage": USAGE}
    return [b"data: " + json.dumps(event).encode() + b"\n\n" for event in [*texts, last]] + [b"data: [DONE]\n\n"]


class Nowhere(SpanExporter):
    """Drops spans."""

    def export(self, spans: Any) -> SpanExportResult:  # noqa: ARG002
        """Drop."""
        return SpanExportResult.SUCCESS


def library() -> ModuleType:
    """httpx2, or httpx where that is what there is."""
    try:
        import httpx2

        return httpx2
    except ImportError:
        import httpx

        return httpx


def calls(lib: Any) -> Iterator[tuple[str, int, Callable[[], Any]]]:
    """What is timed: its name, by what to divide, and how to do it once."""
    body = json.dumps(ANSWER).encode()
    stream = events()

    def handle(request: Any) -> Any:
        if request.url.path == "/stream/chat/completions":
            return lib.Response(200, headers={"content-type": "text/event-stream"}, content=iter(stream))
        return lib.Response(200, headers={"content-type": "application/json"}, content=iter([body]))

    client = lib.Client(transport=lib.MockTransport(handle))
    yield "a call, 1 KB answer", 1, lambda: client.post("https://api.x.ai/v1/chat/completions", json=BODY)
    yield (
        f"a streamed call, {CHUNKS} chunks",
        1,
        lambda: client.post("https://api.x.ai/stream/chat/completions", json={**BODY, "stream": True}),
    )
    yield (
        "of that, one chunk",
        CHUNKS,
        lambda: client.post("https://api.x.ai/stream/chat/completions", json={**BODY, "stream": True}),
    )
    yield "a call to another host", 1, lambda: client.post("https://example.com/v1/chat/completions", json=BODY)


def timed(work: Callable[[], Any], seconds: float) -> float:
    """CPU seconds of one call, over about so many seconds of calls."""
    count, begun = 0, time.process_time()
    while (spent := time.process_time() - begun) < seconds:
        work()
        count += 1
    return spent / count


def added(work: Callable[[], Any], rounds: int) -> tuple[float, float, float]:
    """Microseconds that the instrumentation adds: quartiles of paired differences."""
    differences = []
    tracer_provider, meter_provider = TracerProvider(), MeterProvider([InMemoryMetricReader()])
    tracer_provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    for _ in range(rounds):
        without = timed(work, 0.02)
        XAIInstrumentor().instrument(tracer_provider=tracer_provider, meter_provider=meter_provider)
        differences.append((timed(work, 0.02) - without) * 1e6)
        XAIInstrumentor().uninstrument()
    tracer_provider.shutdown()
    meter_provider.shutdown()
    low, middle, high = statistics.quantiles(differences, n=4)
    return low, middle, high


def core() -> float:
    """Microseconds for the core alone to read a stream of 500 chunks, every chunk decoded."""
    chunks, dialect = events(), dialect_of("POST", "/v1/chat/completions")
    assert dialect is not None

    def work() -> None:
        exchange = Exchange(Request(operation="chat", host="h", port=1, stream=True), dialect, 0)
        exchange.headers_received(200, {b"content-type": b"text/event-stream"})
        for chunk in chunks:
            exchange.bytes_received(chunk, 1)
        exchange.end(Ending.COMPLETE, 2)

    return min(timed(work, 0.1) for _ in range(5)) * 1e6


def import_cost() -> float:
    """CPU milliseconds to import and switch on, where the SDK and the client library are there already."""
    program = (
        f"import time, {library().__name__}, opentelemetry.sdk.trace.export, opentelemetry.sdk.metrics.export\n"
        "begun = time.process_time()\n"
        "from opentelemetry.instrumentation.xai import XAIInstrumentor\n"
        "XAIInstrumentor().instrument()\n"
        "print(time.process_time() - begun)"
    )
    runs = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True) for _ in range(7)
    ]
    return min(float(run.stdout) for run in runs) * 1000


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40, help="paired rounds for each row (default: %(default)s)")
    rounds = max(parser.parse_args().rounds, 4)
    console = Console()
    table = Table("CPU that the instrumentation adds", "median", "quartiles", box=None, title_justify="left")
    with console.status("Measuring ..."):
        for name, parts, work in calls(library()):
            low, middle, high = (value / parts for value in added(work, rounds))
            table.add_row(name, f"{middle:,.2f} µs", f"{low:,.2f} … {high:,.2f}")
        table.add_row(f"the core reading {CHUNKS} chunks, each decoded", f"{core():,.0f} µs", "")
        table.add_row("import and instrument()", f"{import_cost():,.0f} ms", "")
    console.print(table)


main()

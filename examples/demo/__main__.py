"""The command line: ``python -m demo``.

Here the parts meet: a local server that stands in for xAI (or xAI itself), the OpenTelemetry SDK, the
instrumentation, the application and the screen. Set up your own application as ``observed`` does.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from demo.screen import Screen

REAL = "https://api.x.ai/v1"
INSTALL = "pip install 'opentelemetry-instrumentation-xai[demo]'"
NEXT = """\
In your own code:  from opentelemetry.instrumentation.xai import XAIInstrumentor
                   XAIInstrumentor().instrument()
The real thing:    DEMO_REAL=1 XAI_API_KEY=... make demo
All the rest:      README.md"""


def _parser() -> argparse.ArgumentParser:
    return_codes = "Exit status: 0 if all went well, 1 if a call failed, 2 if something is missing."
    parser = argparse.ArgumentParser(
        prog="python -m demo",
        description="Five conversations with a model, and what OpenTelemetry says about them while they run:\n"
        "cached tokens, time to first token (TTFT), conversation ids, cost. Needs no key and no\n"
        "network: a server on this machine stands in for xAI.",
        epilog="Environment:\n"
        "  DEMO_REAL=1    talk to api.x.ai instead, which costs a few cents\n"
        "  XAI_API_KEY    the key for that\n"
        "  DEMO_MODEL     the model (default: grok-4.7)\n\n" + return_codes,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--svg", type=Path, metavar="PATH", help="also draw calls and summary as an SVG image")
    return parser


@contextmanager
def _model_server(*, real: bool) -> Iterator[tuple[str, str, str | None]]:
    """Give base URL, key, and the host to instrument beyond xAI's own."""
    if real:
        yield REAL, os.environ["XAI_API_KEY"], None
        return
    from xai_server import ServerSettings, running

    # A proxy that the environment asks for cannot reach this machine's own loopback interface.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"
    settings = ServerSettings(servers=4, prefill_s_per_1k_tokens=0.2, event_gap_s=0.012, answer_words=25, seed=17)
    with running(settings) as server:
        yield f"{server.url}/v1", "any", server.url.removeprefix("http://")


@contextmanager
def observed(screen: Screen, host: str | None) -> Iterator[CollectorRegistry]:
    """Switch telemetry on: spans go to the screen, metrics into a registry that Prometheus could scrape."""
    from opentelemetry.exporter.prometheus import PrometheusMetricReader
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider
    from prometheus_client import CollectorRegistry

    from demo.calls import Calls
    from opentelemetry.instrumentation.xai import XAIInstrumentor

    registry = CollectorRegistry()
    reader = PrometheusMetricReader(disable_target_info=True, scope_info_enabled=False, registry=registry)
    tracer_provider = TracerProvider()
    tracer_provider.add_span_processor(Calls(screen.show))
    meter_provider = MeterProvider(metric_readers=[reader])
    instrumentor = XAIInstrumentor()
    instrumentor.instrument(tracer_provider=tracer_provider, meter_provider=meter_provider, hosts=host)
    try:
        yield registry
    finally:
        instrumentor.uninstrument()
        tracer_provider.shutdown()
        meter_provider.shutdown()


def _demonstrate(svg: Path | None, *, real: bool) -> None:
    from openai import OpenAI
    from prometheus_client import generate_latest
    from rich.console import Console
    from rich.text import Text

    from demo import chat
    from demo.screen import Screen, picture

    console = Console(highlight=False)
    model = os.environ.get("DEMO_MODEL") or "grok-4.7"
    conversations = chat.conversations()
    habits = {conversation.id: conversation.habit for conversation in conversations}
    screen = Screen(console, habits)
    with _model_server(real=real) as (base_url, key, host), observed(screen, host) as registry:
        where = "api.x.ai" if real else "a local stand-in for xAI"
        console.print(Text.assemble(("Five conversations with a help desk", "bold"), f": {model} at {where}"))
        with screen:
            chat.run(OpenAI(base_url=base_url, api_key=key), model, conversations)
        if not screen.calls:
            raise RuntimeError(
                "no span has come; does OTEL_SDK_DISABLED or OTEL_INSTRUMENTATION_XAI_ENABLED forbid it?"
            )
        screen.summary()
        screen.metrics(generate_latest(registry).decode())
    screen.heading("What to do next")
    console.print(Text(NEXT))
    if svg is not None:
        svg.write_text(picture(screen.calls, habits, "make demo"), encoding="utf-8")
        console.print(Text(f"\nDrawn: {svg}", "dim"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demonstration and give the exit status."""
    svg: Path | None = _parser().parse_args(arguments).svg
    real = os.environ.get("DEMO_REAL", "") not in ("", "0")
    if real and not os.environ.get("XAI_API_KEY"):
        return _say("DEMO_REAL=1 talks to api.x.ai, which needs a key: set XAI_API_KEY too.", 2)
    try:
        _demonstrate(svg, real=real)
    except ImportError as error:
        return _say(f"{error}. To install what the demo needs: {INSTALL}", 2)
    except KeyboardInterrupt:
        return _say("Stopped.", 130)
    except Exception as error:  # a demonstration ends with a sentence, not with a traceback
        return _say(f"The demo stopped: {str(error) or type(error).__name__}", 1)
    return 0


def _say(message: str, status: int) -> int:
    print(message, file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())

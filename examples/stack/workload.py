"""The deployment: release 1.4.0 of the application, healthy, and then release 1.5.0, which breaks its prompt cache.

Each release is a process of its own, as it would be in life, and what it says of itself (``service.version``) is in its
environment. So is the telemetry: the application has not one line about it.

``python -m stack.workload`` sends telemetry to where the standard variables say; ``--metrics-port`` sets them such that
Prometheus can scrape it.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from stack.servers import free_port, stop, terminable
from xai_server import RunningServer, ServerSettings, running

HEALTHY, REGRESSED = "1.4.0", "1.5.0"
SERVICE = "help-desk"
EXAMPLES = Path(__file__).parents[1]
REGRESSIONS = {
    "clock": "a clock at the head of the system prompt",
    "random_ids": "another conversation id for each request",
    "reasoning_dropped": "the model's reasoning is sent back once, and then no more",
    "none": "nothing is wrong with it",
}
# Hits answer sooner, and cold calls report one block or none, as xAI's own do: where nothing is ever reported as
# cached, a ledger soon takes caching for unsupported.
SETTINGS = ServerSettings(
    servers=4, reasoning_words=300, prefill_s_per_1k_tokens=0.15, event_gap_s=0.0005, noise=True, seed=17
)


@dataclass(frozen=True)
class Pace:
    """How much traffic there is."""

    rate: float = 4
    """Requests a second."""
    customers: int = 8
    """Conversations at the same time."""
    errors: float = 0.03
    """Part of the requests that is answered with 429 or 503, most of them once only."""


def scraped(port: int, host: str, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Give the environment that switches telemetry on, for Prometheus to scrape from ``port`` of this machine."""
    inherited = os.environ if environ is None else environ
    kept = {name: value for name, value in inherited.items() if not name.startswith("OTEL_")}
    return kept | {
        "OTEL_INSTRUMENTATION_XAI_ENABLED": "true",
        "OTEL_INSTRUMENTATION_XAI_HOSTS": host,
        "OTEL_SERVICE_NAME": SERVICE,
        "OTEL_METRICS_EXPORTER": "prometheus",
        "OTEL_EXPORTER_PROMETHEUS_HOST": "127.0.0.1",
        "OTEL_EXPORTER_PROMETHEUS_PORT": str(port),
        "OTEL_TRACES_EXPORTER": "none",
        "NO_PROXY": "127.0.0.1",
    }


@contextmanager
def release(
    version: str, habit: str, base_url: str, pace: Pace, environ: Mapping[str, str], seconds: float = 86_400
) -> Iterator[subprocess.Popen[bytes]]:
    """Run one release for as long as the block lasts, or until its ``seconds`` are over."""
    resource = ",".join(filter(None, (environ.get("OTEL_RESOURCE_ATTRIBUTES"), f"service.version={version}")))
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "stack.chat", "--base-url", base_url, "--habit", habit, "--duration", str(seconds)),
            *("--rate", str(pace.rate), "--customers", str(pace.customers), "--errors", str(pace.errors)),
        ],
        cwd=EXAMPLES,
        env={**environ, "OTEL_RESOURCE_ATTRIBUTES": resource},
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C in the terminal reaches us alone, and we stop it
    )
    try:
        yield process
    finally:
        stop(process)


@contextmanager
def model_server() -> Iterator[RunningServer]:
    """Run the server that stands in for xAI, in this process."""
    with running(SETTINGS) as server:
        yield server


def _roll_out(chosen: argparse.Namespace, base_url: str, environ: Mapping[str, str]) -> int:
    pace = Pace(chosen.rate, chosen.customers, chosen.errors)
    healthy = chosen.duration / 2 if chosen.healthy is None else min(chosen.healthy, chosen.duration)
    for version, habit, seconds in (
        (HEALTHY, "none", healthy),
        (REGRESSED, chosen.regression, chosen.duration - healthy),
    ):
        if seconds <= 0:
            continue
        told = "" if version == HEALTHY else f" ({REGRESSIONS[habit]})"
        print(f"{time.strftime('%H:%M:%S')}  release {version}{told}, for {seconds:g} s", flush=True)
        with release(version, habit, base_url, pace, environ, seconds) as process:
            if process.wait():
                return 1
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both releases, one after the other."""
    regressions = "\n".join(f"  {name:18} {meaning}" for name, meaning in REGRESSIONS.items())
    parser = argparse.ArgumentParser(
        prog="python -m stack.workload",
        description=f"A chat application whose release {REGRESSED} breaks the prompt cache. By itself it talks to a\n"
        "server in its own process that stands in for xAI.",
        epilog=f"Regressions:\n{regressions}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    pace = Pace()
    parser.add_argument("--base-url", help="a server that runs already, for example http://127.0.0.1:8080/v1")
    parser.add_argument("--regression", choices=REGRESSIONS, default="clock", help="default: %(default)s")
    parser.add_argument("--duration", type=float, default=600, help="seconds altogether (default: %(default)s)")
    parser.add_argument("--healthy", type=float, help="seconds before the regression (default: half of them)")
    parser.add_argument("--rate", type=float, default=pace.rate, help="requests a second (default: %(default)s)")
    parser.add_argument(
        "--customers", type=int, default=pace.customers, help="served at the same time (default: %(default)s)"
    )
    parser.add_argument(
        "--errors", type=float, default=pace.errors, help="part of requests that fail (default: %(default)s)"
    )
    parser.add_argument("--metrics-port", type=int, help="let Prometheus scrape this port of 127.0.0.1 (0: a free one)")
    chosen = parser.parse_args(arguments)

    def environ(base_url: str) -> Mapping[str, str]:
        if chosen.metrics_port is None:
            return os.environ
        port = chosen.metrics_port or free_port()
        print(f"Metrics: http://127.0.0.1:{port}/metrics", flush=True)
        return scraped(port, urlsplit(base_url).netloc)

    try:
        with terminable():
            if chosen.base_url:
                return _roll_out(chosen, chosen.base_url, environ(chosen.base_url))
            with model_server() as server:
                base_url = f"{server.url}/v1"
                return _roll_out(chosen, base_url, environ(base_url))
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())

"""The command line: ``python -m stack``, which is ``make stack``.

Here the parts meet: the server that stands in for xAI, Prometheus with the shipped rules, Alertmanager, two releases of
an application, and the screen. It ends when the alert has fired and Alertmanager has it.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from stack.servers import (
    ALERTMANAGER,
    PROMETHEUS,
    Alertmanager,
    MissingProgramError,
    Prometheus,
    alertmanager,
    free_port,
    program,
    prometheus,
    terminable,
)

MISSING: ImportError | None = None
try:
    from rich.console import Console

    from stack import watching, workload
    from stack.screen import Screen
    from xai_server import RunningServer
except ImportError as error:  # of the extra `demo`
    MISSING = error

ALERT = "XaiCacheBrokenByClient"
INSTALL = "pip install 'opentelemetry-instrumentation-xai[demo]'"
HERE = Path(__file__).parent
_STEP_S = 5
"""Between scrapes, and between evaluations of the rules."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m stack",
        description="An application's new release breaks its prompt cache, and a real Prometheus and Alertmanager\n"
        "notice. Takes about five minutes; needs neither key nor network.",
        epilog="Exit status: 0 if the alert has fired, 1 if not, 2 if something is not installed.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    regressions = [name for name in workload.REGRESSIONS if name != "none"]
    parser.add_argument("--regression", choices=regressions, default="clock", help="default: %(default)s")
    parser.add_argument("--rate", type=float, default=4, help="requests a second (default: %(default)s)")
    parser.add_argument(
        "--healthy", type=float, default=90, help="seconds before the regression (default: %(default)s)"
    )
    parser.add_argument(
        "--patience", type=float, default=720, help="seconds after it until it gives up (default: %(default)s)"
    )
    parser.add_argument("--keep", action="store_true", help="keep everything running after that, until Ctrl-C")
    return parser


@dataclass
class _Stack:
    """What runs, and how much of it has been seen."""

    prometheus: Prometheus
    alertmanager: Alertmanager
    xai: RunningServer
    metrics_port: int
    screen: Screen
    requests: int = 0

    def release(self, version: str, habit: str, rate: float) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """Run one release of the application."""
        environ = workload.scraped(self.metrics_port, self.xai.url.removeprefix("http://"))
        return workload.release(version, habit, f"{self.xai.url}/v1", workload.Pace(rate=rate), environ)

    def watch(self, phase: str, process: subprocess.Popen[bytes], until: Callable[[], bool]) -> None:
        """Show what there is to see until something has come."""
        while True:
            if process.poll() is not None:
                raise RuntimeError(f"the application ended by itself, with status {process.returncode}")
            self.requests += len(arrived := self.xai.requests[:])
            del self.xai.requests[: len(arrived)]
            self.screen.show(phase, self.requests, watching.glance(self.prometheus))
            if until():
                return
            time.sleep(1)

    def addresses(self) -> str:
        """Say where everything is."""
        return (
            f"Prometheus    {self.prometheus.url}, with the rules of xai-otel alerts\n"
            f"Alertmanager  {self.alertmanager.url}\n"
            f"Metrics       http://127.0.0.1:{self.metrics_port}/metrics\n"
            f"xAI           {self.xai.url}, a local stand-in\n"
        )

    def pages(self) -> str:
        """Say where to look on."""
        graph = f"{self.prometheus.url}/graph?g0.range_input=10m&g0.tab=0&g0.expr={quote(watching.EFFICIENCY)}"
        return (
            f"\nAlerts      {self.prometheus.url}/alerts"
            f"\nEfficiency  {graph}"
            f"\nReceived    {self.alertmanager.url}/api/v2/alerts"
        )


def _demonstrate(chosen: argparse.Namespace) -> int:
    with ExitStack() as running:
        running.enter_context(terminable())
        stack = _started(running)
        screen = stack.screen
        screen.say(stack.addresses())
        with screen:
            with stack.release(workload.HEALTHY, "none", chosen.rate) as process:
                screen.happened(f"Release {workload.HEALTHY} runs")
                healthy_until = time.monotonic() + chosen.healthy
                stack.watch(f"healthy, {workload.HEALTHY}", process, lambda: time.monotonic() >= healthy_until)
            process = running.enter_context(stack.release(workload.REGRESSED, chosen.regression, chosen.rate))
            broken = time.monotonic()
            meaning = workload.REGRESSIONS[chosen.regression]
            screen.happened(f"Release {workload.REGRESSED} runs: {meaning}")

            def over() -> bool:
                waited = time.monotonic() - broken
                return bool(watching.received(stack.alertmanager, ALERT)) or waited >= chosen.patience

            stack.watch(f"regressed since {time.strftime('%H:%M:%S')}, {workload.REGRESSED}: {meaning}", process, over)
        fired = watching.received(stack.alertmanager, ALERT)
        if not fired:
            return _say(f"{ALERT} has not fired within {chosen.patience:g} s of the release.", 1)
        minutes, seconds = divmod(round(time.monotonic() - broken), 60)
        screen.heading(f"{ALERT} has fired", f"{minutes} min {seconds} s after the release")
        screen.alert(fired[0])
        for other in fired[1:]:
            screen.say(f"\nAnd: {other['annotations']['summary']}")
        if not chosen.keep:
            screen.say("\nAll of this is over now; `make stack KEEP=1` leaves it running.")
            return 0
        screen.say(f"{stack.pages()}\n\nAll of this runs until Ctrl-C.")
        with suppress(KeyboardInterrupt):
            process.wait()
    return 0


def _started(running: ExitStack) -> _Stack:
    """Start everything but the application."""
    metrics_port = free_port()
    folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="xai-stack-")))
    receiver = running.enter_context(alertmanager(HERE / "alertmanager.yaml"))
    server = running.enter_context(
        prometheus(
            {workload.SERVICE: f"127.0.0.1:{metrics_port}"},
            scrape_s=_STEP_S,
            evaluation_s=_STEP_S,
            rules=[_shipped_rules(folder)],
            alertmanager=receiver.url,
        )
    )
    xai = running.enter_context(workload.model_server())
    return _Stack(server, receiver, xai, metrics_port, Screen(Console(highlight=False)))


def _shipped_rules(folder: Path) -> Path:
    rules = folder / "xai-alerts.yaml"
    command = [sys.executable, "-m", "opentelemetry.instrumentation.xai", "alerts", "--out", str(rules)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"xai-otel alerts failed: {done.stderr.strip()}")
    return rules


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the stack and give the exit status."""
    if MISSING is not None:
        return _say(f"{MISSING}. To install what the stack needs: {INSTALL}", 2)
    chosen = _parser().parse_args(arguments)
    try:
        program(PROMETHEUS)
        program(ALERTMANAGER)
        return _demonstrate(chosen)
    except MissingProgramError as error:
        return _say(str(error), 2)
    except KeyboardInterrupt:
        return _say("Stopped.", 128 + signal.SIGINT)
    except Exception as error:  # it ends with a sentence, not with a traceback
        return _say(f"The stack stopped: {str(error) or type(error).__name__}", 1)


def _say(message: str, status: int) -> int:
    print(message, file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())

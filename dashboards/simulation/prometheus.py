"""The real Prometheus and its promtool: blocks from samples, blocks of what rules record, and range queries.

Both are given data of the past only. promtool writes blocks, and the server finds them when it starts. ``promtool tsdb
create-blocks-from rules`` is not used: it moves each group by a part of a minute that depends on the file's path.
"""

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from .rules import Recording
from .scenarios import LARGEST_BLOCK_H

PROGRAMS: Final = ("prometheus", "promtool")
MOST_POINTS: Final = 10_000  # a query returns 11,000 for each series at the most
_PATIENCE_S: Final = 60.0


class PrometheusError(Exception):
    """A program did not do what it was asked to; the message says what it said."""


class Series(NamedTuple):
    """One result of a range query."""

    labels: dict[str, str]
    samples: list[tuple[int, str]]
    """Seconds since the epoch, and values as Prometheus writes them."""


def missing() -> list[str]:
    """The programs that are not installed."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


def check(rules: Path) -> None:
    """Have promtool read a rule file."""
    _promtool("check", "rules", str(rules))


def load(samples: Path, database: Path) -> None:
    """Make blocks of an OpenMetrics file with timestamps."""
    longest = f"--max-block-duration={LARGEST_BLOCK_H}h"
    _promtool("tsdb", "create-blocks-from", longest, "openmetrics", str(samples), str(database))


def record(recordings: Iterable[Recording], database: Path, url: str, begin: int, end: int) -> None:
    """Make blocks of what recording rules give; the server at ``url`` sees them after its next start."""
    samples = database.parent / "recorded.om"
    written = False
    with samples.open("w", encoding="utf-8") as file:
        for recording in recordings:
            for series in query(url, recording.expr, begin, end, recording.interval):
                labels = {**series.labels, **recording.labels}
                text = ",".join(f'{label}="{_escaped(value)}"' for label, value in labels.items() if value)
                prefix = f"{recording.record}{{{text}}} "
                file.write("".join([f"{prefix}{value} {time}\n" for time, value in series.samples]))
                written = True
        file.write("# EOF\n")
    if written:
        load(samples, database)
    samples.unlink()


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


@contextmanager
def serving(database: Path) -> Iterator[str]:
    """A Prometheus on a free port of this machine for as long as the context lasts; yields its address."""
    config = database.parent / "prometheus.yaml"
    config.write_text("global: {}\n", encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = database.parent / "prometheus.log"
    with log.open("w", encoding="utf-8") as said:
        server = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={database}",
                "--storage.tsdb.retention.time=100y",
                f"--web.listen-address=127.0.0.1:{port}",
                "--query.max-samples=2000000000",
                "--query.timeout=30m",
                "--log.level=warn",
            ],
            stdout=said,
            stderr=said,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _await_ready(server, url, log)
        yield url
    finally:
        server.terminate()
        try:
            server.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _await_ready(server: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{url}/-/ready", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise PrometheusError(f"prometheus did not get ready: {log.read_text(encoding='utf-8')[-2000:]}")


def query(url: str, expr: str, begin: int, end: int, step: int) -> list[Series]:
    """What an expression gave at each step, for each set of labels; the name is not one of them."""
    found: dict[tuple[tuple[str, str], ...], list[tuple[int, str]]] = {}
    for first in range(begin, end + 1, step * MOST_POINTS):
        last = min(end, first + step * (MOST_POINTS - 1))
        asked = urllib.parse.urlencode({"query": expr, "start": first, "end": last, "step": step}).encode()
        try:
            with urllib.request.urlopen(f"{url}/api/v1/query_range", data=asked, timeout=1800) as answer:
                result = json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as refusal:
            raise PrometheusError(f"prometheus refuses {expr!r}: {refusal.read().decode()[:500]}") from refusal
        for series in result:
            labels = tuple(sorted(pair for pair in series["metric"].items() if pair[0] != "__name__"))
            found.setdefault(labels, []).extend((round(time), value) for time, value in series["values"])
    return [Series(dict(labels), sorted(samples)) for labels, samples in found.items()]  # one may come under two names


def _promtool(*arguments: str) -> None:
    ran = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    if ran.returncode:
        raise PrometheusError(f"promtool {arguments[0]} {arguments[1]} failed: {(ran.stderr or ran.stdout)[-2000:]}")

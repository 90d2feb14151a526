"""Prometheus and Alertmanager: found on PATH, started on a free port of 127.0.0.1, asked, and stopped.

This file knows how the programs are called and how they answer. What they scrape and which rules they have is said by
who starts them. It needs nothing but the standard library.

    with prometheus({"app": "127.0.0.1:9464"}, rules=["rules.yaml"]) as server:
        server.query("up")
"""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

PROMETHEUS = ("prometheus",)
ALERTMANAGER = ("prometheus-alertmanager", "alertmanager")
INSTALL = """\
  Debian, Ubuntu  apt-get install prometheus prometheus-alertmanager
  macOS           brew install prometheus; Alertmanager from https://prometheus.io/download/
  elsewhere       https://prometheus.io/download/"""
_PATIENCE_S = 30
_ATTEMPTS = 3  # another program may take the free port before ours does

# A proxy that the environment asks for cannot reach this machine's own loopback interface.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class MissingProgramError(RuntimeError):
    """A server is not installed; the message says how to install it."""


class ServerError(RuntimeError):
    """A server did not start, or refused a query; the message is its own."""


def program(names: Sequence[str]) -> str:
    """Find a program by the first of its names that is on PATH."""
    for name in names:
        if found := shutil.which(name):
            return found
    raise MissingProgramError(f"{' or '.join(names)} is not on PATH. To install it:\n{INSTALL}")


def free_port() -> int:
    """Give a port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@dataclass(frozen=True)
class _Server:
    url: str
    process: subprocess.Popen[bytes]
    folder: Path
    """Configuration, data and log; gone when the server is."""

    def get(self, path: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """Ask for a path of the server's HTTP interface, and read the JSON that it answers."""
        given = {name: value for name, value in (parameters or {}).items() if value is not None}
        query = f"?{urllib.parse.urlencode(given, doseq=True)}" if given else ""
        try:
            with _OPENER.open(f"{self.url}{path}{query}", timeout=_PATIENCE_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                said = error.read().decode(errors="replace")
            raise ServerError(f"{path}: HTTP {error.code}: {said}") from None


class Prometheus(_Server):
    """A Prometheus that is ready."""

    def query(self, expression: str, time: float | None = None) -> list[dict[str, Any]]:
        """Evaluate at one moment (now, if none is given): each series has ``metric`` and ``value``."""
        return self._result("/api/v1/query", {"query": expression, "time": time})

    def query_range(self, expression: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """Evaluate over a time: each series has ``metric`` and ``values``."""
        return self._result("/api/v1/query_range", {"query": expression, "start": start, "end": end, "step": step})

    def exemplars(self, expression: str, start: float, end: float) -> list[dict[str, Any]]:
        """Give the exemplars of a time; there are some with ``features=["exemplar-storage"]`` only."""
        parameters = {"query": expression, "start": start, "end": end}
        found: list[dict[str, Any]] = self.get("/api/v1/query_exemplars", parameters)["data"]
        return found

    def alerts(self) -> list[dict[str, Any]]:
        """Give the alerts, pending or firing, each with ``state``, ``activeAt``, ``labels`` and ``annotations``."""
        found: list[dict[str, Any]] = self.get("/api/v1/alerts")["data"]["alerts"]
        return found

    def rules(self) -> list[dict[str, Any]]:
        """Give all rules of all groups, with their ``health`` and ``lastError``."""
        groups = self.get("/api/v1/rules")["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def targets(self) -> list[dict[str, Any]]:
        """Give what is scraped, each with ``health`` and ``lastError``."""
        found: list[dict[str, Any]] = self.get("/api/v1/targets")["data"]["activeTargets"]
        return found

    def _result(self, path: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        data = self.get(path, parameters)["data"]
        if data["resultType"] in ("scalar", "string"):
            return [{"metric": {}, "value": data["result"]}]
        found: list[dict[str, Any]] = data["result"]
        return found


class Alertmanager(_Server):
    """An Alertmanager that is ready."""

    def alerts(self) -> list[dict[str, Any]]:
        """Give the alerts that it has received, each with ``labels``, ``annotations`` and ``status``."""
        found: list[dict[str, Any]] = self.get("/api/v2/alerts")
        return found


@contextmanager
def prometheus(
    targets: Mapping[str, str],
    *,
    scrape_s: float = 2,
    evaluation_s: float = 2,
    rules: Sequence[str | Path] = (),
    alertmanager: str | None = None,
    features: Sequence[str] = (),
    flags: Sequence[str] = (),
) -> Iterator[Prometheus]:
    """Run a Prometheus for as long as the block lasts.

    ``targets``: what to scrape, by job: ``{"app": "127.0.0.1:9464"}``. ``alertmanager``: the URL of one.
    ``features``: values of ``--enable-feature``. ``flags``: further arguments of the command line. Prometheus begins to
    scrape about five seconds after it has started.
    """
    found = program(PROMETHEUS)
    configuration: dict[str, Any] = {
        "global": {
            "scrape_interval": _duration(scrape_s),
            "scrape_timeout": _duration(min(scrape_s, 10)),
            "evaluation_interval": _duration(evaluation_s),
        },
        "rule_files": [str(Path(rule).resolve()) for rule in rules],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [address]}]} for job, address in targets.items()
        ],
    }
    if alertmanager is not None:
        address = urllib.parse.urlsplit(alertmanager).netloc
        configuration["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [address]}]}]}

    def command(folder: Path, port: int) -> list[str]:
        # JSON is YAML, too.
        (folder / "prometheus.yaml").write_text(json.dumps(configuration, indent=2), encoding="utf-8")
        return [
            found,
            f"--config.file={folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            f"--web.external-url=http://127.0.0.1:{port}",
            "--log.level=warn",
            *([f"--enable-feature={','.join(features)}"] if features else []),
            *flags,
        ]

    with _running("Prometheus", command) as (url, process, folder):
        yield Prometheus(url, process, folder)


@contextmanager
def alertmanager(configuration: str | Path | None = None, *, flags: Sequence[str] = ()) -> Iterator[Alertmanager]:
    """Run an Alertmanager for as long as the block lasts; without a configuration it keeps all and tells nobody."""
    found = program(ALERTMANAGER)

    def command(folder: Path, port: int) -> list[str]:
        silent = {"route": {"receiver": "nobody", "group_wait": "1s"}, "receivers": [{"name": "nobody"}]}
        (folder / "alertmanager.yaml").write_text(json.dumps(silent, indent=2), encoding="utf-8")
        return [
            found,
            f"--config.file={Path(configuration).resolve() if configuration else folder / 'alertmanager.yaml'}",
            f"--storage.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            f"--web.external-url=http://127.0.0.1:{port}",
            "--cluster.listen-address=",  # one alone
            "--log.level=warn",
            *flags,
        ]

    with _running("Alertmanager", command) as (url, process, folder):
        yield Alertmanager(url, process, folder)


@contextmanager
def _running(name: str, command: Any) -> Iterator[tuple[str, subprocess.Popen[bytes], Path]]:
    with terminable(), tempfile.TemporaryDirectory(prefix="xai-stack-", ignore_cleanup_errors=True) as made:
        folder = Path(made)
        for attempt in range(_ATTEMPTS):
            port = free_port()
            with (folder / "log").open("wb") as log:
                # A session of its own: Ctrl-C in the terminal reaches us alone, and we stop it.
                process = subprocess.Popen(
                    command(folder, port),
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            try:
                url = f"http://127.0.0.1:{port}"
                if _ready(url, process):
                    yield url, process, folder
                    return
            finally:
                stop(process)
            said = (folder / "log").read_text(encoding="utf-8", errors="replace")
            if "address already in use" not in said or attempt == _ATTEMPTS - 1:
                raise ServerError(f"{name} did not start:\n{said[-4000:].strip() or '(it said nothing)'}")


def _ready(url: str, process: subprocess.Popen[bytes]) -> bool:
    until = time.monotonic() + _PATIENCE_S
    while process.poll() is None and time.monotonic() < until:
        with suppress(OSError), _OPENER.open(f"{url}/-/ready", timeout=1):
            return True
        time.sleep(0.05)
    return False


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask it to leave, and make it; a second Ctrl-C meanwhile only hastens that."""
    try:
        process.terminate()
        process.wait(10)
    except BaseException as error:
        process.kill()
        process.wait()
        if not isinstance(error, subprocess.TimeoutExpired):
            raise


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM end this process by way of its ``finally``, unless somebody has other plans for it."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _duration(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"

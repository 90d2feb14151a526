"""The stack: servers that start and leave, an application that regresses, and configuration that its programs accept.

Whole runs of ``make stack`` take minutes and are for people; here each part is tried by itself, on the real programs.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml")

from opentelemetry.instrumentation.xai import conventions  # noqa: E402
from stack import servers  # noqa: E402

STACK = Path(servers.__file__).parent
ROOT = STACK.parents[1]
COMPOSE = STACK / "compose.yaml"
HERE_TOO = pytest.mark.skipif(
    not shutil.which("prometheus") or not any(map(shutil.which, servers.ALERTMANAGER)),
    reason="prometheus and alertmanager are not installed",
)
INTERRUPTIBLE = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
"""For programs that are to be interrupted: where the tests run in the background, SIGINT is ignored from the start."""


def read(name: str) -> Any:
    """Read one of the YAML files."""
    return yaml.safe_load((STACK / name).read_text(encoding="utf-8"))


def environment(**more: str) -> dict[str, str]:
    """Make an environment in which only we have a say about telemetry."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "XAI_"))}
    return kept | {"PYTHONIOENCODING": "utf-8", "NO_PROXY": "127.0.0.1"} | more


def eventually(found: Callable[[], Any], seconds: float = 20) -> Any:
    """Wait for something to be true, and give it."""
    until = time.monotonic() + seconds
    while not (seen := found()):
        assert time.monotonic() < until, f"not within {seconds} s"
        time.sleep(0.1)
    return seen


def fetch(url: str, body: Any = None) -> str:
    """Get a page of this machine, or post JSON to it."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5) as answer:
        said: bytes = answer.read()
        return said.decode()


def is_alive(process: int) -> bool:
    """Whether there is a process of that number, other than one that only waits to be buried."""
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


@pytest.mark.thorough
@HERE_TOO
class TestServers:
    """Prometheus and Alertmanager, started by ``stack.servers``."""

    def test_they_scrape_alert_and_leave_nothing(self, tmp_path: Path) -> None:
        """A rule over a real scrape fires, Alertmanager receives it, and afterwards process and folder are gone."""
        rule = {"alert": "Up", "expr": "up == 1", "labels": {"severity": "info"}, "annotations": {"summary": "hello"}}
        rules = tmp_path / "rules.json"
        rules.write_text(json.dumps({"groups": [{"name": "g", "rules": [rule]}]}), encoding="utf-8")
        with servers.alertmanager() as receiver:
            target = {"itself": receiver.url.removeprefix("http://")}
            with servers.prometheus(
                target,
                scrape_s=0.5,
                evaluation_s=0.5,
                rules=[rules],
                alertmanager=receiver.url,
                features=["exemplar-storage"],
            ) as server:
                (up,) = eventually(lambda: server.query("up == 1"))
                assert up["metric"]["job"] == "itself"
                (received,) = eventually(receiver.alerts)
                assert received["labels"]["alertname"] == "Up"
                assert received["annotations"] == {"summary": "hello"}
                assert [alert["state"] for alert in server.alerts()] == ["firing"]
                assert [found["health"] for found in server.rules()] == ["ok"]
                assert [found["health"] for found in server.targets()] == ["up"]
                now = time.time()
                assert server.query_range("up", now - 60, now, 1)[0]["values"]
                assert server.query("vector(1)", now)[0]["value"][1] == "1"
                assert server.query("2")[0]["value"][1] == "2"
                assert server.exemplars("up", now - 60, now) == []
                with pytest.raises(servers.ServerError, match="unexpected end of input"):
                    server.query("up{")
        for left in (server, receiver):
            assert left.process.poll() is not None
            assert not left.folder.exists()

    def test_a_server_that_cannot_start_says_why(self, tmp_path: Path) -> None:
        """What the program said of its configuration is in the error."""
        rules = tmp_path / "rules.json"
        rules.write_text('{"groups": [{"name": "g", "rules": [{"alert": "A", "expr": "up{"}]}]}', encoding="utf-8")
        with pytest.raises(servers.ServerError, match=r"(?s)Prometheus did not start.*could not parse expression"):
            with servers.prometheus({}, rules=[rules]):
                pass

    @pytest.mark.skipif(not Path("/proc").exists(), reason="looks at processes in /proc")
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_signals_leave_no_process(self, number: signal.Signals) -> None:
        """Ctrl-C and SIGTERM end both servers with the program that has started them."""
        script = (
            f"{INTERRUPTIBLE}; import time\n"
            "from stack.servers import alertmanager, prometheus\n"
            "with alertmanager() as receiver, prometheus({}) as server:\n"
            "    print(receiver.process.pid, server.process.pid, server.folder, flush=True)\n"
            "    time.sleep(60)\n"
        )
        program = subprocess.Popen(
            [sys.executable, "-c", script],
            cwd=STACK.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert program.stdout is not None
        with program, program.stdout:
            first, second, folder = program.stdout.readline().split()
            assert is_alive(int(first))
            assert is_alive(int(second))
            program.send_signal(number)
            assert program.wait(20) in {-signal.SIGINT, 128 + number}
        assert not is_alive(int(first))
        assert not is_alive(int(second))
        assert not Path(folder).exists()

    def test_a_page_silences_tickets_about_the_same(self) -> None:
        """With the shipped routes a critical alert inhibits others of its job and model, and of no other model."""

        def alert(severity: str, model: str) -> dict[str, Any]:
            labels = {"alertname": severity, "severity": severity, "job": "help-desk", "gen_ai_request_model": model}
            return {"labels": labels}

        sent = [alert("critical", "grok-4.7"), alert("warning", "grok-4.7"), alert("warning", "grok-4.3")]
        with servers.alertmanager(STACK / "alertmanager.yaml") as receiver:
            fetch(f"{receiver.url}/api/v2/alerts", sent)
            eventually(lambda: any(found["status"]["inhibitedBy"] for found in receiver.alerts()))
            seen = {
                (found["labels"]["severity"], found["labels"]["gen_ai_request_model"]): (
                    found["status"]["state"],
                    [to["name"] for to in found["receivers"]],
                )
                for found in receiver.alerts()
            }
        assert seen == {
            ("critical", "grok-4.7"): ("active", ["page"]),
            ("warning", "grok-4.7"): ("suppressed", ["ticket"]),
            ("warning", "grok-4.3"): ("active", ["ticket"]),
        }


class TestCommand:
    """``python -m stack``, which is ``make stack``."""

    @pytest.fixture(autouse=True)
    def _complete(self) -> None:
        """Skip where a package of the extra ``demo`` is missing."""
        for needed in ("openai", "rich", "starlette", "uvicorn"):
            pytest.importorskip(needed)

    def run(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run the command to its end."""
        command = [sys.executable, "-m", "stack", *arguments]
        return subprocess.run(
            command, cwd=STACK.parent, env=environment(**env), capture_output=True, text=True, timeout=60, check=False
        )

    @pytest.mark.parametrize("installed", [(), ("prometheus",)])
    def test_says_how_to_install_what_is_missing(self, tmp_path: Path, installed: tuple[str, ...]) -> None:
        """Without one of the servers on PATH the install line is printed, and the exit status is 2."""
        for name in installed:
            (tmp_path / name).touch(mode=0o755)
        done = self.run(PATH=str(tmp_path))
        assert done.returncode == 2
        assert done.stdout == ""
        assert "apt-get install prometheus prometheus-alertmanager" in done.stderr
        assert "brew install prometheus; Alertmanager from https://prometheus.io/download/" in done.stderr
        assert done.stderr.startswith("prometheus-alertmanager or alertmanager is" if installed else "prometheus is")

    @HERE_TOO
    def test_gives_up_in_a_sentence(self) -> None:
        """An alert that has not fired in time gives status 1, and everything until then was shown in plain lines."""
        done = self.run("--healthy", "2", "--patience", "2")
        assert done.returncode == 1
        assert done.stderr == "XaiCacheBrokenByClient has not fired within 2 s of the release.\n"
        assert "\x1b" not in done.stdout
        assert re.search(r"Release 1\.4\.0 runs\n(.*\n)*.*Release 1\.5\.0 runs: a clock at the head", done.stdout)
        assert re.search(r"\d+ requests, efficiency", done.stdout)

    @HERE_TOO
    def test_ctrl_c_ends_it_cleanly(self) -> None:
        """Interrupted, it gives status 130 and one word, and no process stays."""
        program = subprocess.Popen(
            [sys.executable, "-c", f"{INTERRUPTIBLE}; import runpy; runpy.run_module('stack', run_name='__main__')"],
            cwd=STACK.parent,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert program.stdout is not None
        with program:
            try:
                addresses = [program.stdout.readline().split()[1].rstrip(",") for _ in range(4)]
                while "Release" not in (line := program.stdout.readline()):
                    assert line
                program.send_signal(signal.SIGINT)
                said = program.communicate(timeout=30)[1]
            finally:
                program.terminate()
        assert program.returncode == 130
        assert said == "Stopped.\n"
        for address in addresses:
            with pytest.raises(OSError, match="refused"):
                fetch(address)


BREAKS = {
    "clock": "system_changed",
    "random_ids": "conversation_id_changed",
    "reasoning_dropped": "reasoning_dropped",
}


@pytest.fixture(scope="module")
def releases() -> Iterator[dict[str, str]]:
    """Start the workload once for each regression, side by side, and give the addresses of their metrics."""
    for needed in ("openai", "starlette", "uvicorn", "opentelemetry.exporter.prometheus"):
        pytest.importorskip(needed)
    pace = ["--duration", "90", "--healthy", "6", "--rate", "6", "--customers", "8"]
    programs = {
        regression: subprocess.Popen(
            [sys.executable, "-m", "stack.workload", "--metrics-port", "0", "--regression", regression, *pace],
            cwd=STACK.parent,
            env=environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        for regression in BREAKS
    }
    try:
        yield {
            regression: program.stdout.readline().split()[1]
            for regression, program in programs.items()
            if program.stdout is not None
        }
    finally:
        for program in programs.values():
            program.terminate()
        for program in programs.values():
            program.communicate(timeout=20)
    assert {program.returncode for program in programs.values()} == {128 + signal.SIGTERM}


@pytest.mark.thorough
class TestWorkload:
    """The application and its two releases, by the metrics that they expose."""

    @staticmethod
    def samples(url: str, version: str, name: str, *labels: str) -> list[str]:
        """Give what has been counted by a metric with these labels, as long as that release is the one that runs."""
        try:
            lines = fetch(url).splitlines()
        except OSError:  # no release runs, or it has made no call yet
            return []
        if not any(line.startswith("target_info{") and f'service_version="{version}"' in line for line in lines):
            return []
        return [
            line
            for line in lines
            if line.startswith(f"{name}{{") and all(label in line for label in labels) and not line.endswith(" 0.0")
        ]

    def test_the_first_release_is_healthy(self, releases: dict[str, str]) -> None:
        """Its tokens come from the cache, none is lost to the client, and both models are used."""
        url = releases["clock"]
        both = eventually(lambda: len(self.samples(url, "1.4.0", "xai_client_cache_reused_tokens_total")) == 2)
        assert both
        assert not self.samples(url, "1.4.0", "xai_client_cache_lost_tokens_total", 'cause="client"')

    @pytest.mark.parametrize("regression", BREAKS)
    def test_the_second_release_breaks_its_cache(self, releases: dict[str, str], regression: str) -> None:
        """Conversations lose tokens again and again, and the metrics say why."""
        labels = ('xai_cache_repeated="true"', f'xai_cache_reason="{BREAKS[regression]}"')
        url = releases[regression]
        assert eventually(lambda: self.samples(url, "1.5.0", "xai_client_cache_lost_tokens_total", *labels), 40)


class TestConfiguration:
    """The files of the stack in containers, as far as they can be checked without any."""

    def test_mounts_exist_and_images_are_pinned(self) -> None:
        """Every file that is mounted is in the repository, and every image has a version."""
        services = read("compose.yaml")["services"]
        for service in services.values():
            for volume in service.get("volumes", ()):
                source, _, mode = volume.split(":")
                assert (STACK / source).exists(), source
                assert mode == "ro"
            assert "build" in service or re.search(r":v?\d+\.\d+\.\d+$", service["image"])
            assert set(service.get("depends_on", ())) <= services.keys()
            for port in service.get("ports", ()):
                assert port.startswith("127.0.0.1:")

    def test_the_python_part_is_started_with_options_that_exist(self, capsys: pytest.CaptureFixture[str]) -> None:
        """What the compose file passes to our own programs is in their help, and its image has all they need."""
        pytest.importorskip("uvicorn")
        for name in ("xai", "workload"):
            service = read("compose.yaml")["services"][name]
            _, _, module, *arguments = service["command"]
            with pytest.raises(SystemExit):
                importlib.import_module(module if "." in module else f"{module}.__main__").main(["--help"])
            shown = capsys.readouterr().out
            for option in (argument for argument in arguments if argument.startswith("--")):
                assert option in shown
            build = service["build"]
            assert (STACK / build["context"]).resolve() == ROOT
            assert (ROOT / build["dockerfile"]).is_file()
        for line in (STACK / "Dockerfile").read_text(encoding="utf-8").splitlines():
            if line.startswith("COPY"):
                assert all((ROOT / source).exists() for source in line.split()[1:-1])

    def test_the_collector_keeps_every_trace_that_lost_tokens(self) -> None:
        """The tail sampling goes by the attribute that spans really have, and pipelines name what is defined."""
        collector = read("collector.yaml")
        policies = {policy["name"]: policy for policy in collector["processors"]["tail_sampling"]["policies"]}
        lost = policies["lost-tokens"]
        assert lost["type"] == "numeric_attribute"
        assert lost["numeric_attribute"]["key"] == conventions.XAI_CACHE_LOST_TOKENS
        assert lost["numeric_attribute"]["min_value"] == 1
        assert policies["errors"]["status_code"]["status_codes"] == ["ERROR"]
        for pipeline in collector["service"]["pipelines"].values():
            for kind, names in pipeline.items():
                assert set(names) <= collector[kind].keys()
        assert "tail_sampling" not in collector["service"]["pipelines"]["metrics"]["processors"]

    def test_services_are_addressed_by_their_names(self) -> None:
        """Every host that a file of the stack names is a service of the compose file."""
        services = read("compose.yaml")["services"]
        text = "".join(
            path.read_text(encoding="utf-8") for path in (*STACK.glob("*.yaml"), *(STACK / "grafana").rglob("*.yaml"))
        )
        hosts = set(re.findall(r"(?:http://|endpoint: |HOSTS: |\[)([a-z]+):\d{4}", text))
        assert {"xai", "collector", "prometheus", "alertmanager", "tempo"} <= hosts
        assert hosts - {"localhost"} <= services.keys()

    def test_grafana_is_given_boards_and_data_sources(self) -> None:
        """Metrics lead to traces and back, and the boards are where Grafana looks for them."""
        sources = {source["uid"]: source for source in read("grafana/provisioning/datasources/xai.yaml")["datasources"]}
        to_trace = sources["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
        assert [(link["name"], link["datasourceUid"]) for link in to_trace] == [("trace_id", "tempo")]
        to_metrics = sources["tempo"]["jsonData"]["tracesToMetrics"]
        assert to_metrics["datasourceUid"] == "prometheus"
        assert all("{$$__tags}" in query["query"] for query in to_metrics["queries"])
        (provider,) = read("grafana/provisioning/dashboards/xai.yaml")["providers"]
        mounts = dict(volume.split(":")[:2] for volume in read("compose.yaml")["services"]["grafana"]["volumes"])
        mounted = {target: (STACK / source).resolve() for source, target in mounts.items()}
        assert mounted[provider["options"]["path"]] == ROOT / "dashboards" / "generated"

    @pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
    def test_prometheus_accepts_its_configuration(self, tmp_path: Path) -> None:
        """``promtool`` finds nothing wrong with the file, nor with the rules where the compose file mounts them."""
        for volume in read("compose.yaml")["services"]["prometheus"]["volumes"]:
            source, target, _ = volume.split(":")
            mounted = tmp_path / target.lstrip("/")
            mounted.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(STACK / source, mounted)
        configuration = tmp_path / "etc" / "prometheus" / "prometheus.yaml"
        done = subprocess.run(
            ["promtool", "check", "config", configuration], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert re.search(r"SUCCESS: \d+ rules found", done.stdout)

    @pytest.mark.skipif(not shutil.which("amtool"), reason="amtool is not installed")
    def test_alertmanager_accepts_its_configuration(self) -> None:
        """``amtool`` finds nothing wrong, and routes each severity to its own receiver."""
        checked = ["amtool", "check-config", str(STACK / "alertmanager.yaml")]
        done = subprocess.run(checked, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        for severity, receiver in (("critical", "page"), ("warning", "ticket"), ("info", "reading")):
            routed = ["amtool", "config", "routes", "test", f"--config.file={STACK / 'alertmanager.yaml'}"]
            done = subprocess.run([*routed, f"severity={severity}"], capture_output=True, text=True, check=True)
            assert done.stdout.strip() == receiver

"""The examples and the demonstration do what their READMEs say, as programs of their own.

They run as subprocesses against the local server; what they print is all that is looked at.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

for needed in ("openai", "starlette", "uvicorn", "opentelemetry.sdk"):
    pytest.importorskip(needed)

from xai_server import RunningServer, running  # noqa: E402

EXAMPLES = Path(__file__).parents[2] / "examples"
CACHED = "gen_ai.usage.cache_read.input_tokens"
CONVERSATION = "gen_ai.conversation.id"


@pytest.fixture
def server() -> Iterator[RunningServer]:
    """Start a server with an empty cache."""
    with running() as server:
        yield server


def environment(server: RunningServer | None = None, **more: str) -> dict[str, str]:
    """Make an environment in which only we have a say about telemetry and xAI."""
    ours = ("OTEL_", "XAI_", "DEMO_", "OPENAI_", "COLUMNS", "FORCE_COLOR", "TTY_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    if server is not None:
        host = server.url.removeprefix("http://")
        kept |= {
            "XAI_BASE_URL": f"{server.url}/v1",
            "XAI_API_KEY": "any",
            "OTEL_INSTRUMENTATION_XAI_HOSTS": host,
            "NO_PROXY": "127.0.0.1",
        }
    return kept | {"PYTHONIOENCODING": "utf-8"} | more


def run(command: list[str], folder: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a program in one of the folders of the examples."""
    return subprocess.run(
        command, cwd=EXAMPLES / folder, env=env, capture_output=True, encoding="utf-8", timeout=60, check=False
    )


def objects(output: str) -> list[dict[str, Any]]:
    """Find the JSON objects that the console exporters have printed between other lines."""
    found, decoder = [], json.JSONDecoder()
    at = 0 if output.startswith("{") else output.find("\n{") + 1
    while output[at : at + 1] == "{":
        printed, end = decoder.raw_decode(output, at)
        found.append(printed)
        at = output.find("\n{", end - 1) + 1
        if at <= end - 1:
            break
    return found


def spans(output: str) -> list[dict[str, Any]]:
    """Find the spans, in the order in which they ended."""
    return [printed for printed in objects(output) if "span_id" in printed.get("context", {})]


def metric_names(output: str) -> set[str]:
    """Find the names of all metrics."""
    return {
        metric["name"]
        for printed in objects(output)
        for resource in printed.get("resource_metrics", ())
        for scope in resource["scope_metrics"]
        for metric in scope["metrics"]
    }


def check_two_turns(output: str, conversation: str) -> None:
    """Check the spans and metrics of a conversation whose second turn is cached."""
    first, second = spans(output)
    assert first["name"] == second["name"] == "chat grok-4.7"
    assert first["attributes"][CONVERSATION] == second["attributes"][CONVERSATION] == conversation
    assert first["attributes"][CACHED] == 0
    assert second["attributes"][CACHED] > 1024
    assert second["attributes"]["xai.response.cost_usd"] < first["attributes"]["xai.response.cost_usd"]
    assert {"gen_ai.client.inference.usage.cache_read.input_tokens", "xai.client.cost"} <= metric_names(output)


def test_zero_code(server: RunningServer) -> None:
    """An unchanged script is observed under ``opentelemetry-instrument``."""
    instrument = Path(sys.executable).parent / "opentelemetry-instrument"
    if not instrument.exists():
        pytest.skip("opentelemetry-instrument is not installed")
    pytest.importorskip("opentelemetry.distro", reason="opentelemetry-distro is not installed")
    exporters = ["--traces_exporter", "console", "--metrics_exporter", "console", "--logs_exporter", "none"]
    done = run([str(instrument), *exporters, sys.executable, "main.py"], "zero_code", environment(server))
    assert done.returncode == 0, done.stderr
    check_two_turns(done.stdout, "zero-code")


def test_zero_code_is_an_ordinary_script(server: RunningServer) -> None:
    """The same script runs by itself, prints its answers, and no telemetry."""
    done = run([sys.executable, "main.py"], "zero_code", environment(server))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("> ") == 2
    assert objects(done.stdout) == []
    assert "opentelemetry." not in (EXAMPLES / "zero_code" / "main.py").read_text(encoding="utf-8")


def test_openai_sdk(server: RunningServer) -> None:
    """Telemetry that is set up in code shows both turns of a conversation."""
    done = run([sys.executable, "main.py"], "openai_sdk", environment(server))
    assert done.returncode == 0, done.stderr
    check_two_turns(done.stdout, "ada-gears")


def test_async_stream(server: RunningServer) -> None:
    """Streams that run side by side have the application's span as their parent, and second turns are cached."""
    done = run([sys.executable, "main.py"], "async_stream", environment(server))
    assert done.returncode == 0, done.stderr
    *calls, parent = spans(done.stdout)
    assert parent["name"] == "help desk"
    assert [call["name"] for call in calls] == ["chat grok-4.7"] * 6
    assert {call["parent_id"] for call in calls} == {parent["context"]["span_id"]}
    for conversation in ("ada-today", "ben-today", "cleo-today"):
        _, second = (call["attributes"] for call in calls if call["attributes"][CONVERSATION] == conversation)
        assert second[CACHED] > 1024
        assert 0 < second["xai.response.time_to_first_token"] <= second["xai.response.time_to_first_answer_token"]


@pytest.mark.parametrize("folder", ["zero_code", "openai_sdk", "async_stream"])
def test_every_example_has_a_readme(folder: str) -> None:
    """A reader finds out how to run each example."""
    readme = (EXAMPLES / folder / "README.md").read_text(encoding="utf-8")
    assert "python main.py" in readme
    assert "## What you see" in readme


class TestDemo:
    """The demonstration, where its standard output is no terminal."""

    @pytest.fixture(autouse=True)
    def _complete(self) -> None:
        """Skip where a package of the extra ``demo`` is missing."""
        pytest.importorskip("rich")
        pytest.importorskip("opentelemetry.exporter.prometheus")

    def test_shows_what_telemetry_says(self, tmp_path: Path) -> None:
        """Calls, summary, metrics and picture come within half a minute, as plain lines."""
        picture = tmp_path / "screen.svg"
        started = time.monotonic()
        done = run([sys.executable, "-m", "demo", "--svg", str(picture)], ".", environment())
        assert time.monotonic() - started < 30
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        lines = done.stdout.splitlines()
        assert "\x1b" not in done.stdout
        calls = [line for line in lines if " grok-4.7 " in line and line[2:3] == ":"]
        assert len(calls) == 25
        assert max(map(len, calls)) <= 80
        assert sum("missing" in line for line in calls) == 4  # the first turn without an id is no problem yet
        for conversation in ("ada-gears", "ben-weekend", "cleo-pads"):
            _, *warm = (line for line in calls if conversation in line)
            assert len(warm) == 4
            assert all(re.search(r" 9\d% ", line) for line in warm)
        assert all(" 0% " in line for line in calls if "emil-hours" in line)
        _, *unrouted = (line for line in calls if "(none)" in line)  # which server each meets is left to chance
        assert all(("conversation_id_missing" in line) == (" 0% " in line) for line in unrouted)
        assert sum("system_changed" in line for line in calls if "emil-hours" in line) == 4
        assert any(line.startswith("xai_client_time_to_first_token_seconds_count{") for line in lines)
        assert any(line.startswith("gen_ai_client_inference_usage_cache_read_input_tokens_total") for line in lines)
        assert "_bucket" not in done.stdout
        assert "XAIInstrumentor().instrument()" in done.stdout
        drawn = picture.read_text(encoding="utf-8")
        assert ET.fromstring(drawn).tag.endswith("svg")
        assert "ada-gears" in drawn
        assert "@font-face" not in drawn

    def test_real_calls_need_a_key(self) -> None:
        """Without a key one line says so, and the exit status is 2."""
        done = run([sys.executable, "-m", "demo"], ".", environment(DEMO_REAL="1"))
        assert done.returncode == 2
        assert done.stdout == ""
        assert len(done.stderr.splitlines()) == 1
        assert "XAI_API_KEY" in done.stderr

    def test_a_failure_is_told_in_a_sentence(self) -> None:
        """A call that fails ends the demonstration with status 1 and without a traceback."""
        done = run([sys.executable, "-m", "demo"], ".", environment(DEMO_MODEL="no-such-model"))
        assert done.returncode == 1
        assert "Traceback" not in done.stdout + done.stderr
        assert done.stderr.startswith("The demo stopped: ")
        assert "404" in done.stdout

    def test_help_teaches(self) -> None:
        """``--help`` names the environment variables, and no line is too long for a terminal."""
        done = run([sys.executable, "-m", "demo", "--help"], ".", environment())
        assert done.returncode == 0
        assert {"DEMO_REAL=1", "XAI_API_KEY", "DEMO_MODEL"} <= set(done.stdout.split())
        assert max(map(len, done.stdout.splitlines())) <= 100

"""``xai-otel doctor``: what it says is so, for people and machines alike; it changes nothing and shows no secret."""

import contextlib
import io
import json
import os
import pty
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from opentelemetry.instrumentation.xai import commands
from opentelemetry.instrumentation.xai.commands.doctor.endpoint import shown_endpoint
from opentelemetry.instrumentation.xai.environment import exporter_names

ENABLED = "OTEL_INSTRUMENTATION_XAI_ENABLED"
START_UP = Path(__file__).parents[2] / "instrumentation" / "startup"
DOCTOR = "from opentelemetry.instrumentation.xai.commands.doctor import"
INSTRUMENT = "from opentelemetry.instrumentation.xai import XAIInstrumentor; XAIInstrumentor().instrument()\n"
HTTP = {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
ARRIVES = "Telemetry of xAI calls would arrive."

needs_otlp = pytest.mark.skipif(
    "otlp_proto_http" not in exporter_names("traces"), reason="no OTLP exporter is installed"
)


@dataclass
class Collector:
    """A real HTTP server that answers with one status, and remembers what it was sent."""

    status: int = 200
    location: str | None = None
    port: int = 0
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    @property
    def variables(self) -> dict[str, str]:
        """What sends OTLP here."""
        return {**HTTP, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.port}"}


@contextlib.contextmanager
def collecting(status: int = 200, location: str | None = None) -> Iterator[Collector]:
    """Run a collector on a free port."""
    collector = Collector(status, location)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            collector.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(collector.status)
            if collector.location:
                self.send_header("location", collector.location)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector that takes everything."""
    with collecting() as running:
        yield running


def closed_port() -> int:
    """A port where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(variables: dict[str, str]) -> dict[str, str]:
    """The variables of a program: nothing of the test's own but what any program has."""
    return {"PATH": os.environ["PATH"], "HOME": "/home/nobody", "NO_PROXY": "*", **variables}


def python(*command: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run this interpreter, and no warnings of the libraries in it."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", *command],
        env=environment(variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def doctor(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run the doctor as users do."""
    return python("-m", "opentelemetry.instrumentation.xai", "doctor", *arguments, **variables)


def within(
    prelude: str, *arguments: str, options: tuple[str, ...] = (), **variables: str
) -> "subprocess.CompletedProcess[str]":
    """Run the doctor in a program that has done something before."""
    end = f"\nimport sys\nfrom opentelemetry.instrumentation.xai.commands import main\nsys.exit(main(['doctor', *{arguments!r}]))"
    return python(*options, "-c", prelude + end, **variables)


def both(prelude: str, **variables: str) -> tuple[int, str, Any]:
    """The doctor's status, text, and JSON, from one process."""
    again = "from opentelemetry.instrumentation.xai.commands import main\nmain(['doctor', '--json']); print('-----')\n"
    done = within(f"{prelude}\n{again}", **variables)
    assert "Traceback" not in done.stderr
    machine, _, text = done.stdout.partition("-----\n")
    return done.returncode, text, json.loads(machine)


def installed(folder: Path, name: str, version: str, source: str | None = None) -> None:
    """Make a package that importlib.metadata finds, with or without a module."""
    metadata = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    if source is not None:
        (folder / f"{name}.py").write_text(source)


CLIENT = "class Client:\n    def send(self): ...\nclass AsyncClient(Client): ...\n"
AFTER_START = f"import os, site, sys; os.environ['{ENABLED}'] = 'true'; site.ENABLE_USER_SITE = False\n"
NO_SDK = f"{DOCTOR} signals\nsignals.exporter_names = lambda signal: ()\n"
SDK = """
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
trace.set_tracer_provider(TracerProvider())
metrics.set_meter_provider(MeterProvider())
"""
REASONS = [
    # what the program does before, its variables, the reason, the fix
    (INSTRUMENT, {ENABLED: "false"}, f"it is switched off by {ENABLED}", f"export {ENABLED}=true"),
    (
        INSTRUMENT,
        {ENABLED: "true", "OTEL_SDK_DISABLED": "true"},
        "it is switched off by OTEL_SDK_DISABLED",
        "unset OTEL_SDK_DISABLED",
    ),
    (
        "",
        {ENABLED: "true", "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "requests, xai"},
        "it is switched off by OTEL_PYTHON_DISABLED_INSTRUMENTATIONS",
        "unset OTEL_PYTHON_DISABLED_INSTRUMENTATIONS",
    ),
    ("", {}, "it is not switched on", f"export {ENABLED}=true"),
    ("", {ENABLED: "maybe"}, f"{ENABLED} has a wrong value", f"export {ENABLED}=true"),
    (
        f"{AFTER_START}{DOCTOR} switch\nswitch.START_UP_FILE = 'no-such.pth'\nsys.modules.pop('opentelemetry_instrumentation_xai', None)",
        {},
        "the start-up file is not in the site directory",
        "pip install ",
    ),
    (
        f"{AFTER_START}site.getsitepackages = lambda *_: ['{START_UP}']",
        {},
        "the start-up file did not run, since the variable was set too late",
        f"export {ENABLED}=true",
    ),
    (
        f"{AFTER_START}site.getsitepackages = lambda *_: ['/nowhere']; sys.path.append('{START_UP}')",
        {},
        "the start-up file is in a folder that is no site directory",
        "",
    ),
    (
        f"{INSTRUMENT}{DOCTOR} libraries\nlibraries.find_spec = lambda name: None",
        {},
        "no client library is installed that can be observed",
        "pip install 'httpx >= 0.25.2'",
    ),
    (
        INSTRUMENT,
        {},
        "no exporter is asked for, and no SDK is set up",
        "export OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318",
    ),
    (
        INSTRUMENT,
        {"OTEL_TRACES_EXPORTER": "none"},
        "no exporter is asked for, and no SDK is set up",
        "export OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318",
    ),
    (
        INSTRUMENT,
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "None"},
        "both OTEL_TRACES_EXPORTER and OTEL_METRICS_EXPORTER are none",
        "export OTEL_TRACES_EXPORTER=otlp OTEL_METRICS_EXPORTER=otlp",
    ),
    (
        INSTRUMENT + SDK,
        {},
        "the SDK that is set up has no exporter",
        "provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))",
    ),
    (
        INSTRUMENT + NO_SDK,
        {"OTEL_TRACES_EXPORTER": "otlp", **HTTP},
        "the exporter otlp_proto_http is not installed",
        "pip install 'opentelemetry-instrumentation-xai[otlp]'",
    ),
    (
        INSTRUMENT + NO_SDK,
        {"OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        "the exporter otlp_proto_grpc is not installed",
        "pip install opentelemetry-exporter-otlp-proto-grpc",
    ),
]


@pytest.mark.combinations
@pytest.mark.parametrize(
    ("prelude", "variables", "reason", "fix"), REASONS, ids=[f"{each[2][:40]}" for each in REASONS]
)
def test_each_reason_is_named_with_its_fix(prelude: str, variables: dict[str, str], reason: str, fix: str) -> None:
    """What would stop telemetry is the last line but one, the fix is the last one, and the status is 1."""
    if ENABLED in prelude:
        variables = {**variables, "OTEL_TRACES_EXPORTER": "console"}
        prelude += "\nimport sys; sys.modules.pop('opentelemetry_instrumentation_xai', None)\n"
    status, text, found = both(prelude, **variables)
    assert status == 1
    verdict, last = text.splitlines()[-2:]
    assert verdict == f"Telemetry would NOT arrive: {reason}."
    assert last.startswith(f"Fix: {fix}")
    assert (found["arrives"], found["reason"], f"Fix: {found['fix']}") == (False, reason, last)


@pytest.mark.parametrize(
    ("version", "source", "reason", "fix"),
    [
        ("0.24.1", CLIENT, "httpx 0.24.1 is too old", "pip install --upgrade 'httpx >= 0.25.2'"),
        (
            "1.0.dev3",
            "class Session: ...",
            "httpx 1.0.dev3 has no interface that could be observed",
            "pip install 'httpx >= 0.25.2, < 1'",
        ),
        (
            "0.28.1",
            "import no_such_module",
            "httpx 0.28.1 cannot be imported (ModuleNotFoundError)",
            "pip install --force-reinstall httpx",
        ),
        ("0.28.1", CLIENT, "httpx 0.28.1 is not patched in this process", "pip install --force-reinstall httpx"),
    ],
)
def test_client_libraries_that_cannot_be_observed(
    tmp_path: Path, version: str, source: str, reason: str, fix: str
) -> None:
    """A client that is too old, has another interface, is broken or stayed as it was: each is told from the others."""
    installed(tmp_path, "httpx", version, source)
    installed(tmp_path, "httpx2", "1.0" if version == "0.24.1" else "2.0", source)
    alone = f"{DOCTOR} libraries\nlibraries.LIBRARIES = ('httpx', 'httpx2')\n"
    done = within(alone + INSTRUMENT, PYTHONPATH=str(tmp_path), OTEL_TRACES_EXPORTER="console")
    assert done.stdout.splitlines()[-2:] == [f"Telemetry would NOT arrive: {reason}.", f"Fix: {fix}"]
    assert done.returncode == 1


def test_one_client_is_enough(tmp_path: Path) -> None:
    """A client library that is too old is told of, but no obstacle while there is another."""
    pytest.importorskip("httpx2")
    installed(tmp_path, "httpx", "0.24.1", CLIENT)
    done = within(INSTRUMENT, PYTHONPATH=str(tmp_path), OTEL_TRACES_EXPORTER="console")
    assert "!!  httpx 0.24.1              too old: httpx >= 0.25.2 is needed" in done.stdout
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, ARRIVES)


@needs_otlp
def test_nothing_listens_at_the_endpoint() -> None:
    """A closed port is named with how it refused."""
    port = closed_port()
    done = within(INSTRUMENT, **HTTP, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}")
    assert done.stdout.splitlines()[-2:] == [
        f"Telemetry would NOT arrive: http://127.0.0.1:{port}/v1/traces: connection refused.",
        "Fix: export OTEL_EXPORTER_OTLP_ENDPOINT=http://HOST:PORT  # where a collector listens",
    ]


@needs_otlp
def test_nothing_answers_at_the_endpoint() -> None:
    """A server that takes connections and is silent is given two seconds."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        done = within(INSTRUMENT, **HTTP, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert "/v1/traces: no answer within 2 s." in done.stdout


@needs_otlp
def test_what_answers_is_no_http() -> None:
    """A port that speaks something else, as that of OTLP over gRPC, is told from one that answers."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()

        def answer() -> None:
            for _ in range(2):
                connection, _ = other.accept()
                connection.recv(1000)
                connection.sendall(b"\0\0\x12\4\0\0\0\0\0\0\3\0\0\0d\r\n\r\n")
                connection.close()

        threading.Thread(target=answer, daemon=True).start()
        done = within(INSTRUMENT, **HTTP, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{other.getsockname()[1]}")
    assert "/v1/traces: it does not speak HTTP." in done.stdout


@needs_otlp
@pytest.mark.parametrize(
    ("status", "fix"),
    [
        (401, "export OTEL_EXPORTER_OTLP_HEADERS=NAME=VALUE  # the credentials that it wants"),
        (404, "export OTEL_EXPORTER_OTLP_ENDPOINT=http://HOST:PORT  # where a collector listens"),
        (503, "export OTEL_EXPORTER_OTLP_ENDPOINT=http://HOST:PORT  # where a collector listens"),
    ],
)
def test_an_answer_that_refuses_is_no_arrival(status: int, fix: str) -> None:
    """Any status but 2xx is told, and telemetry would not arrive."""
    with collecting(status) as collector:
        done = within(INSTRUMENT, **collector.variables)
    url = f"http://127.0.0.1:{collector.port}/v1/traces"
    assert done.stdout.splitlines()[-2:] == [
        f"Telemetry would NOT arrive: {url}: answers with HTTP status {status}.",
        f"Fix: {fix}",
    ]
    assert done.returncode == 1


@needs_otlp
def test_a_redirect_is_not_followed(collector: Collector) -> None:
    """Headers are for the endpoint that was named: where it points to another, that gets nothing."""
    with collecting(302, f"http://127.0.0.1:{collector.port}/") as pointing:
        done = within(INSTRUMENT, **pointing.variables, OTEL_EXPORTER_OTLP_HEADERS="api-key=S3cr3t")
    assert "answers with HTTP status 302" in done.stdout
    assert collector.requests == []


@needs_otlp
def test_telemetry_would_arrive(collector: Collector) -> None:
    """Switched on, a client patched, an exporter that is installed, and a collector that answers: status 0."""
    done = within(INSTRUMENT, **collector.variables)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == ARRIVES
    assert f"ok  traces                    http://127.0.0.1:{collector.port}/v1/traces answers" in done.stdout


@needs_otlp
def test_the_endpoint_is_asked_as_an_exporter_would(collector: Collector) -> None:
    """One empty export for each signal, with the headers that are given for it, and nothing else."""
    url = f"http://user:pass%40word@127.0.0.1:{collector.port}"
    variables = {
        "OTEL_EXPORTER_OTLP_HEADERS": "api-key=a%20b",
        "OTEL_EXPORTER_OTLP_METRICS_HEADERS": "api-key=c",
        **HTTP,
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
    }
    assert within(INSTRUMENT, **variables).returncode == 0
    asked = sorted(
        (path, headers["api-key"], headers["authorization"], body) for path, headers, body in collector.requests
    )
    basic = "Basic dXNlcjpwYXNzQHdvcmQ="
    assert asked == [("/v1/metrics", "c", basic, b""), ("/v1/traces", "a b", basic, b"")]
    assert {headers["content-type"] for _, headers, _ in collector.requests} == {"application/x-protobuf"}


@needs_otlp
def test_the_start_up_file_is_seen_at_work(collector: Collector) -> None:
    """Where Python has read the start-up file, the variable alone is the way, and the client is patched by it."""
    done = within(f"import site; site.addsitedir('{START_UP}')\n", "--json", **collector.variables, **{ENABLED: "true"})
    found = json.loads(done.stdout)
    assert (found["switch"]["way"], found["switch"]["start_up_file"]["state"]) == ("variable", "active")
    assert "patched" in {client["state"] for client in found["libraries"]["clients"]}
    assert found["arrives"]


def test_start_up_files_are_ignored_with_the_option_for_it() -> None:
    """``python -S`` reads no start-up file, wherever it lies."""
    path = os.pathsep.join(each for each in sys.path if each)
    done = within(
        f"{AFTER_START}site.getsitepackages = lambda *_: ['{START_UP}']", "--json", options=("-S",), PYTHONPATH=path
    )
    found = json.loads(done.stdout)
    assert found["switch"]["start_up_file"]["state"] == "ignored"
    assert found["reason"] == "Python was started with -S, which ignores start-up files"


def test_an_sdk_of_the_application_is_believed() -> None:
    """Where the application's own SDK sends to is its own affair."""
    processor = "trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))\n"
    done = within(INSTRUMENT + SDK + processor)
    assert "ok  traces                    by the TracerProvider that this process has set up" in done.stdout
    assert done.stdout.splitlines()[-1] == ARRIVES


@needs_otlp
def test_under_opentelemetry_instrument(collector: Collector) -> None:
    """The doctor knows when it runs under that command, and asks the endpoint that the command's SDK sends to."""
    command = [
        *("-c", "from opentelemetry.instrumentation.auto_instrumentation import run; run()"),
        *(sys.executable, "-m", "opentelemetry.instrumentation.xai", "doctor", "--json"),
    ]
    found = json.loads(python(*command, **collector.variables).stdout)
    assert (found["switch"]["way"], found["switch"]["command"]) == ("command", "active")
    assert [signal["provider"] for signal in found["telemetry"]["signals"]] == ["TracerProvider", "MeterProvider"]
    assert found["arrives"]
    collector.status = 500
    found = json.loads(python(*command, **collector.variables).stdout)
    assert found["reason"].endswith("answers with HTTP status 500")


@needs_otlp
@pytest.mark.skipif("otlp_proto_grpc" in exporter_names("traces"), reason="the exporter is installed")
@pytest.mark.parametrize(
    ("variables", "fix"),
    [
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf  # or: pip install opentelemetry-",
        ),
        ({**HTTP, "OTEL_CONFIG_FILE": "/no/such/file"}, "unset OTEL_CONFIG_FILE"),
    ],
)
def test_what_makes_opentelemetry_instrument_give_up(variables: dict[str, str], fix: str) -> None:
    """That command logs an error and instruments nothing: the doctor names the cause."""
    done = python(
        *("-c", "from opentelemetry.instrumentation.auto_instrumentation import run; run()"),
        *(sys.executable, "-m", "opentelemetry.instrumentation.xai", "doctor"),
        **variables,
        OTEL_TRACES_EXPORTER="otlp",
    )
    assert done.stdout.splitlines()[-1].startswith(f"Fix: {fix}")


def test_settings_say_where_they_come_from() -> None:
    """Each setting has its value and its variable; of the key only whether it is set; wrong values say what is allowed."""
    done = doctor(
        "--json",
        OTEL_INSTRUMENTATION_XAI_HOSTS="Gateway:8443, *",
        OTEL_INSTRUMENTATION_XAI_KEY="S3cr3t",
        OTEL_INSTRUMENTATION_XAI_SPANS="some",
        OTEL_INSTRUMENTATION_XAI_METRIC_BAGGAGE="route, xai.x",
        OTEL_INSTRUMENTATION_XAI_LEDGER="redis://user:S3cr3t@host",
    )
    found = {
        each["keyword"]: (each["value"], each["source"], each["problem"])
        for each in json.loads(done.stdout)["settings"]
    }
    prefix = "OTEL_INSTRUMENTATION_XAI_"
    assert found["hosts"] == (["gateway:8443", "*"], f"{prefix}HOSTS", None)
    assert found["conversation_id"] == ("plain", "default", None)
    assert found["key"] == ("set", f"{prefix}KEY", None)
    assert found["spans"] == (
        "auto",
        "default",
        f"{prefix}SPANS: 'some' is not allowed (allowed: auto, always or never); taken as the default.",
    )
    value, source, problem = found["metric_baggage"]
    assert (value, source) == (["route"], f"{prefix}METRIC_BAGGAGE")
    assert "xai.x' is not allowed" in problem
    assert "later version" in found["ledger"][2]
    assert done.stderr == ""


def test_wrong_values_of_the_standard_variables_are_named() -> None:
    """Every standard variable that is wrong is named once, with what is allowed."""
    variables = {
        "OTEL_TRACES_EXPORTER": "pigeon",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "collector?token=S3cr3t",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "soon",
        "OTEL_TRACES_SAMPLER": "some",
        "OTEL_BSP_SCHEDULE_DELAY": "later",
    }
    done = within(INSTRUMENT, "--json", **variables)
    problems = json.loads(done.stdout)["telemetry"]["problems"]
    for name in {*variables} - {"OTEL_EXPORTER_OTLP_ENDPOINT"}:
        assert [problem for problem in problems if problem.startswith(f"{name}: {variables[name]!r} ")], name
    assert "S3cr3t" not in done.stdout + done.stderr


def test_others_that_record_the_same_calls(tmp_path: Path) -> None:
    """Each other instrumentation is listed, and whether it is active here as far as that can be told."""
    for name in ("openlit", "logfire", "opentelemetry-instrumentation-openai", "xai-sdk"):
        installed(tmp_path, name, "9.9", "" if name == "logfire" else None)
    installed(tmp_path, "anthropic", "2.1", None)
    variables = {"PYTHONPATH": str(tmp_path), "ANTHROPIC_OPEN_TELEMETRY": "false"}
    _, text, found = both("import logfire", **variables)
    assert {each["name"]: each["active"] for each in found["other_instrumentations"]} == {
        "traceloop": False,
        "openlit": False,
        "logfire": None,
        "anthropic's own": False,
        "xai-sdk's own": True,
    }
    assert "!   logfire 9.9               if on: two spans, its and ours, of streams" in text


@pytest.mark.parametrize(
    "variables", [{}, {"OTEL_TRACES_EXPORTER": "console"}, {ENABLED: "false"}], ids=["off", "on", "refused"]
)
def test_text_and_json_say_the_same(variables: dict[str, str]) -> None:
    """What is in the one is in the other: verdict, clients, signals, settings, others, versions."""
    variables = {**variables, "OTEL_INSTRUMENTATION_XAI_HOSTS": "gateway"}
    status, text, found = both(INSTRUMENT, **variables)
    assert status == (0 if found["arrives"] else 1)
    flat = re.sub(r"\s+", " ", text)
    assert (ARRIVES in flat) == found["arrives"]
    if not found["arrives"]:
        assert f"NOT arrive: {found['reason']}. Fix: {found['fix']}" in flat
    clients = found["libraries"]["clients"]
    expected = [f"{each['name']} {each['version']}" for each in clients if each["version"]]
    expected += [f"{each['name']} {each['version']}" for each in found["libraries"]["sdks"]]
    expected += [f"{each['name']} {each['version']}" for each in found["other_instrumentations"]]
    expected += [f"xai {found['installation']['version']}", f"Python {found['installation']['python_version']}"]
    expected += [
        f"exporter {each['exporter']}" for signal in found["telemetry"]["signals"] for each in signal["exports"]
    ]
    expected += ["hosts gateway (OTEL_INSTRUMENTATION_XAI_HOSTS)", "conversation_id plain", "key random", "spans auto"]
    if "OTEL_TRACES_EXPORTER" in variables:
        expected.append("! metrics no SDK is set up, and no variable asks for an exporter")
    for words in expected:
        assert words in flat, words
    patched = [f"{client['name']} {client['version']}" for client in clients if client["state"] == "patched"]
    assert ("calls seen over " + ", ".join(patched) in flat) == bool(patched)


def longest(folder: Path) -> dict[str, str]:
    """The variables of a process of which there is as much to say as can be."""
    names = ["openai-v2", "genai-openai", "openai"]
    others = [f"opentelemetry-instrumentation-{name}" for name in names]
    for name in [
        *others,
        "openinference-instrumentation-openai",
        "openlit",
        "logfire",
        "langfuse",
        "ddtrace",
        "xai-sdk",
    ]:
        installed(folder, name, "12.34.56b7", "" if name in {"openlit", "logfire", "langfuse", "ddtrace"} else None)
    for name in ("requests", "aiohttp"):
        installed(folder, name, "12.34.56")
    endpoint = f"http://127.0.0.1:{closed_port()}/some-prefix/of-the/collector"
    standard = {
        "OTEL_TRACES_EXPORTER": "otlp,console,pigeon",
        "OTEL_METRICS_EXPORTER": "otlp,console",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{endpoint}/v1/traces",
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/jsonl",
        "OTEL_EXPORTER_OTLP_HEADERS": "api-key=S3cr3t",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "soon",
        "OTEL_TRACES_SAMPLER": "parentbased_sometimes",
        "OTEL_BSP_SCHEDULE_DELAY": "later",
        "OTEL_CONFIG_FILE": "/etc/opentelemetry/a-service-with-a-long-name/configuration.yaml",
        "PYTHONPATH": str(folder),
    }
    ours = {
        "ENABLED": "perhaps",
        "HOSTS": "gateway.internal.example.com:8443,another-gateway.internal.example.com:8443",
        "CONVERSATION_ID": "hashed",
        "KEY": "S3cr3t",
        "SPANS": "sometimes",
        "METRIC_BAGGAGE": "route,tenant,gen_ai.x,xai.y",
        "LEDGER": "redis://user:S3cr3t@redis.internal.example.com:6379/0",
        "STREAM_USAGE": "always",
    }
    return {**standard, **{f"OTEL_INSTRUMENTATION_XAI_{name}": value for name, value in ours.items()}}


@pytest.mark.parametrize("prelude", ["", INSTRUMENT, "import logfire, openlit, langfuse, ddtrace"])
def test_it_fits_one_screen(tmp_path: Path, prelude: str) -> None:
    """Forty lines of a hundred characters, however much there is to say; narrower where the terminal is."""
    variables = longest(tmp_path)
    lines = within(prelude, **variables).stdout.splitlines()
    assert len(lines) <= 40, "\n".join(lines)
    assert max(map(len, lines)) <= 100
    lines = within(prelude, **variables, COLUMNS="80").stdout.splitlines()
    assert max(map(len, lines[:-1])) <= 80


def test_odd_values_cannot_break_the_screen() -> None:
    """Control characters and letters outside of ASCII come out harmless, whatever the terminal's encoding."""
    odd = "\x1b[31mrot\x07 \u00fc\udcff"
    for encoding in ("ascii", "utf-8"):
        done = doctor(OTEL_CONFIG_FILE=odd, OTEL_INSTRUMENTATION_XAI_SPANS=odd, PYTHONIOENCODING=encoding)
        assert done.returncode == 1, done.stderr
        assert done.stdout.isascii()
        assert done.stdout.replace("\n", "").isprintable()
        assert json.loads(doctor("--json", OTEL_CONFIG_FILE=odd, PYTHONIOENCODING=encoding).stdout)


@pytest.mark.parametrize(
    ("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)], ids=str
)
def test_colour_is_for_terminals(variables: dict[str, str], coloured: bool) -> None:
    """There is colour on a terminal unless NO_COLOR is set; the marks say the same without."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "opentelemetry.instrumentation.xai", "doctor"]
    with subprocess.Popen(command, stdout=theirs, env=environment({"TERM": "xterm", **variables})) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # the other end is closed
            while chunk := os.read(ours, 10_000):
                shown += chunk
        os.close(ours)
    assert process.returncode == 1
    assert (b"\x1b[" in shown) == coloured
    assert b"!!" in shown
    assert "\x1b[" not in doctor().stdout


def test_it_changes_nothing() -> None:
    """Nothing is instrumented, no provider is set or made, and the loggers are as they were."""
    check = """
import logging, sys
from opentelemetry.instrumentation.xai import XAIInstrumentor, commands, instrumentor
from opentelemetry import metrics, trace
logger = logging.getLogger("opentelemetry.instrumentation.xai")
before = (logger.handlers, logger.level, logger.propagate)
commands.main(["doctor"])
import httpx
print([
    XAIInstrumentor().is_instrumented_by_opentelemetry, hasattr(httpx.Client.send, "__wrapped__"),
    type(trace.get_tracer_provider()).__name__, type(metrics.get_meter_provider()).__name__,
    instrumentor._instrumentation.private_providers._decided, before == (logger.handlers, logger.level, logger.propagate),
])
"""
    pytest.importorskip("httpx")
    done = python("-c", check, OTEL_TRACES_EXPORTER="console", OTEL_INSTRUMENTATION_XAI_SPANS="wrong")
    expected = [False, False, "ProxyTracerProvider", "_ProxyMeterProvider", set(), True]
    assert done.stdout.splitlines()[-1] == str(expected)


@pytest.mark.parametrize("section", ["options", "other_instrumentations", "installation"])
def test_a_section_that_fails_takes_none_with_it(section: str) -> None:
    """It says so by the type of the exception, whose message is not shown; the verdict stands."""
    broken = f"{INSTRUMENT}{DOCTOR} examination\ndef fail(*_):\n    raise LookupError('S3cr3t')\nexamination.{section} = fail\n"
    status, text, found = both(broken, OTEL_TRACES_EXPORTER="console")
    assert "!!  not examined              this failed with LookupError; all else stands" in text
    assert (status, text.splitlines()[-1]) == (0, ARRIVES)
    name = "settings" if section == "options" else section
    assert (found[name], found["arrives"]) == ({"failed": "LookupError"}, True)
    assert "S3cr3t" not in text


@pytest.mark.parametrize("section", ["switch", "libraries", "telemetry"])
def test_without_what_the_verdict_needs_there_is_none_to_be_glad_of(section: str) -> None:
    """Where the decisive part could not be examined, telemetry is not said to arrive."""
    broken = (
        f"{INSTRUMENT}{DOCTOR} examination\ndef fail(*_, **__):\n    raise LookupError\nexamination.{section} = fail\n"
    )
    done = within(broken, OTEL_TRACES_EXPORTER="console")
    assert done.returncode == 1
    assert f"NOT arrive: looking at the {section} failed (LookupError)." in done.stdout


MARK = "S3cr3t"
secrets = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20).map(lambda text: MARK + text + MARK)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    secret=secrets,
    place=st.sampled_from(["user", "password", "query", "fragment", "both", "bare"]),
    as_json=st.booleans(),
)
@example(secret=f"{MARK}?{MARK}", place="user", as_json=False)
@example(secret=f"{MARK}:12/{MARK}", place="user", as_json=False)
@example(secret=f"{MARK}#{MARK}", place="password", as_json=True)
@example(secret=f"{MARK}@{MARK}", place="query", as_json=True)
@example(secret=f"{MARK}/{MARK}", place="bare", as_json=False)
def test_no_secret_is_ever_shown(secret: str, place: str, as_json: bool) -> None:
    """Whatever the secrets look like, no part of them is in text, JSON or on standard error."""
    host = "127.0.0.1:1"
    endpoint = {
        "user": f"http://{secret}@{host}",
        "password": f"http://user:{secret}@{host}",
        "query": f"http://{host}/?token={secret}",
        "fragment": f"http://{host}/#{secret}",
        "both": f"https://{secret}:{secret}@{host}/?token={secret}",
        "bare": f"user:{secret}@{host}",
    }[place]
    variables = {
        "HOME": "/home/nobody",
        **HTTP,
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization={secret},{secret}",
        "OTEL_INSTRUMENTATION_XAI_KEY": secret,
        "OTEL_INSTRUMENTATION_XAI_LEDGER": f"redis://user:{secret}@host",
        "OPENAI_API_KEY": secret,
        "XAI_API_KEY": secret,
        "NO_PROXY": "*",
    }
    output = io.StringIO()
    with (
        mock.patch.dict(os.environ, variables, clear=True),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(output),
    ):
        assert commands.main(["doctor", *(["--json"] if as_json else [])]) == 1
    assert MARK.lower() not in output.getvalue().lower()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://localhost:4318/v1/traces", "http://localhost:4318/v1/traces"),
        ("https://user:password@collector.example.com/v1/traces", "https://collector.example.com/v1/traces"),
        ("https://[::1]:4318/v1/traces?token=x#y", "https://[::1]:4318/v1/traces"),
        ("https://collector/0123456789abcdef0123/v1/traces", "https://collector/***/v1/traces"),
        ("localhost:4317", "localhost:4317"),
        ("http://user:12/34@collector", "***"),
    ],
)
def test_how_an_endpoint_is_shown(url: str, shown: str) -> None:
    """Without user, password, query and whatever in the path may be a token; not at all where these cannot be told."""
    assert shown_endpoint(url) == shown


@pytest.mark.parametrize("command", ["watch"])
def test_reserved_commands_say_so(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A command of a later version gives one clear line and the status of wrong usage, whatever follows it."""
    assert commands.main([command, "a.json", "--out", "x"]) == 2
    assert capsys.readouterr() == ("", f"xai-otel {command} comes with a later version.\n")


@pytest.mark.parametrize("arguments", [[], ["doktor"], ["doctor", "--yaml"], ["doctor", "more"]])
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage is told on standard error, with status 2."""
    assert commands.main(arguments) == 2
    output, error = capsys.readouterr()
    assert output == ""
    assert "xai-otel" in error


def test_the_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    """The help says what it is, gives examples and the exit statuses."""
    for arguments in (["--help"], ["doctor", "--help"]):
        assert commands.main(arguments) == 0
        output = capsys.readouterr().out
        assert "examples:" in output
        assert "exit statuses:" in output
    assert commands.main(["--version"]) == 0


def test_the_help_loads_nothing_heavy() -> None:
    """The doctor's own modules and the client libraries are loaded when they are needed."""
    code = "import sys; from opentelemetry.instrumentation.xai.commands import main; main(['--help'])"
    code += "; print([name for name in sys.modules if 'doctor' in name or name in ('httpx', 'opentelemetry.sdk')])"
    assert python("-c", code).stdout.splitlines()[-1] == "[]"


def test_an_interruption_leaves_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends the command with the status that shells know for it."""
    monkeypatch.setattr(commands, "_run", mock.Mock(side_effect=KeyboardInterrupt))
    assert commands.main(["doctor"]) == 130


def test_a_closed_pipe_leaves_no_traceback() -> None:
    """Whoever reads the output may stop at any time."""
    command = [sys.executable, "-m", "opentelemetry.instrumentation.xai", "doctor"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment({})) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_a_closed_output_is_no_failure() -> None:
    """Started without an output, or with one that is full, the doctor ends with a status and without a traceback."""
    for redirection in (">&-", ">/dev/full"):
        command = f"{sys.executable} -m opentelemetry.instrumentation.xai doctor {redirection}"
        done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode in (0, 1)
        assert "Traceback" not in done.stderr


@needs_otlp
@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"OTEL_INSTRUMENTATION_XAI_SPANS": "never"}, "spans are switched off"),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, "OTEL_TRACES_SAMPLER samples nothing"),
    ],
    ids=["no-spans", "none-sampled"],
)
def test_spans_that_are_never_made_do_not_arrive(collector: Collector, variables: dict[str, str], reason: str) -> None:
    """Without metrics, and with no span made or sampled, nothing would arrive, however well the collector answers."""
    program = (
        INSTRUMENT + "from opentelemetry.instrumentation.xai.commands import main\nraise SystemExit(main(['doctor']))"
    )
    silent = {**collector.variables, "OTEL_METRICS_EXPORTER": "none", **variables}
    done = python("-c", program, **silent)
    assert (done.returncode, reason in done.stdout.splitlines()[-2]) == (1, True), done.stdout
    assert done.stdout.splitlines()[-1] == f"Fix: unset {next(iter(variables))}"
    assert python("-c", program, **{**silent, "OTEL_METRICS_EXPORTER": "otlp"}).returncode == 0

"""``OTEL_INSTRUMENTATION_XAI_ENABLED=true python app.py``, as a new user would try it: nothing else is changed."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from opentelemetry.instrumentation.xai.clients import LIBRARIES
from switching_on.otlp_receiver import Receiver
from switching_on.user import CALL, OPENAI, ROOT, User, new_environment

ON = {"OTEL_INSTRUMENTATION_XAI_ENABLED": "true"}
ENABLED = "OTEL_INSTRUMENTATION_XAI_ENABLED"
SCRIPT = CALL + "print(ask())\n"


def to(receiver: Receiver) -> dict[str, str]:
    """The standard variable that says where telemetry goes."""
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}


@pytest.mark.parametrize("call", [CALL, OPENAI], ids=["httpx", "openai"])
def test_spans_and_metrics_arrive(user: User, receiver: Receiver, call: str) -> None:
    """A script that never mentions OpenTelemetry, and exits right after its call: nothing is lost, nothing printed."""
    done = user.script(call + "print(ask())\n", **ON, **to(receiver))
    assert (done.returncode, done.stdout, done.stderr) == (0, "stop\n", "")
    (attributes,) = receiver.attributes()
    assert attributes["gen_ai.provider.name"] == "x_ai"
    assert attributes["gen_ai.usage.cache_read.input_tokens"] == 0
    assert receiver.calls() == 1
    assert [
        [point.as_int for point in points] for points in receiver.exports("gen_ai.client.inference.usage.input_tokens")
    ]


@pytest.mark.parametrize("exporter", ["endpoint", "traces", "both-protocols", "signal-endpoints"])
def test_the_standard_variables_are_followed(user: User, receiver: Receiver, exporter: str) -> None:
    """Whichever of the standard variables asks for an exporter, it is the one that they mean."""
    variables = {
        "endpoint": to(receiver),
        "traces": {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_METRICS_EXPORTER": "none", **to(receiver)},
        "both-protocols": {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", **to(receiver)},
        "signal-endpoints": {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{receiver.url}/v1/traces",
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"{receiver.url}/v1/metrics",
        },
    }[exporter]
    done = user.script(SCRIPT, **ON, **variables)
    assert (done.stdout, done.stderr) == ("stop\n", "")
    assert len(receiver.spans()) == 1
    assert receiver.calls() == (0 if exporter == "traces" else 1)


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {ENABLED: ""},
        {ENABLED: "false"},
        {ENABLED: "0"},
        {**ON, "OTEL_SDK_DISABLED": "true"},
        {**ON, "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "requests, xai"},
        {**ON, "OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"},
    ],
    ids=lambda variables: ",".join(f"{name[-8:]}={value}" for name, value in variables.items()) or "unset",
)
def test_off_is_off(user: User, receiver: Receiver, variables: dict[str, str]) -> None:
    """Unset, refused, or with no exporter: silence, and output as without us."""
    done = user.script(SCRIPT, **{**to(receiver), **variables})
    assert (done.returncode, done.stdout, done.stderr) == (0, "stop\n", "")
    assert receiver.requests == []


def test_no_exporter_asked_for_is_silent(user: User) -> None:
    """On, without an SDK or a variable that asks for an exporter: one line at debug level, none above."""
    done = user.script(SCRIPT, **ON)
    assert (done.stdout, done.stderr) == ("stop\n", "")
    done = user.script("import logging; logging.basicConfig(level=logging.DEBUG)\n" + SCRIPT, **ON)
    assert done.stderr.count("no variable asks for an exporter of traces") == 1


WRONG = [
    (ENABLED, "maybe", "true, false, 1 or 0"),
    ("OTEL_INSTRUMENTATION_XAI_SPANS", "some", "auto, always or never"),
    ("OTEL_INSTRUMENTATION_XAI_CONVERSATION_ID", "rot13", "plain, hashed or off"),
    ("OTEL_INSTRUMENTATION_XAI_METRIC_BAGGAGE", "xai.x", "baggage keys"),
    ("OTEL_TRACES_EXPORTER", "pigeon", "console"),
    ("OTEL_METRICS_EXPORTER", "pigeon", "console"),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "smoke", "http/protobuf"),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon", "a number"),
    ("OTEL_TRACES_SAMPLER", "some", "always_on"),
    ("OTEL_METRIC_EXPORT_INTERVAL", "often", "a number"),
    ("OTEL_BSP_SCHEDULE_DELAY", "later", "a number"),
    ("OTEL_BSP_SCHEDULE_DELAY", "0", "a number above 0"),
    ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "a number above 0"),
    ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "5000", "at most OTEL_BSP_MAX_QUEUE_SIZE"),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "0", "a number above 0"),
    ("OTEL_EXPORTER_OTLP_COMPRESSION", "zip", "gzip"),
    ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "many", "a whole number"),
    ("OTEL_PYTHON_ID_GENERATOR", "nope", "random"),
    ("OTEL_METRICS_EXEMPLAR_FILTER", "some", "trace_based"),
    ("OTEL_PROPAGATORS", "pigeon", "tracecontext"),
]


@pytest.mark.combinations
@pytest.mark.parametrize(("name", "value", "allowed"), WRONG)
def test_a_wrong_value_gives_one_warning(user: User, receiver: Receiver, name: str, value: str, allowed: str) -> None:
    """One line names the variable, the value and what is allowed; the default is used, and the application runs on."""
    done = user.script(SCRIPT, **{**ON, **to(receiver), name: value})
    assert (done.returncode, done.stdout) == (0, "stop\n")
    (line,) = done.stderr.splitlines()
    assert name in line
    assert repr(value) in line
    assert allowed in line
    assert len(receiver.spans()) == (0 if name == ENABLED else 1)


def test_a_wrong_endpoint_is_named_without_its_credentials(user: User) -> None:
    """An endpoint that is no URL gives its warning, and what stands before its host is not repeated."""
    done = user.script(
        SCRIPT, **ON, OTEL_EXPORTER_OTLP_ENDPOINT="somebody:hunter2@collector:4318", OTEL_TRACES_SAMPLER="always_off",
        OTEL_METRICS_EXPORTER="none",
    )  # fmt: skip
    assert done.stdout == "stop\n"
    (line,) = done.stderr.splitlines()
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in line
    assert "hunter2" not in line


def test_a_sampler_with_a_wrong_argument(user: User, receiver: Receiver) -> None:
    """The ratio of a sampler that is none gives one warning, and everything is sampled."""
    sampler = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "7"}
    done = user.script(SCRIPT, **ON, **to(receiver), **sampler)
    (line,) = done.stderr.splitlines()
    assert "OTEL_TRACES_SAMPLER_ARG: '7' is not allowed (allowed: a number from 0 to 1)" in line
    assert len(receiver.spans()) == 1


def test_a_malformed_header_is_never_shown(user: User, receiver: Receiver) -> None:
    """A header without a name may be a secret: the warning names the variable alone; well-formed ones are sent."""
    headers = {"OTEL_EXPORTER_OTLP_HEADERS": "Bearer hunter2,x-tenant=one"}
    done = user.script(SCRIPT, **ON, **to(receiver), **headers)
    (line,) = done.stderr.splitlines()
    assert "OTEL_EXPORTER_OTLP_HEADERS" in line
    assert "hunter2" not in line
    assert len(receiver.spans()) == 1
    assert {each["x-tenant"] for each in receiver.headers} == {"one"}


def test_an_exporter_that_is_not_installed_is_named(user: User, receiver: Receiver) -> None:
    """gRPC is asked for, and only HTTP is installed: who asked, for what, and what installs it."""
    done = user.script(SCRIPT, **ON, **to(receiver), OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
    assert done.stdout == "stop\n"
    for line in done.stderr.splitlines():
        assert "OTEL_EXPORTER_OTLP_ENDPOINT asks for otlp_proto_grpc" in line
        assert "pip install opentelemetry-exporter-otlp-proto-grpc" in line


def test_without_the_extra_it_is_said(wheel: Path, tmp_path: Path, server: Any, receiver: Receiver) -> None:
    """An exporter is asked for and none is installed: one warning with the command that installs it."""
    user = User(new_environment(tmp_path / "venv"), {"OPENAI_BASE_URL": f"{server.url}/v1", "OPENAI_API_KEY": "k"})
    user.install("--no-compile", str(wheel), "httpx")
    done = user.script(SCRIPT, **ON, **to(receiver), OTEL_INSTRUMENTATION_XAI_HOSTS="127.0.0.1")
    assert done.stdout == "stop\n"
    assert {"opentelemetry-instrumentation-xai[otlp]" in line for line in done.stderr.splitlines()} == {True}
    assert len(done.stderr.splitlines()) == 2  # one for each signal


# --- the application's own telemetry ---------------------------------------------------------------------------------

OWN = """
import atexit
from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
def set_up():
    resource = Resource.create({"service.name": "own"})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())], resource=resource))
    assert trace.get_tracer_provider() is provider
"""


def services(receiver: Receiver) -> list[str]:
    """The service name of each span of ours, in the order of their starts."""
    found = []
    for request in receiver.requests:
        for resource in getattr(request, "resource_spans", ()):
            name = next(each.value.string_value for each in resource.resource.attributes if each.key == "service.name")
            found += [(span.start_time_unix_nano, name) for scope in resource.scope_spans for span in scope.spans]
    return [name for _, name in sorted(found)]


def test_an_sdk_that_is_set_up_after_the_import_is_used(user: User, receiver: Receiver) -> None:
    """The application sets up its own SDK after its first import of a client: everything goes there."""
    done = user.script(CALL + OWN + "set_up()\nprint(ask())\n", **ON, **to(receiver))
    assert (done.stdout, done.stderr) == ("stop\n", "")
    assert services(receiver) == ["own"]
    assert receiver.calls() == 1


def test_an_sdk_that_is_set_up_after_the_first_call_takes_over(user: User, receiver: Receiver) -> None:
    """Its own ``set_tracer_provider`` succeeds; later calls go there, and earlier ones are not lost."""
    done = user.script(
        CALL + OWN + "print(ask())\nset_up()\nprint(ask())\nprint(ask())\n", **ON, **to(receiver), OTEL_SERVICE_NAME="x"
    )
    assert (done.stdout, done.stderr) == ("stop\n" * 3, "")
    assert services(receiver) == ["x", "own", "own"]
    assert receiver.calls() == 3


@pytest.mark.parametrize("further", ["print(ask(), flush=True)", ""], ids=["with-a-further-call", "without"])
def test_what_was_held_is_flushed_when_the_application_takes_over(user: User, receiver: Receiver, further: str) -> None:
    """The first call's telemetry is there soon after, not only at exit or with the next call."""
    program = CALL + OWN + f"print(ask())\nset_up()\n{further}\nimport time; time.sleep(60)\n"
    slow = {"OTEL_BSP_SCHEDULE_DELAY": "50000"}
    with user.running(user.python, user.write("app.py", program), **ON, **to(receiver), **slow, OTEL_SERVICE_NAME="x"):
        assert receiver.wait_for(lambda receiver: services(receiver) == ["x"] and receiver.calls() == 1)


def test_the_application_may_still_say_how(user: User, receiver: Receiver) -> None:
    """``instrument()`` in an application that was switched on by the variable: its keywords count, without a warning."""
    own = "from opentelemetry.instrumentation.xai import XAIInstrumentor\n"
    own += "XAIInstrumentor().instrument(conversation_id='off')\n"
    ask = "ask(headers={'x-grok-conv-id': 'one'})\n"
    done = user.script(CALL + own + ask, **ON, **to(receiver))
    assert (done.returncode, done.stderr) == (0, "")
    (attributes,) = receiver.attributes()
    assert attributes["xai.conversation.id.source"] == "header"
    assert "gen_ai.conversation.id" not in attributes


# --- endings -----------------------------------------------------------------------------------------------------------

WAITING = CALL + "ask()\nprint('asked', flush=True)\nimport time\nwhile True: time.sleep(60)\n"


def test_sigterm_loses_nothing(user: User, receiver: Receiver) -> None:
    """A script that is ended by SIGTERM dies of it, as without us, and what it held arrives before."""
    with user.running(user.python, user.write("app.py", WAITING), **ON, **to(receiver)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "asked\n"
        assert receiver.requests == []
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == -signal.SIGTERM
        assert process.stdout.read() == ""
    assert len(receiver.spans()) == 1
    assert receiver.calls() == 1


def test_sigterm_waits_five_seconds_at_the_most(user: User) -> None:
    """A collector that does not answer delays the end by no more than that."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        variables = {**ON, "OTEL_EXPORTER_OTLP_ENDPOINT": address}
        with user.running(user.python, user.write("app.py", WAITING), **variables) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "asked\n"
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == -signal.SIGTERM
            assert 4 < time.monotonic() - began < 7


def test_a_handler_of_the_applications_own_is_left_alone(user: User, receiver: Receiver) -> None:
    """An application that handles SIGTERM itself does so, set before or after us; its exit flushes."""
    own = "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
    for program in (own + WAITING, WAITING.replace("ask()\n", "ask()\n" + own)):
        receiver.requests.clear()
        with user.running(user.python, user.write("app.py", program), **ON, **to(receiver)) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "asked\n"
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 7
        assert len(receiver.spans()) == 1


def test_without_an_exporter_sigterm_is_not_touched(user: User) -> None:
    """Where no telemetry is to be sent, no handler is installed."""
    program = SCRIPT + "import signal; print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)\n"
    assert user.script(program, **ON).stdout == "stop\nTrue\n"


@pytest.mark.skipif(sys.version_info[:2] == (3, 12), reason="Python 3.12 starts no thread once the main one has ended")
def test_a_first_call_may_come_late(user: User, receiver: Receiver) -> None:
    """A thread that calls for the first time when the program's main part is over reports its call."""
    program = CALL + "import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.3), ask())).start()\n"
    done = user.script(program + "print('over')\n", **ON, **to(receiver))
    assert (done.returncode, done.stdout, done.stderr) == (0, "over\n", "")
    assert len(receiver.spans()) == 1
    assert receiver.calls() == 1


def test_sigterm_after_a_first_call_in_a_thread(user: User, receiver: Receiver) -> None:
    """Switched on in code, with the first call in a thread: SIGTERM loses nothing either."""
    on = "from opentelemetry.instrumentation.xai import XAIInstrumentor\nXAIInstrumentor().instrument()\n"
    program = (
        on
        + "import threading\n"
        + WAITING.replace("ask()\n", "t = threading.Thread(target=ask)\nt.start()\nt.join()\n")
    )
    with user.running(user.python, user.write("app.py", program), **to(receiver)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "asked\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == -signal.SIGTERM
    assert len(receiver.spans()) == 1


def test_sigterm_is_given_back(user: User, receiver: Receiver) -> None:
    """Where there can be nothing of ours to send, the default handler is in place: own providers, or switched off."""
    program = (
        CALL
        + OWN
        + """
import signal
from opentelemetry.instrumentation.xai import XAIInstrumentor
def is_default(): return signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
armed = not is_default()
XAIInstrumentor().uninstrument()
print(armed, is_default())
set_up()
XAIInstrumentor().instrument()
print(is_default())
"""
    )
    assert user.script(program, **ON, **to(receiver)).stdout == "True True\nTrue\n"


# --- the start-up file -------------------------------------------------------------------------------------------------


def test_python_that_uses_no_client_imports_nothing_of_ours(user: User) -> None:
    """On, a program without a client library imports neither the package nor OpenTelemetry, and next to nothing else."""
    program = "import sys; print(sorted(name for name in sys.modules if 'opentelemetry' in name or name == 'logging'))"
    assert user.script(program, **ON).stdout == "['opentelemetry_instrumentation_xai']\n"
    assert user.script(program).stdout == "[]\n"


@pytest.mark.timing
def test_the_line_costs_a_look_up() -> None:
    """Unset, the start-up line costs hardly more than the compilation of any line that looks up a variable."""
    line = (ROOT / "instrumentation/startup/opentelemetry_instrumentation_xai.pth").read_text()

    def took(source: str) -> float:
        began = time.perf_counter()
        exec(source)
        return time.perf_counter() - began

    assert not os.environ.get(ENABLED)
    # In turns, and the least of each: what else the machine does costs both the same.
    pairs = [(took('import os; os.getenv("SOME_VARIABLE")'), took(line)) for _ in range(5000)]
    looking_up, ours = (min(times) for times in zip(*pairs, strict=True))  # 11 and 15 microseconds
    assert ours < 1.8 * looking_up


def test_the_start_up_file_knows_the_clients() -> None:
    """The start-up module waits for the libraries that there are adapters for."""
    namespace: dict[str, Any] = {"__name__": "x"}
    exec((ROOT / "instrumentation/startup/opentelemetry_instrumentation_xai.py").read_text(), namespace)
    assert namespace["LIBRARIES"] == LIBRARIES


def test_both_forms_of_the_start_up_file_are_installed(user: User) -> None:
    """Python to 3.14 reads the ``.pth``; later ones the ``.start``, whose lines are entry points."""
    site = Path(user.run(user.python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])").stdout.strip())
    (line,) = (site / "opentelemetry_instrumentation_xai.start").read_text().splitlines()
    done = user.run(user.python, "-c", f"import pkgutil; print(callable(pkgutil.resolve_name({line!r})))")
    assert done.stdout == "True\n"
    assert (site / "opentelemetry_instrumentation_xai.pth").read_text().startswith("import os; ")


def test_a_package_that_is_broken_is_said_and_no_more(user: User) -> None:
    """If our own package cannot be imported, the application runs, with one warning."""
    breaking = "import sys; sys.modules['opentelemetry.instrumentation.xai'] = None\n"
    done = user.script(breaking + SCRIPT, **ON)
    assert (done.returncode, done.stdout) == (0, "stop\n")
    assert len(done.stderr.splitlines()) == 1
    assert "xai-otel doctor" in done.stderr


@pytest.mark.thorough
def test_an_editable_installation_works_too(tmp_path: Path, server: Any, receiver: Receiver) -> None:
    """``pip install -e`` puts the start-up files into the site directory as well."""
    user = User(new_environment(tmp_path / "venv"), {"OPENAI_BASE_URL": f"{server.url}/v1", "OPENAI_API_KEY": "k"})
    user.install("--no-compile", "-e", ".[otlp]", "httpx")
    done = user.script(SCRIPT, **ON, **to(receiver), OTEL_INSTRUMENTATION_XAI_HOSTS="127.0.0.1")
    assert (done.stdout, done.stderr) == ("stop\n", "")
    assert len(receiver.spans()) == 1


def test_uninstalling_leaves_nothing(wheel: Path, tmp_path: Path) -> None:
    """``pip uninstall`` takes the start-up files away, and Python starts as before, with the variable set."""
    user = User(new_environment(tmp_path / "venv"), {})
    user.install("--no-compile", str(wheel))
    done = user.run(*user.pip, "uninstall", "-y", "-q", "opentelemetry-instrumentation-xai")
    assert done.returncode == 0
    assert not list(user.folder.rglob("opentelemetry_instrumentation_xai*"))
    done = user.run(user.python, "-c", "print(1)", **ON)
    assert (done.stdout, done.stderr) == ("1\n", "")

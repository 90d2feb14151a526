"""Switched on by OpenTelemetry's own means: its command, its configuration file, and as the Kubernetes operator does."""

import os
from pathlib import Path

import pytest

from switching_on.otlp_receiver import Receiver
from switching_on.user import CALL, User, new_environment

ENABLED = "OTEL_INSTRUMENTATION_XAI_ENABLED"
SCRIPT = CALL + "print(ask(headers={'x-grok-conv-id': 'conversation-1'}))\n"


def to(receiver: Receiver) -> dict[str, str]:
    """Where telemetry goes, and over which protocol: the distro's default is gRPC."""
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}


@pytest.mark.parametrize("variable", [{}, {ENABLED: "true"}], ids=["alone", "with-the-variable"])
def test_under_opentelemetry_instrument(user: User, receiver: Receiver, variable: dict[str, str]) -> None:
    """The command finds us by our entry point; with the variable too, calls are observed once and nothing is logged."""
    command = user.command("opentelemetry-instrument")
    done = user.run(command, user.python, user.write("app.py", SCRIPT), **to(receiver), **variable)
    assert (done.returncode, done.stdout, done.stderr) == (0, "stop\n", "")
    assert len(receiver.spans()) == 1
    assert receiver.calls() == 1


@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "xai"},
        {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "xai", ENABLED: "true"},
        {ENABLED: "false"},
        {"OTEL_SDK_DISABLED": "true", ENABLED: "true"},
    ],
    ids=["disabled", "disabled-beats-the-variable", "variable-says-no", "sdk-disabled"],
)
def test_what_switches_off_under_the_command(user: User, receiver: Receiver, variables: dict[str, str]) -> None:
    """Each of the variables that say no is heard, whatever else says yes."""
    command = user.command("opentelemetry-instrument")
    done = user.run(command, user.python, user.write("app.py", SCRIPT), **to(receiver), **variables)
    assert (done.returncode, done.stdout, done.stderr) == (0, "stop\n", "")
    assert receiver.spans() == []


CONFIGURATION = """
file_format: "1.0"
tracer_provider:
  processors:
    - batch:
        exporter:
          otlp_http:
            endpoint: {url}/v1/traces
meter_provider:
  readers:
    - periodic:
        exporter:
          otlp_http:
            endpoint: {url}/v1/metrics
instrumentation/development:
  python:
    xai:
      conversation_id: "off"
      hosts: ["127.0.0.1"]
{more}
"""


@pytest.mark.parametrize("variable", [{}, {ENABLED: "true"}], ids=["alone", "with-the-variable"])
def test_a_configuration_file_gives_the_settings(
    configurer: User, receiver: Receiver, variable: dict[str, str]
) -> None:
    """``OTEL_CONFIG_FILE``: the options under ``python: xai:`` are the settings, and the file says where it all goes."""
    file = configurer.write("otel.yaml", CONFIGURATION.format(url=receiver.url, more=""))
    command, script = configurer.command("opentelemetry-instrument"), configurer.write("app.py", SCRIPT)
    configurer.variables.pop("OTEL_INSTRUMENTATION_XAI_HOSTS")
    done = configurer.run(command, configurer.python, script, OTEL_CONFIG_FILE=file, **variable)
    assert (done.returncode, done.stdout, _said(done.stderr)) == (0, "stop\n", [])
    (attributes,) = receiver.attributes()
    assert attributes["xai.conversation.id.source"] == "header"
    assert "gen_ai.conversation.id" not in attributes
    assert receiver.calls() == 1


def test_a_wrong_option_in_a_configuration_file_gives_one_warning(configurer: User, receiver: Receiver) -> None:
    """An option that does not exist, or a value that is not allowed, is named with what is; the rest counts."""
    for more, named in (("      colour: blue", "colour"), ("      spans: some", "auto, always or never")):
        file = configurer.write("otel.yaml", CONFIGURATION.format(url=receiver.url, more=more))
        command, script = configurer.command("opentelemetry-instrument"), configurer.write("app.py", SCRIPT)
        done = configurer.run(command, configurer.python, script, OTEL_CONFIG_FILE=file)
        assert (done.returncode, done.stdout) == (0, "stop\n")
        (line,) = _said(done.stderr)
        assert named in line
    assert len(receiver.spans()) == 2


def _said(errors: str) -> list[str]:
    """What was logged, but for what OpenTelemetry's command says to each configuration file."""
    return [line for line in errors.splitlines() if "ignoring configurator kwargs" not in line]


@pytest.mark.thorough
def test_as_the_kubernetes_operator_injects(user: User, wheel: Path, receiver: Receiver, tmp_path: Path) -> None:
    """Packages in a folder of their own and ``PYTHONPATH`` alone: no start-up file is read there, the entry point is."""
    bare = User(new_environment(tmp_path / "application"), dict(user.variables))
    bare.install("--no-compile", "httpx")  # the application's image knows nothing of telemetry
    injected = tmp_path / "otel-auto-instrumentation-python"
    user.install("--no-compile", "--target", str(injected), f"{wheel}[otlp]")
    assert not (injected / "httpx").exists()
    path = os.pathsep.join([str(injected / "opentelemetry/instrumentation/auto_instrumentation"), str(injected)])
    done = bare.script(
        SCRIPT, PYTHONPATH=path, OTEL_TRACES_EXPORTER="otlp", OTEL_METRICS_EXPORTER="otlp", **to(receiver)
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "stop\n", "")
    assert len(receiver.spans()) == 1
    assert receiver.calls() == 1

"""Would telemetry arrive, and if not, for which reason (the most fundamental one) and what is to be done."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from ...settings import ENABLED, PREFIX
from .examination import Examination, Failed
from .installation import DISTRIBUTION, Installation
from .libraries import REQUIREMENTS, Libraries
from .signals import Export, Signal, Telemetry
from .switch import START_UP_FILE, Switch

_SWITCH_ON = f"export {ENABLED}=true"
_ASK = "export OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318"
_ASK_BOTH = "export OTEL_TRACES_EXPORTER=otlp OTEL_METRICS_EXPORTER=otlp"
_UNTIL = {"httpx": ", < 1", "aiohttp": ", < 4"}
"""The major version of a client library that has another interface."""


@dataclass(frozen=True)
class Verdict:
    """The judgement; reason and fix are ``None`` where telemetry would arrive."""

    arrives: bool
    reason: str | None = None
    fix: str | None = None


def judge(found: Examination) -> Verdict:
    """Judge what was found."""
    for name in ("switch", "libraries", "telemetry"):
        section = getattr(found, name)
        if isinstance(section, Failed):
            return _not(f"looking at the {name} failed ({section.failed})", "xai-otel doctor --json, and report it")
    assert isinstance(found.switch, Switch)
    assert isinstance(found.libraries, Libraries)
    assert isinstance(found.telemetry, Telemetry)
    exports = [export for signal in found.telemetry.signals for export in signal.exports]
    return (
        _by_switch(found.switch, found)
        or _by_clients(found.libraries, found.switch)
        or _by_command(found.switch, exports)
        or _by_signals(found.telemetry.signals, found.switch)
        or _by_silence(found)
        or _by_missing_exporter(found.switch, exports)
        or _by_endpoint(exports)
        or Verdict(arrives=True)
    )


def _not(reason: str, fix: str) -> Verdict:
    return Verdict(arrives=False, reason=reason, fix=fix)


def _by_switch(switch: Switch, found: Examination) -> Verdict | None:
    off = switch.switched_off_by
    if off:
        return _not(f"it is switched off by {off}", _SWITCH_ON if off == ENABLED else f"unset {off}")
    if switch.on or switch.command == "active":
        return None
    if switch.variable and not switch.variable_problem:
        return _by_start_up_file(switch, found)
    reason = "it is not switched on"
    if switch.variable_problem:
        reason = f"{ENABLED} has a wrong value"
    elif switch.command == "shadowed":
        reason = "another sitecustomize comes before that of opentelemetry-instrument"
    return _not(reason, _SWITCH_ON)


def _by_start_up_file(switch: Switch, found: Examination) -> Verdict:
    file = switch.start_up_file
    where = file.folder or ""
    installation = found.installation
    again = f"pip install --force-reinstall --no-deps {DISTRIBUTION}"
    if isinstance(installation, Installation) and installation.editable_project:
        again = f"pip install --force-reinstall --no-deps -e {shlex.quote(installation.editable_project)}"
    reason, fix = {
        "missing": ("the start-up file is not in the site directory", again),
        "elsewhere": (
            "the start-up file is in a folder that is no site directory",
            "opentelemetry-instrument python app.py",
        ),
        "ignored": ("Python was started with -S, which ignores start-up files", "python app.py  # without -S"),
        "unreadable": (
            "the start-up file cannot be read",
            f"chmod a+r {shlex.quote(str(Path(where, START_UP_FILE)))}",
        ),
        "present": ("the start-up file did not run, since the variable was set too late", _SWITCH_ON),
    }.get(file.state, ("the start-up file ran, but did not switch it on (see the log)", again))
    return _not(reason, fix)


def _by_command(switch: Switch, exports: list[Export]) -> Verdict | None:
    """What may have made opentelemetry-instrument give up: it does so altogether where it cannot set up the SDK."""
    file = switch.configuration_file
    if switch.command != "active":
        return None
    if file is not None and not file.exists:
        return _not("there is no file where OTEL_CONFIG_FILE says", "unset OTEL_CONFIG_FILE")
    if file is not None and not file.reader_installed:
        return _not("what reads OTEL_CONFIG_FILE is not installed", "pip install opentelemetry-configuration")
    if switch.on:
        return None
    return _by_missing_exporter(switch, exports) or _not(
        "opentelemetry-instrument did not switch it on (see its log)", _SWITCH_ON
    )


def _by_clients(libraries: Libraries, switch: Switch) -> Verdict | None:
    by_state = {client.state: client for client in reversed(libraries.clients)}
    if "patched" in by_state or ("not_patched" in by_state and not switch.on):
        return None
    for state, reason, fix in (
        ("not_patched", "{name} {version} is not patched in this process", "pip install --force-reinstall {name}"),
        ("too_old", "{name} {version} is too old", "pip install --upgrade '{requirement}'"),
        (
            "unsupported",
            "{name} {version} has no interface that could be observed",
            "pip install '{requirement}{until}'",
        ),
        ("broken", "{name} {version} cannot be imported ({problem})", "pip install --force-reinstall {name}"),
    ):
        if state in by_state:
            facts = {**vars(by_state[state]), "until": _UNTIL.get(by_state[state].name, "")}
            return _not(reason.format_map(facts), fix.format_map(facts))
    return _not("no client library is installed that can be observed", f"pip install '{REQUIREMENTS['httpx']}'")


def _by_signals(signals: tuple[Signal, ...], switch: Switch) -> Verdict | None:
    states = {signal.state for signal in signals}
    if states & {"sdk", "exporters"}:
        return None
    if states == {"none"}:
        return _not("both OTEL_TRACES_EXPORTER and OTEL_METRICS_EXPORTER are none", _ASK_BOTH)
    if "sdk_without_exporter" in states:
        by_command = switch.command == "active"
        fix = _ASK_BOTH if by_command else "provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))"
        return _not("the SDK that is set up has no exporter", fix)
    return _not("no exporter is asked for, and no SDK is set up", _ASK)


def _by_silence(found: Examination) -> Verdict | None:
    """Whether metrics go nowhere, and of spans none is made, or none is sampled."""
    assert isinstance(found.telemetry, Telemetry)
    if any(signal.name != "traces" and signal.state in {"sdk", "exporters"} for signal in found.telemetry.signals):
        return None
    settings = () if isinstance(found.settings, Failed) else found.settings
    if any((setting.keyword, setting.value) == ("spans", "never") for setting in settings):
        return _not("spans are switched off, and metrics go nowhere", f"unset {PREFIX}SPANS")
    if found.telemetry.samples_nothing:
        return _not("OTEL_TRACES_SAMPLER samples nothing, and metrics go nowhere", "unset OTEL_TRACES_SAMPLER")
    return None


def _by_missing_exporter(switch: Switch, exports: list[Export]) -> Verdict | None:
    for export in exports:
        if not export.installed:
            package = (
                "opentelemetry-exporter-otlp-proto-grpc" if export.protocol == "grpc" else f"'{DISTRIBUTION}[otlp]'"
            )
            fix = f"pip install {package}"
            if export.installed_instead and switch.command == "active":  # whose default is gRPC, asked for or not
                fix = f"export OTEL_EXPORTER_OTLP_PROTOCOL={export.installed_instead}  # or: {fix}"
            return _not(f"the exporter {export.exporter} is not installed", fix)
    return None


def _by_endpoint(exports: list[Export]) -> Verdict | None:
    for export in exports:
        if export.reachable is False:
            fix = f"export {export.endpoint_source}=http://HOST:PORT  # where a collector listens"
            if export.status in {401, 403}:
                fix = "export OTEL_EXPORTER_OTLP_HEADERS=NAME=VALUE  # the credentials that it wants"
            return _not(f"{export.endpoint}: {export.answer}", fix)
    return None

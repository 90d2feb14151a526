"""The screen: what was found as aligned rows with marks, the verdict last. Knows no facts, only how they are put.

At full width it has forty lines at the most: where rows would need more, they are cut instead of wrapped, and the empty
lines between sections go.
"""

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ...settings import ENABLED
from .examination import Examination, Failed
from .installation import Installation
from .libraries import Client, Libraries, OtherInstrumentation
from .options import Option
from .signals import Export, Signal, Telemetry
from .switch import Switch
from .verdict import Verdict

WIDEST = 100
_MOST_LINES = 40
_TITLE, _MARK, _NAME = 11, 4, 26
_MOST_OF_A_KIND = 3
OK, BAD, NOTE, ABSENT = "ok", "!!", "! ", "--"
_COLOURS = {OK: "32", BAD: "1;31", NOTE: "33", ABSENT: "2"}


class Row(NamedTuple):
    """One line, or more where its text is long."""

    mark: str
    name: str
    text: str


def page(found: Examination, verdict: Verdict, width: int, *, coloured: bool = False) -> str:
    """Everything, in lines no wider than ``width``; the fix alone may be, since it is to be copied."""
    sections: list[tuple[str, list[Row]]] = [
        ("Switch", _rows(found.switch, _switch)),
        ("Clients", _rows(found.libraries, lambda facts: _libraries(facts, found.switch))),
        ("Telemetry", _rows(found.telemetry, _telemetry)),
        ("Settings", _rows(found.settings, _settings)),
        ("Beside us", _rows(found.other_instrumentations, _others)),
        ("Installed", _rows(found.installation, _installation)),
    ]
    closing = _closing(verdict, width)
    lines = _laid_out(sections, width, coloured, wrap=True)
    if width >= WIDEST and len(lines) + len(closing) > _MOST_LINES:
        lines = _laid_out(sections, width, coloured, wrap=False)
    if width >= WIDEST and len(lines) + len(closing) > _MOST_LINES:
        lines = [line for line in lines if line] + [""]
    colour = _COLOURS[OK if verdict.arrives else BAD]
    return "\n".join([*lines, *(_painted(line, colour, coloured) for line in closing)])


def _laid_out(sections: list[tuple[str, list[Row]]], width: int, coloured: bool, *, wrap: bool) -> list[str]:
    lines = []
    room = width - _TITLE - _MARK - _NAME
    for title, rows in sections:
        heading = title
        for mark, name, text in rows:
            pieces = _pieces(text, room) if wrap else [_cut(text, room)]
            start = _painted(f"{heading:{_TITLE}}", "1", coloured and bool(heading))
            line = f"{start}{_painted(mark, _COLOURS[mark], coloured)}  {_printable(name):{_NAME}}{pieces[0]}"
            lines.append(line.rstrip())
            lines += [" " * (width - room) + piece for piece in pieces[1:]]
            heading = ""
        lines.append("")
    return lines


def _pieces(text: str, room: int) -> list[str]:
    return textwrap.wrap(_printable(text), room, break_on_hyphens=False) or [""]


def _cut(text: str, room: int) -> str:
    plain = _printable(text)
    return plain if len(plain) <= room else plain[: room - 4].rstrip() + " ..."


def _closing(verdict: Verdict, width: int) -> list[str]:
    if verdict.arrives:
        return ["Telemetry of xAI calls would arrive."]
    reason = f"Telemetry would NOT arrive: {verdict.reason}."
    return [*_pieces(reason, width), f"Fix: {_printable(verdict.fix or '')}"]


def _painted(text: str, colour: str, coloured: bool) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if coloured else text


def _printable(text: str) -> str:
    """A text in characters that any terminal shows; a value may hold others."""
    plain = text.encode("ascii", "backslashreplace").decode()
    return "".join(each if each.isprintable() else "?" for each in plain)


def _rows(section: Any, put: Callable[[Any], list[Row]]) -> list[Row]:
    if isinstance(section, Failed):
        return [Row(BAD, "not examined", f"this failed with {section.failed}; all else stands")]
    return put(section)


def _installation(found: Installation) -> list[Row]:
    place = f"editable, from {_path(found.editable_project)}" if found.editable_project else f"in {_path(found.folder)}"
    kind = "virtual environment" if found.is_virtual_environment else "no virtual environment:"
    sdk = f"SDK {found.sdk_version}" if found.sdk_version else "no SDK"
    return [
        Row(OK, f"xai {found.version}", place),
        Row(OK, f"Python {found.python_version}", f"{kind} {_path(found.environment)}"),
        Row(
            OK if found.sdk_version else ABSENT,
            f"OpenTelemetry {found.api_version}",
            f"{sdk}, instrumentation {found.instrumentation_version}",
        ),
    ]


_WAYS = {
    "variable": f"on, by {ENABLED}",
    "command": "on, by opentelemetry-instrument",
    "code": "on, by instrument() in this process",
}
_START_UP = {
    "active": (OK, "active, in {folder}"),
    "present": (OK, "in place, in {folder}"),
    "missing": (BAD, "not in {folder}"),
    "elsewhere": (BAD, "in {folder}, which is no site directory: Python ignores it there"),
    "ignored": (BAD, "ignored, since Python was started with -S"),
    "unreadable": (BAD, "not readable, in {folder}"),
}
_COMMAND = {
    "active": Row(OK, "opentelemetry-instrument", "runs this process"),
    "shadowed": Row(BAD, "opentelemetry-instrument", "on the path, but another sitecustomize comes before it"),
    "absent": Row(ABSENT, "opentelemetry-instrument", "does not run this process"),
}


def _switch(found: Switch) -> list[Row]:
    state = _WAYS.get(found.way or "", "off")
    if found.switched_off_by:
        state = f"off, by {found.switched_off_by}"
    file = found.start_up_file
    mark, text = _START_UP[file.state]
    if mark == BAD and (found.way in {"command", "code"} or not found.variable):
        mark = ABSENT  # another way is in use, so it is not in the way
    rows = [
        Row(OK if found.on else BAD, "switched", state),
        Row(ABSENT, "variable", f"{ENABLED} is not set"),
        Row(mark, "start-up file", text.format(folder=_path(file.folder))),
        _COMMAND[found.command],
    ]
    if found.variable:
        problem, says = found.variable_problem, f"{ENABLED}={found.variable}"
        mark = BAD if problem or found.switched_off_by == ENABLED else OK
        rows[1] = Row(mark, "variable", problem or says)
    if found.configuration_file:
        rows.append(_configuration_file(found))
    return rows


def _configuration_file(found: Switch) -> Row:
    file = found.configuration_file
    assert file is not None
    path = _path(file.path)
    if not file.exists:
        return Row(BAD, "OTEL_CONFIG_FILE", f"there is no file {path}")
    if not file.reader_installed:
        return Row(BAD, "OTEL_CONFIG_FILE", f"{path}; opentelemetry-configuration, which reads it, is not installed")
    if found.command != "active":
        return Row(ABSENT, "OTEL_CONFIG_FILE", f"{path}; read under opentelemetry-instrument only")
    return Row(OK, "OTEL_CONFIG_FILE", path)


_CLIENT_PROBLEMS = {
    "not_patched": "not patched in this process",
    "too_old": "too old: {requirement} is needed",
    "unsupported": "has no interface that could be observed",
    "broken": "cannot be imported ({problem})",
}


def _libraries(found: Libraries, switch: Switch | Failed) -> list[Row]:
    """What is as it should be shares rows, of which else there would be more than a screen has room for."""
    on = isinstance(switch, Switch) and switch.on
    states = {"patched": "calls seen over", **({} if on else {"not_patched": "not patched here"})}
    shared = [Row(OK if on else ABSENT, name, _named(found.clients, state)) for state, name in states.items()]
    rows = [row for row in shared if row.text]
    rows += [_client(client) for client in found.clients if client.state not in {"absent", *states}]
    if any(client.state == "absent" for client in found.clients):
        rows.append(Row(ABSENT, "not installed", _named(found.clients, "absent")))
    if found.sdks:
        rows.append(Row(OK, "SDKs over these", ", ".join(f"{each.name} {each.version}" for each in found.sdks)))
    if found.not_observed:
        names = ", ".join(f"{each.name} {each.version}" for each in found.not_observed)
        rows.append(Row(ABSENT, "calls not seen over", names))
    return rows


def _named(clients: Sequence[Client], state: str) -> str:
    return ", ".join(f"{each.name} {each.version or ''}".rstrip() for each in clients if each.state == state)


def _client(client: Client) -> Row:
    text = _CLIENT_PROBLEMS[client.state].format_map(vars(client))
    return Row(BAD, f"{client.name} {client.version or ''}".rstrip(), text)


def _telemetry(found: Telemetry) -> list[Row]:
    rows = [row for signal in found.signals for row in _signal(signal)]
    if any(row.mark == OK for row in rows):  # then a signal without a place is no obstacle
        rows = [row._replace(mark=NOTE) if row.text == _NOWHERE else row for row in rows]
    exports = [export for signal in found.signals for export in signal.exports]
    asked = dict.fromkeys(f"{each.asked_by} ({each.protocol or each.exporter})" for each in exports)
    if asked:
        rows.append(Row(OK, "asked for by", ", ".join(asked)))
    if found.headers_set:
        rows.append(Row(OK, "headers", "set (OTEL_EXPORTER_OTLP_HEADERS), not shown"))
    return rows + _problems(list(found.problems))


_NOWHERE = "no SDK is set up, and no variable asks for an exporter"
_SIGNAL_STATES = {
    "sdk": (OK, "by the {provider} that this process has set up"),
    "sdk_without_exporter": (BAD, "{provider} of this process has no exporter"),
    "none": (ABSENT, "switched off by a variable ({variable}=none)"),
    "nothing": (BAD, _NOWHERE),
}


def _signal(signal: Signal) -> list[Row]:
    if signal.state != "exporters":
        mark, text = _SIGNAL_STATES[signal.state]
        variable = f"OTEL_{signal.name.upper()}_EXPORTER"
        return [Row(mark, signal.name, text.format(provider=signal.provider, variable=variable))]
    rows = [_export(signal.name, export) for export in signal.exports[:_MOST_OF_A_KIND]]
    more = len(signal.exports) - _MOST_OF_A_KIND
    return [*rows, Row(ABSENT, signal.name, f"and {more} more (see --json)")] if more > 0 else rows


def _export(signal: str, export: Export) -> Row:
    if not export.installed:
        return Row(BAD, signal, f"exporter {export.exporter} is not installed")
    if export.endpoint is None:
        return Row(OK, signal, f"exporter {export.exporter}")
    mark = {True: OK, False: BAD, None: NOTE}[export.reachable]
    return Row(mark, signal, f"{export.endpoint}{' ' if export.reachable else ': '}{export.answer}")


def _settings(found: tuple[Option, ...]) -> list[Row]:
    rows = [
        Row(OK, option.keyword, f"{_value(option)} ({option.source})") for option in found if option.source != "default"
    ]
    defaults = ", ".join(
        f"{option.keyword} {_value(option)}"
        for option in found
        if option.source == "default" and option.value is not None
    )
    if defaults:
        rows.append(Row(OK, "by default", defaults))
    return rows + _problems([option.problem for option in found if option.problem])


def _value(option: Option) -> str:
    if isinstance(option.value, tuple):
        return ", ".join(option.value) or "none"
    return str(option.value)


def _problems(problems: list[str]) -> list[Row]:
    """Values that are not allowed. Those beyond the first few are only counted."""
    rows = [Row(NOTE, "wrong value", problem) for problem in problems[:_MOST_OF_A_KIND]]
    more = len(problems) - _MOST_OF_A_KIND
    return [*rows, Row(NOTE, "wrong value", f"and {more} more (see --json)")] if more > 0 else rows


def _others(found: tuple[OtherInstrumentation, ...]) -> list[Row]:
    if not found:
        return [Row(ABSENT, "none", "nothing else records calls to language models")]
    rows = [_other(each) for each in found if each.active is not False]
    idle = ", ".join(f"{each.name} {each.version}" for each in found if each.active is False)
    if len(rows) > _MOST_OF_A_KIND:
        names = ", ".join(each.name for each in found if each.active is not False)
        rows = [Row(NOTE, "several", f"{names}: each makes spans of its own (README, Beside others)")]
    return [*rows, Row(ABSENT, "not active here", idle)] if idle else rows


def _other(other: OtherInstrumentation) -> Row:
    name = f"{other.name} {other.version}"
    on = "on" if other.active else "if on"
    if other.two_spans is None:
        return Row(OK, name, f"{on}: its span has what ours would say (spans=auto)")
    return Row(NOTE, name, f"{on}: two spans, its and ours, of {other.two_spans}")


def _path(path: str | None) -> str:
    """A path, from the home folder on if it lies there."""
    if path is None:
        return "?"
    home = str(Path.home())
    return "~" + path[len(home) :] if len(home) > 1 and path.startswith(home + "/") else path

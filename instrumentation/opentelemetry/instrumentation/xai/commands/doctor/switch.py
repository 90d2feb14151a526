"""Whether the instrumentation is switched on in this process, by which way, or what keeps it off."""

import os
import site
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...environment import is_disabled
from ...instrumentor import XAIInstrumentor
from ...notices import shown
from ...settings import ENABLED, is_enabled
from .complaints import complaints_of
from .installation import version_of

START_UP_FILE = "opentelemetry_instrumentation_xai" + (".start" if sys.version_info >= (3, 15) else ".pth")
_START_UP_MODULE = "opentelemetry_instrumentation_xai"
_COMMAND_FOLDER = ("opentelemetry", "instrumentation", "auto_instrumentation")


@dataclass(frozen=True)
class StartUpFile:
    """The file by which Python switches us on when it starts."""

    state: str
    """``active`` (it has run here), ``present``, ``missing``, ``unreadable``, ``ignored`` (Python was started with -S),
    or ``elsewhere`` (in a folder where Python looks for modules, but for no start-up files)."""
    folder: str | None


@dataclass(frozen=True)
class ConfigurationFile:
    """The file of declarative configuration that ``OTEL_CONFIG_FILE`` names."""

    path: str
    exists: bool
    reader_installed: bool


@dataclass(frozen=True)
class Switch:
    """All ways of switching on, and of keeping it off."""

    on: bool
    way: str | None
    """``variable``, ``command`` (opentelemetry-instrument) or ``code`` (``instrument()``)."""
    variable: str | None
    """The value of the ..._ENABLED variable."""
    variable_problem: str | None
    start_up_file: StartUpFile
    command: str
    """opentelemetry-instrument: ``active``, ``absent``, or ``shadowed`` by another sitecustomize."""
    instrumented: bool
    """Whether ``instrument()`` has been called, by whomever."""
    switched_off_by: str | None
    configuration_file: ConfigurationFile | None


def switch(environ: Mapping[str, str]) -> Switch:
    """Look at the variables, the site directory, and what has happened in this process."""
    says, problems = complaints_of(lambda: is_enabled(environ))
    instrumented = bool(XAIInstrumentor().is_instrumented_by_opentelemetry)
    start_up_file, command = _start_up_file(), _command(environ)
    off = ENABLED if says is False else is_disabled(environ)
    if instrumented and off == "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS":
        off = None  # which keeps off the automatic ways only
    way = None
    if instrumented:
        way = "command" if command == "active" else "variable" if start_up_file.state == "active" else "code"
    elif start_up_file.state == "active" and says:
        way = "variable"  # it waits for the first import of a client library
    return Switch(
        on=way is not None and off is None,
        way=way,
        variable=shown(environ[ENABLED]) if environ.get(ENABLED) else None,
        variable_problem=problems[0] if problems else None,
        start_up_file=start_up_file,
        command=command,
        instrumented=instrumented,
        switched_off_by=off,
        configuration_file=_configuration_file(environ),
    )


def _start_up_file() -> StartUpFile:
    folders = [*site.getsitepackages(), *([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])]
    folder = next((each for each in folders if _is_there(each)), None)
    if _START_UP_MODULE in sys.modules:
        return StartUpFile("active", folder or str(Path(sys.modules[_START_UP_MODULE].__file__ or "").parent))
    if folder is None:
        elsewhere = next((each for each in sys.path if each and _is_there(each)), None)
        return StartUpFile("elsewhere", elsewhere) if elsewhere else StartUpFile("missing", folders[0])
    if sys.flags.no_site:
        return StartUpFile("ignored", folder)
    readable = os.access(Path(folder, START_UP_FILE), os.R_OK)
    return StartUpFile("present" if readable else "unreadable", folder)


def _is_there(folder: str) -> bool:
    return _is_file(Path(folder, START_UP_FILE))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a folder that may not be searched, a name that is too long
        return False


def _command(environ: Mapping[str, str]) -> str:
    customized = getattr(sys.modules.get("sitecustomize"), "__file__", None)
    if customized and Path(customized).parent.parts[-3:] == _COMMAND_FOLDER:
        return "active"
    on_path = [*environ.get("PYTHONPATH", "").split(os.pathsep), *sys.path]
    return "shadowed" if any(Path(each).parts[-3:] == _COMMAND_FOLDER for each in on_path) else "absent"


def _configuration_file(environ: Mapping[str, str]) -> ConfigurationFile | None:
    path = environ.get("OTEL_CONFIG_FILE")
    if not path:
        return None
    return ConfigurationFile(shown(path), _is_file(Path(path)), version_of("opentelemetry-configuration") is not None)

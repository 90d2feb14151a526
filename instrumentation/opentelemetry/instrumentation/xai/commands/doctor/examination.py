"""All facts, gathered section by section. A section that fails says so by the type of its exception, and no more."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from .installation import Installation, installation
from .libraries import Libraries, OtherInstrumentation, libraries, other_instrumentations
from .options import Option, options
from .signals import Telemetry, telemetry
from .switch import Switch, switch

_Facts = TypeVar("_Facts")


@dataclass(frozen=True)
class Failed:
    """A section that could not be examined."""

    failed: str
    """The type of the exception: its message might hold anything."""


@dataclass(frozen=True)
class Examination:
    """What was found. The names are those of the JSON output."""

    installation: Installation | Failed
    switch: Switch | Failed
    libraries: Libraries | Failed
    telemetry: Telemetry | Failed
    settings: tuple[Option, ...] | Failed
    other_instrumentations: tuple[OtherInstrumentation, ...] | Failed


def examine(environ: Mapping[str, str]) -> Examination:
    """Gather all facts. The libraries are first, since importing them is what makes the start-up file switch on."""
    found_libraries = _section(libraries)
    found_switch = _section(lambda: switch(environ))
    by_variables = (
        isinstance(found_switch, Switch)
        and found_switch.command == "active"
        and found_switch.configuration_file is None
    )
    return Examination(
        installation=_section(installation),
        switch=found_switch,
        libraries=found_libraries,
        telemetry=_section(lambda: telemetry(environ, by_variables=by_variables)),
        settings=_section(lambda: options(environ)),
        other_instrumentations=_section(lambda: other_instrumentations(environ)),
    )


def _section(gather: Callable[[], _Facts]) -> _Facts | Failed:
    try:
        return gather()
    except Exception as error:
        return Failed(type(error).__name__)

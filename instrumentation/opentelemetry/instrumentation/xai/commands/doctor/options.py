"""The settings as the environment gives them, each with where it came from. Validation is in ``settings`` alone."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from ...settings import PREFIX, Configuration, Settings
from .complaints import complaints_of


@dataclass(frozen=True)
class Option:
    """One setting."""

    keyword: str
    value: str | tuple[str, ...] | None
    """``None`` for one that comes with a later version. Of the key, only whether it is ``set`` or ``random``."""
    source: str
    """``default``, or the name of the variable."""
    problem: str | None
    """What is wrong with the variable's value, which may then be the default in part or whole."""


def options(environ: Mapping[str, str]) -> tuple[Option, ...]:
    """All settings that have a value, and those without that somebody has set."""
    found = (_option(field.name, environ) for field in fields(Configuration))
    return tuple(option for option in found if option.value is not None or option.problem)


def _option(keyword: str, environ: Mapping[str, str]) -> Option:
    variable = PREFIX + keyword.upper()
    given = {variable: environ[variable]} if environ.get(variable) else {}
    settings, problems = complaints_of(lambda: Settings.read({}, given))
    value = getattr(settings, keyword, None)
    taken = bool(given) and (not problems or value != getattr(Settings(), keyword, None))
    if keyword == "key":
        value = "set" if given else "random"
    return Option(keyword, value, variable if taken else "default", problems[0] if problems else None)

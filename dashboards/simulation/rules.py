"""A Prometheus rule file: its recording rules in the order in which they depend on each other, and its alerts."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

import yaml

_NAME: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_UNITS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_DURATION: Final = re.compile(r"(\d+)(ms|s|m|h|d|w|y)")
DEFAULT_INTERVAL_S: Final = 60


class RulesError(Exception):
    """The rule file cannot be evaluated; the message says why."""


class Recording(NamedTuple):
    """A recording rule."""

    record: str
    expr: str
    interval: int
    labels: dict[str, str]


class Alert(NamedTuple):
    """An alerting rule; durations in seconds."""

    name: str
    expr: str
    interval: int
    hold: float
    keep: float
    labels: dict[str, str]

    @property
    def severity(self) -> str:
        """The value of its ``severity`` label."""
        return self.labels.get("severity", "none")


class Rules(NamedTuple):
    """What a rule file says."""

    levels: tuple[tuple[Recording, ...], ...]
    """Recording rules; each level needs only what the levels before it record."""
    alerts: tuple[Alert, ...]


def read(path: Path) -> Rules:
    """The rules of a file."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        recordings: list[Recording] = []
        alerts: list[Alert] = []
        for group in document["groups"]:
            interval = round(seconds(group.get("interval", f"{DEFAULT_INTERVAL_S}s")))
            for rule in group["rules"]:
                expr, labels = str(rule["expr"]), rule.get("labels") or {}
                if "record" in rule:
                    recordings.append(Recording(rule["record"], expr, interval, labels))
                else:
                    hold, keep = seconds(rule.get("for", "0s")), seconds(rule.get("keep_firing_for", "0s"))
                    alerts.append(Alert(rule["alert"], expr, interval, hold, keep, labels))
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as fault:
        raise RulesError(f"{path} is no Prometheus rule file: {type(fault).__name__}: {fault}") from fault
    if not alerts:
        raise RulesError(f"{path} has no alerts")
    return Rules(_in_levels(recordings), tuple(alerts))


def seconds(duration: str) -> float:
    """The seconds of a duration as Prometheus writes it, such as ``1h30m``."""
    text = str(duration)
    if text == "0":
        return 0.0
    if not re.fullmatch(f"({_DURATION.pattern})+", text):
        raise RulesError(f"{text!r} is no duration")
    return sum(int(count) * _UNITS[unit] for count, unit in _DURATION.findall(text))


def _in_levels(recordings: Iterable[Recording]) -> tuple[tuple[Recording, ...], ...]:
    left = list(recordings)
    levels: list[tuple[Recording, ...]] = []
    while left:
        awaited = {rule.record for rule in left}
        ready = tuple(rule for rule in left if not awaited & set(_NAME.findall(rule.expr)))
        if not ready:
            raise RulesError(f"these recording rules depend on each other in a circle: {', '.join(sorted(awaited))}")
        levels.append(ready)
        left = [rule for rule in left if rule not in ready]
    return tuple(levels)

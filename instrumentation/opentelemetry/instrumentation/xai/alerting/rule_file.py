"""The text of the rule file: YAML of the few shapes that Prometheus knows.

Written by hand, since a template is all it takes: strings are JSON strings, which YAML reads as its own, and
expressions are literal blocks, so that people can read them.
"""

import json
from collections.abc import Iterable, Mapping

from ..version import __version__
from .alerts import Alert, alerts
from .recording import Record, records
from .thresholds import Thresholds


def rule_file(thresholds: Thresholds) -> str:
    """The rules that ``promtool check rules`` and its like read."""
    budget = thresholds.budget_usd_per_hour
    accepted = ", ".join(thresholds.accept) or "nothing"
    lines = [
        f"# Made by xai-otel alerts (opentelemetry-instrumentation-xai {__version__}).",
        f"# objective {thresholds.objective:g}, budget {budget:g} USD an hour, accepted: {accepted}",
        "groups:",
        "  - name: xai-cache-recording",
        "    rules:",
        *_indented(line for record in records(thresholds) for line in _record(record)),
        "  - name: xai-cache-alerts",
        "    rules:",
        *_indented(line for alert in alerts(thresholds) for line in _alert(alert, thresholds.labels)),
    ]
    return "\n".join(lines) + "\n"


def _indented(lines: Iterable[str]) -> Iterable[str]:
    return (f"      {line}" for line in lines)


def _record(record: Record) -> list[str]:
    return [f"- record: {record.name}", *_expression(record.expression)]


def _alert(alert: Alert, labels: Mapping[str, str]) -> list[str]:
    return [
        f"- alert: {alert.name}",
        *_expression(alert.expression),
        f"  for: {alert.lasting}",
        f"  keep_firing_for: {alert.kept}",
        "  labels:",
        *_mapping({"severity": alert.severity, **labels}),
        "  annotations:",
        *_mapping(alert.annotations),
    ]


def _expression(expression: str) -> list[str]:
    return ["  expr: |", *(f"    {line}" for line in expression.splitlines())]


def _mapping(entries: Mapping[str, str]) -> list[str]:
    return [f"    {key}: {json.dumps(value, ensure_ascii=False)}" for key, value in entries.items()]

"""Every query that we ship, with where it is from: of panels, variables and annotations, and of rules.

Read from the files that are shipped, whatever made them. Variables are replaced as Grafana replaces them when all is
chosen.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

GENERATED: Final = Path(__file__).resolve().parents[2] / "dashboards" / "generated"
BOARDS: Final = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(GENERATED.glob("*.json"))}
RULE_FILE: Final = GENERATED / "xai-alerts.yaml"

RATE_INTERVAL: Final = "1m"
"""What Grafana takes at least, for a data source whose scrape interval is left at 15 s."""
RANGE: Final = "5m"
_VARIABLES: Final = {"job": ".*", "model": ".*", "objective": "0.85", "datasource": "prometheus", "tempo": "tempo"}
_LABEL_VALUES = re.compile(r"label_values\((?:(?P<selector>.+),\s*)?(?P<label>\w+)\)")
_VARIABLE = re.compile(r"\$(?:\{([a-z_]\w*)(?::\w+)?\}|([a-z_]\w*))")


class Query(NamedTuple):
    """A query of a board."""

    board: str
    place: str
    ref: str
    expression: str
    instant: bool

    def __str__(self) -> str:
        return f"{self.board}, {self.place}, {self.ref}"

    def filled_in(self, **values: str) -> str:
        """The query as Grafana would send it."""
        return filled_in(self.expression, **values)


class Variable(NamedTuple):
    """A variable whose values are those of a label."""

    board: str
    name: str
    selector: str
    label: str

    def __str__(self) -> str:
        return f"{self.board}, ${self.name}"


class Rule(NamedTuple):
    """A rule, that records a series or raises an alert."""

    name: str
    expression: str
    is_alert: bool
    labels: Mapping[str, str]
    annotations: Mapping[str, str]

    def __str__(self) -> str:
        return self.name


def filled_in(query: str, **values: str) -> str:
    """A query with the variables replaced: Grafana's own, and those of the boards with all chosen."""
    known = {"__rate_interval": RATE_INTERVAL, "__range": RANGE, "__interval": "15s", **_VARIABLES, **values}
    return _VARIABLE.sub(lambda found: known[found[1] or found[2]], query)


def panels(board: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """All panels, those inside of rows too."""
    for panel in board["panels"]:
        if panel["type"] == "row":
            yield from panels({"panels": panel.get("panels", ())})
        else:
            yield panel


def _targets(kind: str) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    for uid, board in BOARDS.items():
        for panel in panels(board):
            for target in panel.get("targets", ()):
                if target["datasource"]["type"] == kind:
                    yield uid, panel, target


PANELS: Final = [
    Query(uid, f"{panel['id']} {panel['title']}", target["refId"], target["expr"], bool(target.get("instant")))
    for uid, panel, target in _targets("prometheus")
]
TOTALS: Final = [
    query
    for query in PANELS
    if query.instant and "$__range" in query.expression and "histogram_quantile" not in query.expression
]
"""What is counted, or made of counts, over the whole time of a board."""
TRACES: Final = [
    Query(uid, f"{panel['id']} {panel['title']}", target["refId"], target["query"], False)
    for uid, panel, target in _targets("tempo")
]
"""Of panels on Tempo: TraceQL, which Prometheus does not speak."""
ANNOTATIONS: Final = [
    Query(uid, "annotation", annotation["name"], annotation["expr"], False)
    for uid, board in BOARDS.items()
    for annotation in board["annotations"]["list"]
    if annotation.get("expr")
]
VARIABLES: Final = [
    Variable(uid, variable["name"], found["selector"] or "", found["label"])
    for uid, board in BOARDS.items()
    for variable in board["templating"]["list"]
    if variable["type"] == "query" and (found := _LABEL_VALUES.fullmatch(variable["query"]))
]
RULES: Final = [
    Rule(
        rule.get("record") or rule["alert"],
        rule["expr"],
        "alert" in rule,
        rule.get("labels", {}),
        rule.get("annotations", {}),
    )
    for group in yaml.safe_load(RULE_FILE.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
RECORDED: Final = [rule for rule in RULES if not rule.is_alert]
ALERTS: Final = [rule for rule in RULES if rule.is_alert]

_QUERY_IN_A_TEMPLATE = re.compile(r"printf `(?P<query>[^`]+)` [^|]+\| query")


def queries_of(rule: Rule) -> list[str]:
    """What the annotations of an alert ask Prometheus, with something in the place of each label's value."""
    asked = [found["query"] for text in rule.annotations.values() for found in _QUERY_IN_A_TEMPLATE.finditer(text)]
    return [query.replace("%q", '"any"') for query in asked]

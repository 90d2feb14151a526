"""What Grafana's dashboard-linter asks of a board, and what we ask beyond it, on the JSON that is committed.

The linter is a Go program of Grafana's; its rules are few, so they are said here again. Where a board leaves one out, the
reason stands in ``EXCLUDED``.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opentelemetry.instrumentation.xai import conventions, promql

promql_parser = pytest.importorskip("promql_parser", reason="needs the group `dashboards`")

GENERATED = Path(__file__).resolve().parents[2] / "dashboards" / "generated"
BOARDS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(GENERATED.glob("*.json"))}

EXCLUDED = {
    "template-instance-rule": "No instance variable: a call has no place, and OTLP paths may carry no instance.",
    "target-instance-rule": "The same.",
    "target-logql-rule": "No Loki.",
    "target-info-model": "`target_info` describes a process, which has no model.",
    "versions-are-no-counts": "Whether a version has series is asked of the series themselves, not of what they count.",
    "traceql-is-no-promql": "Panels on Tempo ask in TraceQL: no matchers, no rates. Their data source is a variable too.",
    "objective-has-no-series": "The objective is a number, `vector($objective)`.",
}

UNITS = {"percentunit", "s", "short", "locale", "currencyUSD", "reqpm", "suffix: tok/s"}
RANGES = {"$__rate_interval", "$__range"}
_SAMPLE = {
    "$__rate_interval": "4m",
    "$__range": "6h",
    "$job": ".*",
    "$model": ".*",
    "$objective": "0.85",
}


def _rows_opened(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [inner for panel in board["panels"] for inner in (panel, *panel.get("panels", ()))]


def _panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in _rows_opened(board) if panel["type"] != "row"]


def _is_prometheus(panel: dict[str, Any]) -> bool:
    return bool(panel["datasource"]["type"] == "prometheus")


ALL = [(board, panel) for board in BOARDS.values() for panel in _panels(board)]
PANELS = [pytest.param(panel, id=f"{board['uid']}: {panel['title']}") for board, panel in ALL]
QUERIES = [
    pytest.param(target["expr"], id=f"{board['uid']}: {panel['title']} {target['refId']}")
    for board, panel in ALL
    if _is_prometheus(panel)
    for target in panel["targets"]
]
ANNOTATIONS = [note["expr"] for board in BOARDS.values() for note in board["annotations"]["list"] if "expr" in note]
each_board = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS.keys())
each_panel = pytest.mark.parametrize("panel", PANELS)
each_query = pytest.mark.parametrize("query", QUERIES)


def filled_in(query: str) -> str:
    """The query as Grafana sends it."""
    for variable, value in _SAMPLE.items():
        query = query.replace(variable, value)
    return query


def walk(node: Any, within: tuple[str, ...] = ()) -> Iterator[tuple[Any, tuple[str, ...]]]:
    """Each selector of an expression, with the functions around it."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node, within
        return
    if isinstance(node, promql_parser.Call):
        within = (*within, node.func.name)
    for name in ("lhs", "rhs", "expr", "param", "vector_selector"):
        if (child := getattr(node, name, None)) is not None:
            yield from walk(child, within)
    for child in getattr(node, "args", ()):
        yield from walk(child, within)


def selectors(query: str) -> list[tuple[Any, tuple[str, ...]]]:
    """The selectors of a query."""
    return list(walk(promql_parser.parse(filled_in(query))))


def test_there_are_two_boards() -> None:
    """The overview, and the one for regressions; each is kept under its uid."""
    assert list(BOARDS) == ["xai-cache-regressions", "xai-overview"]
    assert [(board["uid"], board["title"]) for board in BOARDS.values()] == [
        ("xai-cache-regressions", "xAI cache regressions"),
        ("xai-overview", "xAI overview"),
    ]


@each_board
def test_the_data_source_is_chosen_on_the_board(board: dict[str, Any]) -> None:
    """template-datasource-rule: the first variable is the Prometheus data source, and one is that of Tempo."""
    first = board["templating"]["list"][0]
    assert (first["name"], first["type"], first["query"]) == ("datasource", "datasource", "prometheus")
    assert ("tempo", "datasource", "tempo") in [
        (variable["name"], variable["type"], variable.get("query")) for variable in board["templating"]["list"]
    ]


@each_board
def test_job_and_model_are_chosen_on_the_board(board: dict[str, Any]) -> None:
    """template-job-rule: several of them or all, where all is ``.*``, which finds series without the label as well."""
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    for name in ("job", "model"):
        variable = variables[name]
        assert variable["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert (variable["multi"], variable["includeAll"], variable["allValue"]) == (True, True, ".*")
    assert 'job=~"$job"' in variables["model"]["query"]


@each_board
def test_variables_reload_when_the_time_changes(board: dict[str, Any]) -> None:
    """template-on-time-change-reload-rule: a model of last week is offered when one looks at last week."""
    assert {v["name"]: v["refresh"] for v in board["templating"]["list"] if v["type"] == "query"} == {
        "job": 2,
        "model": 2,
    }


@each_panel
def test_every_panel_uses_the_variable_data_source(panel: dict[str, Any]) -> None:
    """panel-datasource-rule: the panel and each of its queries."""
    known = [{"type": "prometheus", "uid": "${datasource}"}, {"type": "tempo", "uid": "${tempo}"}]
    assert panel["datasource"] in known
    assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])


@each_panel
def test_every_panel_has_title_and_description(panel: dict[str, Any]) -> None:
    """panel-title-description-rule: and the description names the metrics, or where else the figures are from."""
    assert panel["title"]
    assert len(panel["description"]) > 80
    assert re.search(r"From (`[a-z]|spans)", panel["description"]), "does not say where it is from"
    assert "{queries" not in panel["description"], "a name that was not filled in"


@each_panel
def test_every_panel_has_a_unit(panel: dict[str, Any]) -> None:
    """panel-units-rule: one that Grafana knows, in every column too."""
    fields = panel["fieldConfig"]
    said = [fields["defaults"]["unit"]]
    said += [p["value"] for o in fields["overrides"] for p in o["properties"] if p["id"] == "unit"]
    assert set(said) <= UNITS


@each_panel
def test_every_panel_asks_something(panel: dict[str, Any]) -> None:
    """panel-no-targets-rule: with an id for each query."""
    ids = [target["refId"] for target in panel["targets"]]
    assert ids
    assert len(set(ids)) == len(ids)


@each_panel
def test_no_data_is_said_in_words(panel: dict[str, Any]) -> None:
    """What has no sample says so, in grey on figures, and 0 stays a number."""
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["noValue"] == "no data"
    if panel["type"] == "stat":
        (mapping,) = defaults["mappings"]
        assert (mapping["type"], mapping["options"]["match"]) == ("special", "null+nan")
        assert mapping["options"]["result"]["text"] == "no data"


@each_panel
def test_every_panel_leads_to_traces(panel: dict[str, Any]) -> None:
    """A TraceQL search in Explore, on the chosen Tempo and the chosen time."""
    link = panel["links"][0]
    assert link["title"].startswith("Traces ")
    assert link["url"].startswith("/explore?schemaVersion=1&")
    assert "${tempo}" in link["url"]
    assert "${__from}" in link["url"]
    assert "${model:pipe}" in link["url"]


@each_query
def test_every_query_is_valid(query: str) -> None:
    """target-promql-rule: a parser other than Prometheus' accepts it once the variables are filled in."""
    assert promql_parser.parse(filled_in(query)) is not None
    assert "$" not in filled_in(query).replace('"$1"', "")


@each_query
def test_every_selector_is_of_the_chosen_job_and_model(query: str) -> None:
    """target-job-rule, and the same for the model."""
    for selector, _ in selectors(query):
        matchers = {matcher.name: matcher for matcher in selector.matchers.matchers}
        for name in ("job", "gen_ai_request_model"):
            assert matchers[name].value == ".*", f"{selector} takes no notice of the variable"
            assert matchers[name].op == promql_parser.MatchOp.Re
    assert query.count('job=~"$job"') == query.count('gen_ai_request_model=~"$model"') == len(selectors(query))


@each_query
def test_rates_are_over_the_boards_own_intervals(query: str) -> None:
    """target-rate-interval-rule: ``$__rate_interval`` over time, ``$__range`` in all, never a fixed time."""
    assert set(re.findall(r"\[([^\]]+)\]", query)) <= RANGES


@each_query
def test_counters_are_only_looked_at_as_they_grow(query: str) -> None:
    """target-counter-agg-rule: every series of ours is a counter, or part of a histogram, which is the same."""
    for selector, within in selectors(query):
        assert {"rate", "increase"} & set(within), f"{selector} is a bare counter"


@each_query
def test_totals_come_from_counters_alone(query: str) -> None:
    """A histogram begins with its first record, which ``increase`` does not see; our counters begin at 0."""
    histograms = tuple(promql.metric(histogram) for histogram in conventions.HISTOGRAMS)
    assert not [
        str(selector)
        for selector, within in selectors(query)
        if "increase" in within and selector.name.startswith(histograms)
    ]


@each_query
def test_nothing_is_kept_that_tells_exporters_apart(query: str) -> None:
    """Every rate is summed: scope, instance and exporter labels differ between metrics paths and versions."""
    assert query.count("rate(") + query.count("increase(") == len(
        re.findall(r"sum(?: by \([^)]*\) )?\((?:rate|increase)\(", query)
    )


@each_query
def test_buckets_are_never_named(query: str) -> None:
    """``le`` is written ``1`` by one Prometheus and ``1.0`` by another."""
    assert not re.search(r"\ble\s*(=|!)", query)


def test_annotations_are_valid_and_of_the_chosen_job() -> None:
    """Deployments are found in ``target_info`` and in a promoted label, both by the variable ``job``."""
    assert len(ANNOTATIONS) == 2
    for query in ANNOTATIONS:
        assert query.count('job=~"$job"') == len(selectors(query)) == 2
        assert 'service_version!=""' in query
    assert sorted({s.name for query in ANNOTATIONS for s, _ in selectors(query)}) == [
        "gen_ai_client_operation_duration_seconds_count",
        "target_info",
    ]


@pytest.mark.parametrize("metric", [*conventions.COUNTERS, *conventions.HISTOGRAMS], ids=lambda metric: metric.name)
def test_every_metric_is_on_some_panel(metric: conventions.Counter | conventions.Histogram) -> None:
    """What the package emits can be seen without writing a query."""
    name = promql.metric(metric)
    ends = (
        {name} if isinstance(metric, conventions.Counter) else {f"{name}_{part}" for part in ("bucket", "sum", "count")}
    )
    asked = {selector.name for query in QUERIES for selector, _ in selectors(query.values[0])}
    assert ends & asked


def test_every_metric_asked_for_is_emitted() -> None:
    """No panel asks for a name that the package does not emit."""
    emitted = {promql.metric(counter) for counter in conventions.COUNTERS}
    emitted |= {
        f"{promql.metric(histogram)}_{part}"
        for histogram in conventions.HISTOGRAMS
        for part in ("bucket", "sum", "count")
    }
    assert {selector.name for query in QUERIES for selector, _ in selectors(query.values[0])} <= emitted


@each_board
def test_nobody_edits_by_hand(board: dict[str, Any]) -> None:
    """uneditable-dashboard-rule: the source is the place to edit; no id, which is the server's to give."""
    assert board["editable"] is False
    assert not board.get("id")


@each_board
def test_titles_and_ids_are_unique(board: dict[str, Any]) -> None:
    """One can speak of a panel by its title, and link to it by its id."""
    titles = [panel["title"] for panel in _rows_opened(board)]
    ids = [panel["id"] for panel in _rows_opened(board)]
    assert len(set(titles)) == len(titles)
    assert ids == list(range(1, len(ids) + 1))


@each_board
def test_nothing_overlaps_and_nothing_is_wasted(board: dict[str, Any]) -> None:
    """Every cell of the 24 columns is covered once, from the top to the last panel, rows opened."""
    covered: dict[tuple[int, int], str] = {}
    for panel in _rows_opened(board):
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in covered, f"{panel['title']} lies over {covered[x, y]}"
                covered[x, y] = panel["title"]
    height = max(y for _, y in covered) + 1
    assert {x for x, _ in covered} == set(range(24))
    assert len(covered) == 24 * height


@each_board
def test_the_first_panel_is_the_efficiency(board: dict[str, Any]) -> None:
    """What a tired engineer needs first stands top left."""
    first = next(panel for panel in _panels(board) if (panel["gridPos"]["x"], panel["gridPos"]["y"]) == (0, 1))
    assert (first["title"], first["type"]) == ("Cache efficiency", "stat")


@each_board
def test_the_boards_lead_to_each_other(board: dict[str, Any]) -> None:
    """With the variables and the time that were chosen."""
    (link,) = board["links"]
    assert {link["url"].removeprefix("/d/"), board["uid"]} == set(BOARDS)
    assert (link["includeVars"], link["keepTime"]) == (True, True)


@each_board
def test_time_and_refresh(board: dict[str, Any]) -> None:
    """A shared cross-hair, a minute's refresh, and as much time as the question needs."""
    assert (board["graphTooltip"], board["refresh"]) == (1, "1m")
    assert board["time"] == {"from": "now-24h" if "regressions" in board["uid"] else "now-6h", "to": "now"}


def test_conversations_are_asked_for_only_when_opened() -> None:
    """TraceQL panels stand in a collapsed row: without a Tempo nothing fails."""
    for board in BOARDS.values():
        for panel in board["panels"]:
            if panel["type"] != "row":
                assert _is_prometheus(panel)
    rows = [p for p in BOARDS["xai-cache-regressions"]["panels"] if p["type"] == "row" and p["collapsed"]]
    assert [len(row["panels"]) for row in rows] == [4]
    assert all(not _is_prometheus(panel) for panel in rows[0]["panels"])


def test_samples_of_histograms_lead_to_traces() -> None:
    """Lines of a histogram ask for exemplars, which link to a trace on paths that carry them."""
    for _, panel in ALL:
        if panel["type"] == "timeseries" and _is_prometheus(panel):
            for target in panel["targets"]:
                if "_bucket{" in target["expr"]:
                    assert target["exemplar"] is True


def test_colours_mean_the_same_everywhere() -> None:
    """A series of one name has one colour on both boards."""
    colors: dict[str, set[str]] = {}
    for _, panel in ALL:
        for override in panel["fieldConfig"]["overrides"]:
            for part in override["properties"]:
                if part["id"] == "color" and override["matcher"]["id"] == "byName":
                    colors.setdefault(override["matcher"]["options"], set()).add(part["value"]["fixedColor"])
    fixed = {"reused", "saved", "lost by the client", "lost by the provider", "warm p50", "cold p50", "now"}
    assert {name: seen for name, seen in colors.items() if name in fixed} == {
        "reused": {"green"},
        "saved": {"green"},
        "now": {"green"},
        "warm p50": {"green"},
        "cold p50": {"orange"},
        "lost by the client": {"red"},
        "lost by the provider": {"orange"},
    }


def test_alerts_that_are_spoken_of_exist() -> None:
    """A description that names an alert names one of the shipped rules."""
    rules = (GENERATED / "xai-alerts.yaml").read_text(encoding="utf-8")
    spoken_of = {name for _, panel in ALL for name in re.findall(r"\bXai[A-Z]\w+", panel["description"])}
    assert len(spoken_of) > 5
    assert {name for name in spoken_of if f"alert: {name}\n" not in rules} == set()


def test_exclusions_have_reasons() -> None:
    """Every rule that is left out says why."""
    assert all(len(reason) > 5 for reason in EXCLUDED.values())

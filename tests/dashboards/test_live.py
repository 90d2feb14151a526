"""The boards and rules on a real Prometheus, which scrapes the real package while it observes real calls.

One run serves all tests: traffic with everything that can go wrong, counted by the server and by Prometheus between the
moments of two scrapes. (``increase`` guesses what came before a window's first and after its last sample; between two
samples there is nothing to guess.) What comes before that window makes every kind of call known: the very first call of
a kind is the one that no ``increase`` can see.

Queries that look back a day or a week have a past, which is the package's own exposition at other times (see ``past``),
with what the rules would have recorded of it by promtool. Rules are evaluated for real, each second.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CollectorRegistry

from opentelemetry.instrumentation.xai import conventions as names
from opentelemetry.instrumentation.xai.promql import label, metric
from stack import servers

from . import meanings, past, queries, syntax, traffic
from .comparing import differences, has_data, vector
from .queries import Query, Rule, Variable
from .totals import Expected

pytestmark = [
    pytest.mark.timeout(180),  # the first test waits for the run
    pytest.mark.skipif(
        not (shutil.which("prometheus") and shutil.which("promtool")),
        reason="there is no Prometheus (Debian: apt-get install prometheus)",
    ),
]

JOB: Final = "help-desk"
_PATIENCE_S = 30


@dataclass
class Run:
    """What there is after the traffic."""

    prometheus: servers.Prometheus
    begun: float
    """The moment of the scrape before the traffic that counts."""
    over: float
    """The moment of the first scrape after it."""
    expected: Expected
    counted: meanings.Counted
    answered: list[traffic.Amount]
    spans: list[traffic.Amount]
    first_loss: float
    """What a fresh model's first loss must have been."""
    first_loss_seen: float

    def ask(self, query: Query) -> list[dict[str, Any]]:
        """What a panel shows of the time of the traffic."""
        expression = query.filled_in()
        if query.instant:
            return self.prometheus.query(expression, time=self.over)
        return self.prometheus.query_range(expression, self.begun, self.over, 1)

    @property
    def window(self) -> str:
        """The time of the traffic; a millisecond more, since newer ones leave out what is at its very beginning."""
        return f"{round(1000 * (self.over - self.begun)) + 1}ms"


@contextmanager
def _prometheus(data: Path, target: str | None = None) -> Iterator[servers.Prometheus]:
    """Run a Prometheus on a data folder that may have a past."""
    configuration: dict[str, Any] = {"global": {"scrape_interval": "1s", "evaluation_interval": "1s"}}
    if target is not None:
        configuration["rule_files"] = [str(queries.RULE_FILE)]
        configuration["scrape_configs"] = [{"job_name": JOB, "static_configs": [{"targets": [target]}]}]

    def command(folder: Path, port: int) -> list[str]:
        (folder / "prometheus.yaml").write_text(json.dumps(configuration), encoding="utf-8")
        return [
            servers.program(servers.PROMETHEUS),
            f"--config.file={folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={data}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
        ]

    with servers._running("Prometheus", command) as (url, process, folder):
        yield servers.Prometheus(url, process, folder)


def _eventually(condition: Callable[[], Any]) -> Any:
    until = time.monotonic() + _PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < until, "nothing came of it"
        time.sleep(0.1)
    return found


def _scraped(prometheus: servers.Prometheus, target: str) -> float:
    """Wait for a scrape that begins from now on, and give its moment."""
    now = time.time()

    def moment() -> float | None:
        found = prometheus.query(f'timestamp(target_info{{instance="{target}"}})')
        at = float(found[0]["value"][1]) if found else 0
        return at if at > now else None

    return float(_eventually(moment))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Everything, from nothing to scraped traffic."""
    data = tmp_path_factory.mktemp("prometheus") / "data"
    data.mkdir()
    with ExitStack() as running:
        server, answered = running.enter_context(traffic.counting_server())
        exposition = traffic.exposition_of(traffic.all_is_well, server)
        registry = CollectorRegistry()
        provider = MeterProvider([PrometheusMetricReader(registry=registry)], resource=traffic.resource("1.5.0"))
        target = running.enter_context(traffic.exposed(provider, registry))
        now = int(time.time())
        past.blocks(exposition, now, {"job": JOB, "instance": target}, data)
        with _prometheus(data) as remembering:
            past.recorded(remembering.url, now, queries.RULE_FILE, data)
        prometheus = running.enter_context(_prometheus(data, target))
        application = traffic.Application(server, provider)
        with application.instrumented():
            known = len(answered.amounts)
            fresh = application.conversation(traffic.FRESH_MODEL)
            fresh.say()
            _scraped(prometheus, target)
            fresh.say(clock="It is nine. ")
            first_loss_seen = _scraped(prometheus, target)
            first_loss = _whole_blocks(answered.amounts[known:])
            traffic.learn_that_one_is_uncached(application)
            traffic.everything(application)
            begun = _scraped(prometheus, target)
            known, refused, told = (
                len(answered.amounts),
                len(server.requests),
                len(application.spans.get_finished_spans()),
            )
            traffic.everything(application)
            over = _scraped(prometheus, target)
        by_server = [*answered.amounts[known:], *traffic.refused(server, refused)]
        by_spans = traffic.explained(list(application.spans.get_finished_spans()[told:]))
        accounts = (by_server, by_spans)
        expected, counted = Expected(*accounts, over - begun), meanings.Counted(*accounts, over - begun)
        yield Run(prometheus, begun, over, expected, counted, *accounts, first_loss, first_loss_seen)


def _whole_blocks(calls: list[traffic.Amount]) -> float:
    """What the second of two calls could have read and did not: the first one's prompt, in blocks of 128."""
    first, _ = (call.amount for call in calls if call.metric == metric(names.INPUT_TOKENS))
    _, cached = (call.amount for call in calls if call.metric == metric(names.CACHE_READ_INPUT_TOKENS))
    return first // 128 * 128 - cached


@pytest.mark.parametrize("query", queries.PANELS, ids=str)
def test_every_query_of_every_panel_returns_data(run: Run, query: Query) -> None:
    """At least one series with at least one number, at the time of the traffic."""
    assert has_data(run.ask(query)), query.filled_in()


def test_only_panels_on_traces_are_left_out() -> None:
    """Whatever is not asked of Prometheus is asked of Tempo, in TraceQL, on the regressions' board."""
    everywhere = [
        target for board in queries.BOARDS.values() for panel in queries.panels(board) for target in panel["targets"]
    ]
    assert len(everywhere) == len(queries.PANELS) + len(queries.TRACES)
    assert {query.board for query in queries.TRACES} == {"xai-cache-regressions"}
    assert all("span.gen_ai.provider.name" in query.expression for query in queries.TRACES)


@pytest.mark.parametrize("query", queries.TOTALS, ids=str)
def test_totals_are_the_servers_own(run: Run, query: Query) -> None:
    """Within 1 %: what a panel counts over its time is what was counted where the answers were made."""
    expression = query.filled_in(__range=run.window)
    found = vector(run.prometheus.query(expression, time=run.over))
    expected = run.expected.result(expression)
    assert found
    assert any(expected.values())
    assert not differences(found, expected)


@pytest.mark.parametrize("query", meanings.SINGLE, ids=str)
def test_figures_are_what_their_titles_say(run: Run, query: Query) -> None:
    """Within 1 %, and worked out without the query: from the server's own account, and for losses from the spans."""
    (found,) = run.prometheus.query(query.filled_in(__range=run.window), time=run.over)
    expected = meanings.FIGURES[meanings.title(query)](run.counted)
    assert expected
    assert float(found["value"][1]) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("query", meanings.BY_MODEL, ids=str)
def test_columns_are_what_their_titles_say(run: Run, query: Query) -> None:
    """The same for each model of the table."""
    found = {
        series["metric"]["gen_ai_request_model"]: float(series["value"][1])
        for series in run.prometheus.query(query.filled_in(__range=run.window), time=run.over)
    }
    for model in traffic.MODELS:
        assert found[model] == pytest.approx(meanings.COLUMNS[query.ref](run.counted.of(model)), rel=0.01)


def test_every_figure_has_a_meaning() -> None:
    """Each figure that is known here is on a board, and what has none is told apart by reasons."""
    assert {meanings.title(query) for query in meanings.SINGLE} == set(meanings.FIGURES)
    assert [query.ref for query in meanings.BY_MODEL] == list(meanings.COLUMNS)
    assert all("by (xai_cache_reason" in query.expression for query in meanings.BY_REASON)


def test_totals_are_most_of_what_there_is() -> None:
    """Calls, tokens, both kinds of cost and losses are among the totals, on both boards."""
    asked = {selector.name for query in queries.TOTALS for selector in syntax.selectors(query.filled_in())}
    assert asked >= {
        metric(counter)
        for counter in (
            names.CACHE_REQUESTS,
            names.INPUT_TOKENS,
            names.CACHE_READ_INPUT_TOKENS,
            names.CACHE_POTENTIAL_TOKENS,
            names.CACHE_LOST_TOKENS,
            names.COST,
            names.CACHE_SAVED_COST,
            names.CACHE_LOST_COST,
        )
    }
    assert {query.board for query in queries.TOTALS} == set(queries.BOARDS)


@pytest.mark.parametrize("counter", names.COUNTERS, ids=lambda counter: counter.name)
def test_counters_are_the_servers_own(run: Run, counter: names.Counter) -> None:
    """Within 1 %, by model: each counter that there is, on a panel or not."""
    expression = f"sum by ({label(names.REQUEST_MODEL)}) (increase({metric(counter)}[{run.window}]))"
    found = vector(run.prometheus.query(expression, time=run.over))
    assert any(found.values())
    assert not differences(found, run.expected.result(expression))


def test_the_spans_account_for_all_answers(run: Run) -> None:
    """What the reasons are taken from is as many calls as the server answered, and no more tokens than were cached."""

    def total(amounts: list[traffic.Amount], counter: names.Counter) -> float:
        return sum(amount.amount for amount in amounts if amount.metric == metric(counter))

    assert total(run.spans, names.CACHE_REQUESTS) == total(run.answered, names.CACHE_REQUESTS) > 0
    cached = total(run.answered, names.CACHE_READ_INPUT_TOKENS)
    assert 0 < total(run.spans, names.CACHE_REUSED_TOKENS) <= cached


def test_the_first_loss_is_not_swallowed(run: Run) -> None:
    """A model's only loss, after its first scrape, is in ``increase`` as it was: the counter was there at 0 before."""
    losses = f'{metric(names.CACHE_LOST_TOKENS)}{{{label(names.REQUEST_MODEL)}="{traffic.FRESH_MODEL}"}}'
    (found,) = run.prometheus.query(f"sum(increase({losses}[{queries.RANGE}]))", time=run.first_loss_seen)
    assert run.first_loss > 1000
    assert float(found["value"][1]) == pytest.approx(run.first_loss, rel=0.01)


@pytest.mark.parametrize("variable", queries.VARIABLES, ids=str)
def test_variables_have_values(run: Run, variable: Variable) -> None:
    """The job, and each model that was asked."""
    selected = {"match[]": queries.filled_in(variable.selector)} if variable.selector else None
    found = run.prometheus.get(f"/api/v1/label/{variable.label}/values", selected)["data"]
    expected = {"job": {JOB}, "model": {*traffic.MODELS, traffic.UNCACHED_MODEL, traffic.FRESH_MODEL}}
    assert set(found) == expected[variable.name]


def test_a_deployment_is_marked(run: Run) -> None:
    """The new version, by ``target_info``; the annotation on a label of each series is for paths that have it."""
    found = [series for query in queries.ANNOTATIONS for series in run.ask(query)]
    assert {series["metric"]["service_version"] for series in found} == {"1.5.0"}


@pytest.mark.parametrize("rule", queries.RECORDED, ids=str)
def test_rules_record(run: Run, rule: Rule) -> None:
    """Each recorded series is there, of this job, and is what its expression gives."""
    recorded = run.prometheus.query(rule.name)
    assert has_data(recorded)
    assert {series["metric"]["job"] for series in recorded} == {JOB}
    assert has_data(run.prometheus.query(rule.expression))


def test_no_rule_has_failed(run: Run) -> None:
    """Prometheus has evaluated all of them, and has no complaint."""
    found = run.prometheus.rules()
    assert {rule["name"] for rule in found} == {rule.name for rule in queries.RULES}
    assert {(rule["health"], rule.get("lastError", "")) for rule in found} == {("ok", "")}


@pytest.mark.parametrize("rule", queries.ALERTS, ids=str)
def test_alerts_have_something_to_compare(run: Run, rule: Rule) -> None:
    """Whatever an alert compares is there, on both sides: it is silent because of values, not for want of them."""
    run.prometheus.query(rule.expression)
    without = [operand for operand in syntax.operands(rule.expression) if not has_data(run.prometheus.query(operand))]
    assert not without


@pytest.mark.parametrize("rule", queries.ALERTS, ids=str)
def test_what_annotations_ask_is_valid(run: Run, rule: Rule) -> None:
    """The queries inside of an alert's annotations are accepted."""
    for query in queries.queries_of(rule):
        run.prometheus.query(query)


def test_a_client_that_breaks_its_cache_raises_the_page(run: Run) -> None:
    """A clock in the system prompt, conversation after conversation, is told with service, model and reason."""

    def raised() -> list[dict[str, Any]]:
        return [alert for alert in run.prometheus.alerts() if alert["labels"]["alertname"] == "XaiCacheBrokenByClient"]

    alerts = _eventually(raised)
    assert {alert["state"] for alert in alerts} <= {"pending", "firing"}
    told = [alert["labels"] for alert in alerts if alert["labels"]["xai_cache_reason"] == names.SYSTEM_CHANGED]
    assert {labels["gen_ai_request_model"] for labels in told} == set(traffic.MODELS)
    assert {(labels["job"], labels["severity"]) for labels in told} == {(JOB, "critical")}

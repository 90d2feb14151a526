"""The boards on a real VictoriaMetrics, to which the package's metrics are sent over OTLP.

``make test-victoria-metrics`` takes the program from Debian; otherwise it is looked for on PATH, and in the variable
``VICTORIA_METRICS``. There is no ``job`` on this path, and the release is a label of every series instead of
``target_info``: the boards are to work without a change.
"""

import os
import shutil
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

from stack import servers

from . import meanings, past, queries, traffic
from .comparing import differences, has_data, vector
from .queries import Query, Rule
from .totals import Expected

PROGRAM: Final = os.environ.get("VICTORIA_METRICS") or shutil.which("victoria-metrics")

pytestmark = [
    pytest.mark.timeout(180),  # the first test waits for the run
    pytest.mark.skipif(not PROGRAM, reason="there is no VictoriaMetrics (make test-victoria-metrics)"),
]

_SETTLED_S = 2.5  # some exports, and some more for what was exported to be searchable


@dataclass
class Run:
    """What there is after the traffic."""

    victoria: servers.Prometheus
    """It answers as Prometheus does."""
    begun: float
    over: float
    expected: Expected
    counted: meanings.Counted

    def ask(self, query: Query) -> list[dict[str, Any]]:
        """What a panel shows of the time of the traffic."""
        expression = query.filled_in()
        if query.instant:
            return self.victoria.query(expression, time=self.over)
        return self.victoria.query_range(expression, self.begun, self.over, 1)


@contextmanager
def _victoria_metrics() -> Iterator[servers.Prometheus]:
    def command(folder: Path, port: int) -> list[str]:
        return [
            str(PROGRAM),
            f"-storageDataPath={folder / 'data'}",
            f"-httpListenAddr=127.0.0.1:{port}",
            "-opentelemetry.usePrometheusNaming",
            "-search.latencyOffset=0s",  # or the newest 30 seconds are not shown
            "-search.disableCache",  # or what was asked before the past was there is answered again
        ]

    with servers._running("VictoriaMetrics", command) as (url, process, folder):
        yield servers.Prometheus(url, process, folder)


def _give_a_past(url: str, exposition: str) -> None:
    labels = {"service_name": traffic.SERVICE, "service_version": "1.4.0"}
    for times in past.moments(int(time.time())):
        milliseconds = (f"{line}000" for line in past.repeated(exposition, times, labels))
        request = urllib.request.Request(
            f"{url}/api/v1/import/prometheus", data="\n".join(milliseconds).encode(), method="POST"
        )
        with servers._OPENER.open(request, timeout=30):
            pass


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Everything, from nothing to traffic whose metrics have arrived."""
    with ExitStack() as running:
        victoria = running.enter_context(_victoria_metrics())
        server, answered = running.enter_context(traffic.counting_server())
        without = {"scope_info_enabled": False, "disable_target_info": True}
        _give_a_past(victoria.url, traffic.exposition_of(traffic.all_is_well, server, **without))
        exporter = OTLPMetricExporter(endpoint=f"{victoria.url}/opentelemetry/v1/metrics")
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=1000)
        provider = MeterProvider([reader], resource=traffic.resource("1.5.0"))
        running.callback(provider.shutdown)
        application = traffic.Application(server, provider)

        def settled() -> float:
            time.sleep(_SETTLED_S)
            provider.force_flush()
            now = time.time()
            time.sleep(_SETTLED_S)
            return now

        with application.instrumented():
            traffic.learn_that_one_is_uncached(application)
            traffic.everything(application)
            begun = settled()
            known, refused, told = (
                len(answered.amounts),
                len(server.requests),
                len(application.spans.get_finished_spans()),
            )
            traffic.everything(application)
            over = settled()
        by_server = [*answered.amounts[known:], *traffic.refused(server, refused)]
        by_spans = traffic.explained(list(application.spans.get_finished_spans()[told:]))
        accounts = (by_server, by_spans, over - begun)
        yield Run(victoria, begun, over, Expected(*accounts), meanings.Counted(*accounts))


@pytest.mark.parametrize("query", queries.PANELS, ids=str)
def test_every_query_of_every_panel_returns_data(run: Run, query: Query) -> None:
    """At least one series with at least one number, at the time of the traffic."""
    assert has_data(run.ask(query)), query.filled_in()


@pytest.mark.parametrize("query", queries.TOTALS, ids=str)
def test_totals_are_the_servers_own(run: Run, query: Query) -> None:
    """Within 1 %: what a panel counts over its time is what was counted where the answers were made."""
    expression = query.filled_in(__range=f"{round(1000 * (run.over - run.begun))}ms")
    found = vector(run.victoria.query(expression, time=run.over))
    assert found
    assert not differences(found, run.expected.result(expression))


@pytest.mark.parametrize("query", meanings.SINGLE, ids=str)
def test_figures_are_what_their_titles_say(run: Run, query: Query) -> None:
    """Within 1 %, and worked out without the query: from the server's own account, and for losses from the spans."""
    (found,) = run.victoria.query(query.filled_in(__range=f"{round(1000 * (run.over - run.begun))}ms"), time=run.over)
    expected = meanings.FIGURES[meanings.title(query)](run.counted)
    assert float(found["value"][1]) == pytest.approx(expected, rel=0.01)


def test_models_are_found_without_a_job(run: Run) -> None:
    """The variable asks for models of all jobs, and so of none."""
    (selector,) = {variable.selector for variable in queries.VARIABLES if variable.name == "model"}
    found = run.victoria.get("/api/v1/label/gen_ai_request_model/values", {"match[]": queries.filled_in(selector)})
    assert set(found["data"]) == {*traffic.MODELS, traffic.UNCACHED_MODEL}
    assert run.victoria.query('count({job!=""})') == []


def test_a_deployment_is_marked(run: Run) -> None:
    """By the label that each series has here; there is no ``target_info``."""
    found = [series for query in queries.ANNOTATIONS for series in run.ask(query)]
    assert {series["metric"]["service_version"] for series in found} == {"1.5.0"}


@pytest.mark.parametrize(
    "rule", [rule for rule in queries.RECORDED if "job_model" not in rule.expression], ids=lambda rule: rule.name
)
def test_rules_keep_services_apart_without_a_job(run: Run, rule: Rule) -> None:
    """What is recorded of the metrics themselves is there, by service."""
    found = run.victoria.query(rule.expression, time=run.over)
    assert has_data(found)
    assert {series["metric"]["service_name"] for series in found} == {traffic.SERVICE}

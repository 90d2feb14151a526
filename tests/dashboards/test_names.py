"""Every metric, label and value in a query is one that the package emits; and it is emitted under the name we write.

Found on the tree of each expression, so that a name is checked where it is used: a label on the very metric that is
selected or grouped, a value on its label. That the metrics are spelled so is asked of the real exporter.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import promql_parser
import pytest

from opentelemetry.instrumentation.xai import conventions as names
from opentelemetry.instrumentation.xai.promql import GROUP, label, metric

from . import queries, syntax, traffic

_OURS = {names.OPERATION_NAME, names.PROVIDER_NAME, names.REQUEST_MODEL, names.SERVER_ADDRESS}
_STANDARD = {*_OURS, names.SERVER_PORT, names.RESPONSE_MODEL}
_WHY = {names.XAI_CACHE_REASON, names.XAI_CACHE_CAUSE}
ATTRIBUTES: Final[Mapping[names.Counter | names.Histogram, set[str]]] = {
    names.OPERATION_DURATION: {*_STANDARD, names.ERROR_TYPE},
    names.OPERATION_TIME_TO_FIRST_CHUNK: _STANDARD,
    names.TOKEN_USAGE: {*_STANDARD, names.TOKEN_TYPE},
    names.CLIENT_TIME_TO_FIRST_TOKEN: {*_OURS, names.XAI_TOKEN_KIND, names.XAI_CACHE_WARM},
    names.SERVER_TIME_TO_FIRST_TOKEN: {*_OURS, names.XAI_CACHE_WARM},
    names.INPUT_TOKENS: {*_STANDARD, names.TOKEN_MODALITY},
    names.OUTPUT_TOKENS: {*_STANDARD, names.TOKEN_MODALITY},
    names.CACHE_READ_INPUT_TOKENS: {*_STANDARD, names.TOKEN_MODALITY},
    names.REASONING_OUTPUT_TOKENS: {*_STANDARD, names.TOKEN_MODALITY},
    names.COST: _OURS,
    names.CACHE_REQUESTS: {*_OURS, *_WHY, names.XAI_CACHE_OUTCOME, names.XAI_CONVERSATION_ID_PRESENCE},
    names.CACHE_POTENTIAL_TOKENS: _OURS,
    names.CACHE_REUSED_TOKENS: _OURS,
    names.CACHE_LOST_TOKENS: {*_OURS, *_WHY, names.XAI_CACHE_REPEATED},
    names.CACHE_SAVED_COST: _OURS,
    names.CACHE_LOST_COST: {*_OURS, *_WHY, names.XAI_CACHE_REPEATED},
}
"""What each instrument is told apart by."""

_BOOLEAN = {"true", "false"}
VALUES: Final[Mapping[str, set[str]]] = {
    label(attribute): values
    for attribute, values in {
        names.XAI_CACHE_OUTCOME: {
            names.REUSED,
            names.PARTIAL,
            names.MISSED,
            names.NOT_APPLICABLE,
            names.UNREPORTED,
        },
        names.XAI_CACHE_REASON: set(names.REASONS),
        names.XAI_CACHE_CAUSE: {cause for cause, _ in names.REASONS.values()},
        names.XAI_CACHE_REPEATED: _BOOLEAN,
        names.XAI_CACHE_WARM: _BOOLEAN,
        names.XAI_CONVERSATION_ID_PRESENCE: {names.PRESENT, names.ABSENT},
        names.XAI_TOKEN_KIND: {names.KIND_REASONING, names.KIND_ANSWER},
        names.TOKEN_TYPE: {names.TOKEN_INPUT, names.TOKEN_OUTPUT},
        names.PROVIDER_NAME: {names.PROVIDER},
    }.items()
}
"""Of labels whose values are enumerated."""

_OF_ANY_SERIES: Final = {"job", "instance", "service_name", "service_version"}
"""From the scrape or, on OTLP paths, from the resource."""
_OF_THE_SCOPE: Final = {"otel_scope_name", "otel_scope_version", "otel_scope_schema_url"}
_NOT_OURS: Final[Mapping[str, set[str]]] = {"target_info": {"telemetry_sdk_version"}}
"""Metrics that exporters make of the resource, with labels that they give it besides."""


def _emitted() -> dict[str, set[str]]:
    """The labels of each metric that can be selected."""
    found = dict(_NOT_OURS)
    for instrument, attributes in ATTRIBUTES.items():
        labels = {label(attribute) for attribute in attributes}
        stem = metric(instrument)
        if isinstance(instrument, names.Counter):
            found[stem] = labels
        else:
            found |= {f"{stem}_bucket": {*labels, "le"}, f"{stem}_sum": labels, f"{stem}_count": labels}
    known = {name: labels | _OF_ANY_SERIES for name, labels in found.items()}
    for rule in queries.RECORDED:
        known[rule.name] = {*_grouped_by(rule.expression), *rule.labels}
    return known


def _grouped_by(expression: str) -> set[str]:
    """The labels that what a rule records has: those of its outermost sums, or of the recorded series that it is of."""
    of_sums = {
        name
        for node in syntax.walk(promql_parser.parse(expression))
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier
        for name in node.modifier.labels
        if name != "le"
    }
    return of_sums or {*GROUP, *({label(names.XAI_CACHE_REASON)} if "job_model_reason:" in expression else ())}


EMITTED: Final = _emitted()
EVERYWHERE: Final = [
    *(pytest.param(query.filled_in(), id=str(query)) for query in [*queries.PANELS, *queries.ANNOTATIONS]),
    *(pytest.param(queries.filled_in(variable.selector), id=str(variable)) for variable in queries.VARIABLES),
    *(pytest.param(rule.expression, id=str(rule)) for rule in queries.RULES),
    *(
        pytest.param(query, id=f"{rule}, annotation {number}")
        for rule in queries.ALERTS
        for number, query in enumerate(queries.queries_of(rule))
    ),
]
everywhere = pytest.mark.parametrize("expression", EVERYWHERE)


def _misnamed(expression: str) -> list[str]:
    """What an expression selects, matches or groups by that is not there."""
    wrong = []
    for selector in syntax.selectors(expression):
        known = EMITTED.get(selector.name)
        if known is None:
            wrong.append(f"no metric {selector.name}")
            continue
        for name, how, value in syntax.matchers(selector):
            if name not in known:
                wrong.append(f"no label {name} on {selector.name}")
            alternatives = [] if value in {"", ".*", "any"} else value.split("|") if "~" in how else [value]
            wrong += [
                f"no value {alternative} of {name}"
                for alternative in alternatives
                if name in VALUES and alternative not in VALUES[name]
            ]
    return wrong + [
        f"no label {name} on what is grouped or joined"
        for node in syntax.walk(promql_parser.parse(expression))
        for name in _labels_named(node)
        if not all(
            name in EMITTED.get(selector.name, ())
            for selector in syntax.walk(node)
            if isinstance(selector, promql_parser.VectorSelector)
        )
    ]


def _labels_named(node: Any) -> list[str]:
    """The labels in the ``by``, ``without``, ``on``, ``ignoring`` and ``group_left`` of a part of an expression."""
    modifier = getattr(node, "modifier", None)
    if modifier is None:
        return []
    if isinstance(node, promql_parser.AggregateExpr):
        return list(modifier.labels)
    matching = modifier.matching.labels if modifier.matching else []
    return [*matching, *(getattr(modifier, "group_labels", None) or ())]


@everywhere
def test_what_is_named_is_emitted(expression: str) -> None:
    """Metrics, labels and enumerated values are those of the conventions or of our own rules."""
    assert not _misnamed(expression)


@pytest.mark.parametrize(
    ("expression", "wrong"),
    [
        ("sum(rate(xai_client_cache_lost_total[5m]))", "no metric xai_client_cache_lost_total"),
        ("sum(xai_client_cost)", "no metric xai_client_cost"),
        ('xai_client_cost_total{xai_cache_reason="idle"}', "no label xai_cache_reason on xai_client_cost_total"),
        ('xai_client_cache_lost_tokens_total{xai_cache_cause="clients"}', "no value clients of xai_cache_cause"),
        ('xai_client_cache_requests_total{xai_cache_outcome=~"reused|hit"}', "no value hit of xai_cache_outcome"),
        ("sum by (model) (xai_client_cost_total)", "no label model on what is grouped or joined"),
        ("sum by (le) (gen_ai_client_token_usage_sum)", "no label le on what is grouped or joined"),
        (
            "xai_client_cost_total / on (model) group_left () xai_client_cost_total",
            "no label model on what is grouped or joined",
        ),
        ("job_model:xai_cache_loss:ratio_rate7m", "no metric job_model:xai_cache_loss:ratio_rate7m"),
    ],
)
def test_what_is_not_emitted_is_noticed(expression: str, wrong: str) -> None:
    """The check itself: each kind of wrong name is found, and told."""
    assert _misnamed(expression) == [wrong]


def test_everything_in_the_conventions_is_known() -> None:
    """No instrument is missing from the list that queries are checked against."""
    assert set(ATTRIBUTES) == {*names.COUNTERS, *names.HISTOGRAMS}


@pytest.fixture(scope="module")
def exposed() -> dict[str, set[str]]:
    """What the real exporter exposes of real calls: the labels of each metric."""
    with traffic.counting_server() as (server, _):
        exposition = traffic.exposition_of(traffic.everything, server)
    found: dict[str, set[str]] = {}
    for line in exposition.splitlines():
        if (series := re.match(r"(\w+)\{(.*)\} ", line)) and not series[1].endswith("_created"):
            found.setdefault(series[1], set()).update(re.findall(r'(\w+)="', series[2]))
    return found


def test_metrics_are_spelled_as_the_exporter_spells_them(exposed: dict[str, set[str]]) -> None:
    """Of every instrument, and there are no others."""
    recorded = {rule.name for rule in queries.RECORDED}
    assert set(exposed) == set(EMITTED) - recorded


def test_labels_are_those_that_the_exporter_gives(exposed: dict[str, set[str]]) -> None:
    """Each metric has the labels that queries may use, beside those of the scope, and no other."""
    ours = {name: labels for name, labels in exposed.items() if name not in _NOT_OURS}
    assert {name: labels - _OF_THE_SCOPE for name, labels in ours.items()} == {
        name: EMITTED[name] - _OF_ANY_SERIES for name in ours
    }

"""Panels about single conversations: from traces, since metrics know no conversation ids."""

from typing import Final

from grafana_foundation_sdk.builders import common, dashboard, tempo, timeseries
from grafana_foundation_sdk.builders import table as tables
from grafana_foundation_sdk.models.common import GraphDrawStyle, StackingMode, TableCellHeight
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue, FieldColorModeId
from grafana_foundation_sdk.models.tempo import MetricsQueryType, SearchTableType

from opentelemetry.instrumentation.xai import conventions as names

from . import links
from .panels import COUNT, NO_DATA, Panel
from .variables import TEMPO

_BY_CONVERSATION: Final = f"by (span.{names.CONVERSATION_ID})"
_LOST: Final = f"span.{names.XAI_CACHE_LOST_TOKENS}"
_NEEDS: Final = "From spans, by TraceQL: needs a Tempo data source at Traces."
_METRICS: Final = f"{_NEEDS} TraceQL's metrics need Tempo 2.8 or newer, with its metrics-generator on."


def _query(query: str) -> tempo.TempoQuery:
    return tempo.TempoQuery().datasource(TEMPO).query_type("traceql").ref_id("A").query(query)


def _sums(title: str, description: str, attribute: str, link: str, *conditions: str) -> timeseries.Panel:
    query = f"{links.spans(*conditions)} | sum_over_time({attribute}) {_BY_CONVERSATION} | topk(10)"
    return (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(TEMPO)
        .with_target(_query(query).metrics_query_type(MetricsQueryType.RANGE).exemplars(50))
        .unit(COUNT)
        .no_value(NO_DATA)
        .min(0)
        .color_scheme(dashboard.FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
        .draw_style(GraphDrawStyle.BARS)
        .fill_opacity(70)
        .stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
        .links([links.traces(link, *conditions)])
    )


def _spans(title: str, description: str, link: str, *conditions: str, selected: tuple[str, ...]) -> tables.Panel:
    query = f"{links.spans(*conditions)} | select({', '.join(f'span.{name}' for name in selected)})"
    panel = (
        tables.Panel()
        .title(title)
        .description(description)
        .datasource(TEMPO)
        .with_target(_query(query).table_type(SearchTableType.SPANS).limit(50))
        .unit(COUNT)
        .no_value(NO_DATA)
        .cell_height(TableCellHeight.SM)
        .links([links.traces(link, *conditions)])
    )
    one = links.explore("{ span." + names.CONVERSATION_ID + ' = "${__value.text:percentencode}" }')
    link_to_one = dashboard.DashboardLink("All calls of this conversation").url(one).target_blank(True).build()
    return panel.override_by_name(names.CONVERSATION_ID, [DynamicConfigValue("links", [link_to_one])])


def lost_by_conversation() -> Panel:
    """The conversations that lose most."""
    return _sums(
        "Lost tokens by conversation, the ten worst",
        "Input tokens that each conversation could have reused and did not. One tall conversation is one user's "
        f"session; many small ones are a code path. {_METRICS}",
        _LOST,
        "Traces of lost tokens",
        f"{_LOST} > 0",
    )


def cached_by_conversation() -> Panel:
    """The conversations that the cache serves most."""
    cached = f"span.{names.USAGE_CACHE_READ_INPUT_TOKENS}"
    return _sums(
        "Cached tokens by conversation, the ten largest",
        "Input tokens that each conversation read from the cache: the long conversations, whose next miss is the "
        f"dearest. {_METRICS}",
        cached,
        "Traces of cached input",
        f"span.{names.CONVERSATION_ID} != nil",
        f"{cached} > 0",
    )


def worst_calls() -> Panel:
    """Calls that lost much."""
    return _spans(
        "Calls that lost more than 1,024 tokens",
        "With the conversation, the reason, and where the prompt first differs from the one it continues: section, and "
        f"index of the tool or message. A click on a conversation shows all of its calls. {_NEEDS}",
        "Traces of large losses",
        f"{_LOST} > 1024",
        selected=(
            names.CONVERSATION_ID,
            names.XAI_CACHE_REASON,
            names.XAI_CACHE_LOST_TOKENS,
            names.XAI_CACHE_CHANGED_SECTION,
            names.XAI_CACHE_CHANGED_INDEX,
            names.XAI_CACHE_IDLE,
        ),
    )


def id_problems() -> Panel:
    """Calls whose conversation id is wrong."""
    problems = names.XAI_CONVERSATION_ID_PROBLEMS
    return _spans(
        "Calls with a wrong conversation id, or none",
        "What is wrong with the id before there is an answer, also where nothing was lost yet: `missing`, "
        "`wrong_carrier`, `telemetry_only`, `conflicting`. See Not a reason, but on the span, in the runbook. "
        f"{_NEEDS}",
        "Traces with such problems",
        f"span.{problems} != nil",
        selected=(names.CONVERSATION_ID, problems, names.XAI_CONVERSATION_ID_SOURCE),
    )

"""The kinds of panel that the boards are made of, with everything they have in common: written once, here.

A panel function of the subjects says what it asks, what its unit is, and what a reader should make of it; how that is
drawn is decided here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.builders import table as table_builders
from grafana_foundation_sdk.models.common import (
    AxisColorMode,
    BigValueColorMode,
    BigValueGraphMode,
    BigValueJustifyMode,
    BigValueTextMode,
    GraphDrawStyle,
    LegendDisplayMode,
    LegendPlacement,
    LineInterpolation,
    LineStyle,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardSpecialValueMapOptions,
    DynamicConfigValue,
    FieldColorModeId,
    MatcherConfig,
    SpecialValueMap,
    SpecialValueMatch,
    Threshold,
    ThresholdsMode,
    ValueMappingResult,
)

from . import colors, links
from .variables import PROMETHEUS

Panel: TypeAlias = stat.Panel | timeseries.Panel | table_builders.Panel

NO_DATA: Final = "no data"
POINTS: Final = 150
"""Points of a line: few enough that a point stands for some minutes, and so for some calls."""

PERCENT: Final = "percentunit"
SECONDS: Final = "s"
DOLLARS: Final = "currencyUSD"
COUNT: Final = "short"
WHOLE: Final = "locale"
PER_MINUTE: Final = "reqpm"
TOKENS_PER_SECOND: Final = "suffix: tok/s"


_ALL_ZERO: Final = MatcherConfig("byValue", {"reducer": "allIsZero", "op": "gte", "value": 0})
_UNNAMED: Final = DynamicConfigValue("custom.hideFrom", {"legend": True, "tooltip": True, "viz": False})
"""Every reason has a counter from the start, and few ever count: a line that stays at 0 is left out of the legend."""
_NOTHING: Final = SpecialValueMap(
    DashboardSpecialValueMapOptions(
        match=SpecialValueMatch.NULL_AND_NAN, result=ValueMappingResult(text=NO_DATA, color=colors.PAST, index=0)
    )
)
"""No data is grey: without this it would have the colour of the lowest threshold, red for an efficiency."""
_AN_HOUR_MS: Final = 3_600_000


@dataclass(frozen=True)
class Ask:
    """A query and the name of what it finds: fixed, or taken from labels as in ``{{job}}``."""

    query: str
    name: str
    exemplars: bool = False
    """Whether the query is of a histogram, whose samples may lead to traces."""


@dataclass(frozen=True)
class Look:
    """How one series is drawn; found by its name."""

    color: str
    dashed: bool = False
    stacked: bool = True


@dataclass(frozen=True)
class Traces:
    """The spans behind a panel: what the link says, and the TraceQL conditions."""

    title: str = "Traces of these calls"
    conditions: tuple[str, ...] = field(default=())
    of_series: tuple[str, ...] = field(default=())
    """Conditions that a series' own labels complete, for a link from each point."""


def ref_id(place: int) -> str:
    """What Grafana calls the query at a place."""
    return "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[place]


def _target(ask: Ask, place: int, *, instant: bool) -> prometheus.Dataquery:
    query = prometheus.Dataquery().datasource(PROMETHEUS).expr(ask.query).legend_format(ask.name)
    query.ref_id(ref_id(place))
    return query.instant() if instant else query.range().exemplar(ask.exemplars)


def _steps(*steps: tuple[float | None, str]) -> dashboard.ThresholdsConfig:
    return (
        dashboard.ThresholdsConfig()
        .mode(ThresholdsMode.ABSOLUTE)
        .steps([Threshold(value=value, color=color) for value, color in steps])
    )


def figure(
    title: str,
    description: str,
    ask: Ask,
    unit: str,
    *steps: tuple[float | None, str],
    decimals: int | None = None,
    traces: Traces | None = None,
    named: bool = False,
) -> stat.Panel:
    """One number over the board's whole time range; ``named`` shows what it is the number of, too."""
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(PROMETHEUS)
        .with_target(_target(ask, 0, instant=True))
        .unit(unit)
        .no_value(NO_DATA)
        .mappings([_NOTHING])
        .thresholds(_steps(*(steps or ((None, colors.VOLUME),))))
        .color_scheme(dashboard.FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .color_mode(BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.NONE)
        .justify_mode(BigValueJustifyMode.CENTER)
        .orientation(VizOrientation.AUTO)
        .text_mode(BigValueTextMode.VALUE_AND_NAME if named else BigValueTextMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))
        .links(_panel_links(traces))
    )
    return panel if decimals is None else panel.decimals(decimals)


def lines(
    title: str,
    description: str,
    asks: Sequence[Ask],
    unit: str,
    looks: Mapping[str, Look] | None = None,
    *,
    traces: Traces | None = None,
    stacked: bool = False,
    sparse: bool = False,
    many: bool = False,
    at_most: float | None = None,
    at_least: float | None = 0,
    around_zero: float | None = None,
    decimals: int | None = None,
) -> timeseries.Panel:
    """Lines over time, or areas on top of each other; without looks, a line for each model.

    ``sparse`` joins points that are less than an hour apart: of what happens seldom, and is not 0 in between. ``many``
    leaves out of the legend what is 0 all the time.
    """
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(PROMETHEUS)
        .targets([_target(ask, place, instant=False) for place, ask in enumerate(asks)])
        .unit(unit)
        .no_value(NO_DATA)
        .max_data_points(POINTS)
        .color_scheme(dashboard.FieldColor().mode(FieldColorModeId.SHADES).fixed_color(colors.VOLUME))
        .draw_style(GraphDrawStyle.LINE)
        .line_interpolation(LineInterpolation.LINEAR)
        .line_width(0 if stacked else 2)
        .fill_opacity(75 if stacked else 6)
        .show_points(VisibilityMode.AUTO)
        .point_size(4)
        .axis_color_mode(AxisColorMode.TEXT)
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .calcs([])
        )
        .tooltip(
            common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING).hide_zeros(stacked)
        )
        .links(_panel_links(traces))
        .data_links(_series_links(traces))
    )
    if stacked:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
    if sparse:
        panel.span_nulls(_AN_HOUR_MS)
    if at_most is not None:
        panel.max(at_most)
    if at_least is not None:
        panel.min(at_least)
    if around_zero is not None:
        panel.axis_soft_min(-around_zero).axis_soft_max(around_zero)
    if decimals is not None:
        panel.decimals(decimals)
    for name, look in (looks or {}).items():
        panel.override_by_name(name, _drawn(look, stacked=stacked))
    if many:
        panel.with_override(_ALL_ZERO, [_UNNAMED])
    if not looks:
        for pattern, color in colors.MODELS.items():
            panel.override_by_regexp(pattern, _drawn(Look(color), stacked=stacked))
    return panel


def _drawn(look: Look, *, stacked: bool) -> list[DynamicConfigValue]:
    drawn = [DynamicConfigValue("color", {"mode": "fixed", "fixedColor": look.color})]
    if look.dashed:
        drawn += [
            DynamicConfigValue("custom.lineStyle", LineStyle(fill="dash", dash=[8, 6])),
            DynamicConfigValue("custom.fillOpacity", 0),
            DynamicConfigValue("custom.lineWidth", 1),
        ]
    if stacked and not look.stacked:
        drawn.append(DynamicConfigValue("custom.stacking", {"mode": "none", "group": "A"}))
    return drawn


def _panel_links(traces: Traces | None) -> list[links.Link]:
    traces = traces or Traces()
    return [links.traces(traces.title, *traces.conditions)]


def _series_links(traces: Traces | None) -> list[links.Link]:
    if traces is None or not traces.of_series:
        return []
    return [links.traces(traces.title, *traces.conditions, *traces.of_series)]


REASON_LOOKS: Final[Mapping[str, Look]] = {reason: Look(color) for reason, color in colors.REASONS.items()}
PERCENTILE_LOOKS: Final[Mapping[str, Look]] = {
    "p50": Look(colors.LIGHT),
    "p95": Look(colors.VOLUME),
    "p99": Look(colors.HIGH),
}

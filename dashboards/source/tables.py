"""Tables: one row for each value of some labels, one column for each query, over the board's whole time range."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common, dashboard, prometheus, table
from grafana_foundation_sdk.models.common import TableCellHeight
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from . import links
from .panels import NO_DATA, ref_id
from .variables import PROMETHEUS


@dataclass(frozen=True)
class Column:
    """One column: a label's values, or with a query its results."""

    title: str
    source: str
    """The label, or the query."""
    unit: str | None = None
    decimals: int | None = None
    width: int | None = None
    colors: Mapping[str, str] | None = None
    """The colour of each value that has one."""
    texts: Mapping[str, str] | None = None
    """What stands for each value."""
    traces: tuple[str, ...] = ()
    """TraceQL conditions of a link from a cell; ``${__value.text}`` in them is what the cell says."""

    @property
    def asks(self) -> bool:
        """Whether it is the result of a query."""
        return self.unit is not None


def rows(title: str, description: str, columns: Sequence[Column], *, sorted_by: str) -> table.Panel:
    """A table that is joined by its label columns and sorted downwards by one."""
    asking = [column for column in columns if column.asks]
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(PROMETHEUS)
        .targets([_target(column.source, place) for place, column in enumerate(asking)])
        .unit("short")
        .no_value(NO_DATA)
        .color_scheme(dashboard.FieldColor().mode(FieldColorModeId.FIXED).fixed_color("text"))
        .cell_height(TableCellHeight.SM)
        .sort_by([common.TableSortByFieldState().display_name(sorted_by).desc(True)])
        .links([links.traces("Traces of these calls")])
        .transformations(_joined(columns, asking))
    )
    for column in columns:
        panel.override_by_name(column.title, _properties(column))
    return panel


def _target(query: str, place: int) -> prometheus.Dataquery:
    return (
        prometheus.Dataquery()
        .datasource(PROMETHEUS)
        .expr(query)
        .instant()
        .format(PromQueryFormat.TABLE)
        .ref_id(ref_id(place))
    )


def _joined(columns: Sequence[Column], asking: Sequence[Column]) -> list[DataTransformerConfig]:
    raw = [f"Value #{ref_id(asking.index(column))}" if column.asks else column.source for column in columns]
    return [
        DataTransformerConfig(id_val="merge", options={}),
        DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": {"Time": True},
                "indexByName": {name: place for place, name in enumerate(raw)},
                "renameByName": {name: column.title for name, column in zip(raw, columns, strict=True)},
            },
        ),
    ]


def _properties(column: Column) -> list[DynamicConfigValue]:
    properties = []
    if column.unit is not None:
        properties.append(DynamicConfigValue("unit", column.unit))
    if column.decimals is not None:
        properties.append(DynamicConfigValue("decimals", column.decimals))
    if column.width is not None:
        properties.append(DynamicConfigValue("custom.width", column.width))
    if column.colors:
        shown = {value: {"color": color, "index": place} for place, (value, color) in enumerate(column.colors.items())}
        properties.append(DynamicConfigValue("mappings", [{"type": "value", "options": shown}]))
        properties.append(DynamicConfigValue("custom.cellOptions", {"type": "color-text"}))
    if column.texts:
        said = {value: {"text": text, "index": place} for place, (value, text) in enumerate(column.texts.items())}
        properties.append(DynamicConfigValue("mappings", [{"type": "value", "options": said}]))
    if column.traces:
        properties.append(DynamicConfigValue("links", [links.traces("Traces of this row", *column.traces).build()]))
    return properties

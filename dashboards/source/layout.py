"""Where panels stand: rows of blocks on Grafana's 24 columns, and the board around them.

A block is eight high, as a rule. Its figures stand on top of each other at the left, four wide; its charts share the
rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models.dashboard import Dashboard, DashboardCursorSync, GridPos

from . import variables
from .links import Link
from .panels import Panel

WIDTH: Final = 24
_FIGURE_WIDTH: Final = 4


@dataclass(frozen=True)
class Block:
    """Panels side by side: small figures at the left, charts beside them."""

    figures: Sequence[Panel]
    charts: Sequence[Panel]
    widths: Sequence[int] = ()
    """Of the charts; equal if not given."""
    height: int = 8

    def placed(self, top: int) -> list[Panel]:
        """The panels, from left to right, with their places."""
        height = self.height // len(self.figures) if self.figures else 0
        placed: list[Panel] = [
            panel.grid_pos(GridPos(h=height, w=_FIGURE_WIDTH, x=0, y=top + place * height))
            for place, panel in enumerate(self.figures)
        ]
        left = _FIGURE_WIDTH if self.figures else 0
        for place, panel in enumerate(self.charts):
            width = self.widths[place] if self.widths else (WIDTH - left) // (len(self.charts) - place)
            placed.append(panel.grid_pos(GridPos(h=self.height, w=width, x=left, y=top)))
            left += width
        return placed


@dataclass(frozen=True)
class Row:
    """A question and the blocks that answer it; collapsed rows ask nothing until they are opened."""

    title: str
    blocks: Sequence[Block]
    collapsed: bool = False


@dataclass(frozen=True)
class Board:
    """What is particular to one board."""

    uid: str
    title: str
    description: str
    tags: Sequence[str]
    since: str
    variables: Sequence[builders.QueryVariable | builders.DatasourceVariable | builders.TextBoxVariable]
    links: Sequence[Link]
    annotations: Sequence[builders.AnnotationQuery]
    rows: Sequence[Row]


def built(board: Board) -> Dashboard:
    """The board as Grafana has it."""
    made = (
        builders.Dashboard(board.title)
        .uid(board.uid)
        .description(board.description)
        .tags(list(board.tags))
        .readonly()
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time(board.since, "now")
        .refresh("1m")
        .variables([variables.datasource(), *board.variables])
        .links(list(board.links))
        .annotations(list(board.annotations))
    )
    top, number = 0, 0
    for row in board.rows:
        number += 1
        heading = builders.Row(row.title).collapsed(row.collapsed).id(number)
        made_row = heading.grid_pos(GridPos(h=1, w=WIDTH, x=0, y=top))
        panels, top = [], top + 1
        for block in row.blocks:
            panels += block.placed(top)
            top += block.height
        for panel in panels:
            number += 1
            panel.id(number)
        if row.collapsed:
            for panel in panels:
                made_row.with_panel(panel)
            top -= sum(block.height for block in row.blocks)
            made.with_row(made_row)
        else:
            made.with_row(made_row)
            for panel in panels:
                made.with_panel(panel)
    return made.build()

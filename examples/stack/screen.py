"""The screen: what happens, line by line; on a terminal also the figures and alerts of this moment, below the lines.

Where standard output is no terminal there is a line now and then instead, and one for each change of an alert.
"""

from __future__ import annotations

import textwrap
import time
from collections.abc import Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, final

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from stack.watching import Alert, Glance

_EVERY_S = 15
_STATE = {"inactive": "dim", "pending": "yellow", "firing": "bold red"}


@final
class Screen:
    """What is shown of one run."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._states: dict[str, str] = {}
        self._last_line = 0.0

    def __enter__(self) -> Screen:
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(console=self._console, auto_refresh=False, transient=True).__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)
            self._live = None

    def happened(self, what: str, style: str = "bold") -> None:
        """Say that something has happened just now."""
        self._console.print(Text.assemble((f"{datetime.now():%H:%M:%S}  ", "dim"), (what, style)), soft_wrap=True)  # noqa: DTZ005  # the reader's own time

    def show(self, phase: str, sent: int, seen: Glance) -> None:
        """Show a moment, and say which alerts have changed since the one before."""
        for alert in seen.alerts:
            if alert.state != self._states.get(alert.name, "inactive"):
                self.happened(f"{alert.name} ({alert.severity}) is {alert.state}", _STATE[alert.state])
            self._states[alert.name] = alert.state
        if self._live is not None:
            self._live.update(_now(phase, sent, seen), refresh=True)
        elif time.monotonic() - self._last_line >= _EVERY_S:
            self._last_line = time.monotonic()
            lost = ", ".join(f"{tokens:,.0f} {reason}" for reason, tokens in seen.lost.items())
            efficiency = _percentage(seen.efficiency)
            self.happened(f"{sent:5,} requests, efficiency {efficiency}, tokens lost a minute: {lost or 'none'}", "")

    def alert(self, alert: Mapping[str, Any]) -> None:
        """Show a whole alert as Alertmanager tells it."""
        self.heading("As Alertmanager received it", f"state {alert['status']['state']}, since {alert['startsAt']}")
        for part in ("labels", "annotations"):
            entries = {name: value for name, value in alert[part].items() if value}
            width = max(map(len, entries), default=0)
            self._console.print(Text(part, "cyan"))
            for name, value in sorted(entries.items(), key=lambda entry: entry[0] not in ("alertname", "summary")):
                lines = _wrapped(value, self._console.width - width - 4)
                self._console.print(Text.assemble("  ", (f"{name:{width}}  ", "dim"), lines[0]), soft_wrap=True)
                for line in lines[1:]:
                    self._console.print(Text(" " * (width + 4) + line), soft_wrap=True)

    def heading(self, title: str, remark: str = "") -> None:
        """Begin a part of the screen."""
        self._console.print()
        self._console.print(Text.assemble((title, "bold"), (f"  {remark}" if remark else "", "dim")), soft_wrap=True)

    def say(self, text: str) -> None:
        """Print a text as it is."""
        self._console.print(Text(text), soft_wrap=True)


def _now(phase: str, sent: int, seen: Glance) -> Group:
    figures = Table.grid(padding=(0, 2))
    figures.add_row(Text("phase", "dim"), Text(phase))
    figures.add_row(Text("requests", "dim"), Text(f"{sent:,}"))
    good = seen.efficiency is not None and seen.efficiency >= 0.85
    figures.add_row(Text("efficiency", "dim"), Text(_percentage(seen.efficiency), "green" if good else "bold red"))
    lost = [f"{tokens:,.0f} {reason}" for reason, tokens in seen.lost.items()]
    figures.add_row(Text("tokens lost a minute", "dim"), Text("\n".join(lost) or "none", "yellow" if lost else "green"))
    alerts = Table.grid(padding=(0, 2))
    for alert in seen.alerts:
        alerts.add_row(Text(alert.name), Text(alert.severity, "dim"), Text(_state(alert), _STATE[alert.state]))
    return Group("", figures, "", alerts)


def _wrapped(text: str, width: int) -> list[str]:
    """Break a text between words; an address stays whole."""
    return textwrap.wrap(text, max(width, 20), break_long_words=False, break_on_hyphens=False) or [""]


def _state(alert: Alert) -> str:
    return f"{alert.state} since {alert.since:%H:%M:%S}" if alert.since else alert.state


def _percentage(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"

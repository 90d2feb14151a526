"""The screen: calls as they end, a summary of each conversation, and the metrics. It adds nothing of its own.

On a terminal the summary stays below the calls while they run; elsewhere there are plain lines. How wide
things are is decided here, what they say in ``calls``.
"""

from __future__ import annotations

import html
import io
import re
import threading
from collections.abc import Mapping, Sequence
from statistics import median
from types import TracebackType
from typing import Literal, final

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from demo.calls import Call

_PICTURE_WIDTH = 120
_BAR = 10
_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")
_PADDED = re.compile(r'(<text [^>]*?x=")([\d.]+)("[^>]*?textLength=")([\d.]+)("[^>]*>)((?:&#160;)+)([^<]*)')
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@final
class Screen:
    """What is shown of one run. Calls may come from any thread."""

    def __init__(self, console: Console, habits: Mapping[str | None, str]) -> None:
        self._console = console
        self._habits = habits
        self._wide = console.width >= _PICTURE_WIDTH
        self._lock = threading.Lock()
        self._live: Live | None = None
        self._closed = False
        self.calls: list[Call] = []

    def __enter__(self) -> Screen:
        self.calls_head()
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(console=self._console, auto_refresh=False, transient=True).__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._closed = True  # what still runs after an interruption has nothing more to say
            if self._live is not None:
                self._live.__exit__(kind, error, trace)
                self._live = None

    def calls_head(self) -> None:
        """Show what the columns of the calls mean."""
        answer = "; answer: to the answer's first" if self._wide else ""
        self.heading("Each call", f"TTFT: to the first token of any kind{answer}")
        self._console.print(self._calls_table(head=True))

    def show(self, call: Call) -> None:
        """Show a call that has ended."""
        with self._lock:
            if self._closed:
                return
            earlier = call.conversation is not None and any(c.conversation == call.conversation for c in self.calls)
            # Without an id the span itself tells whether its prompt had earlier turns.
            continued = earlier or "missing" in call.problems
            self.calls.append(call)
            row = self._calls_table(head=False)
            row.add_row(*self._cells(call, continued=continued))
            self._console.print(row)
            if self._live is not None:
                self._live.update(self._summary(), refresh=True)

    def summary(self) -> None:
        """Show what the colours mean, and each conversation as a whole."""
        green, red = ("green", "green"), ("red", "bold red")
        self._console.print(
            Text.assemble(
                green, ": most of the prompt from the cache; ", red, ": nothing, despite earlier turns", style="dim"
            )
        )
        self.heading("Each conversation", "its calls added up; TTFT is the median")
        self._console.print(self._summary())

    def heading(self, title: str, remark: str = "") -> None:
        """Begin a part of the screen."""
        self._console.print()
        self._console.print(Text.assemble((title, "bold"), (f"  {remark}" if remark else "", "dim")))

    def _calls_table(self, *, head: bool) -> Table:
        # Rows are printed one by one, so that every column needs a fixed width.
        table = self._table(head=head)
        self._add_columns(
            table,
            ("time", 8, "left"),
            ("model", 8, "left"),
            ("conversation", 12, "left"),
            ("input", 6, "right"),
            ("cached", 6, "right"),
            ("", 4, "right"),
            ("", _BAR, "left"),
            ("TTFT", 6, "right"),
            *((("answer", 6, "right"), ("cost", 8, "right")) if self._wide else ()),
            ("why not from the cache", 23, "left"),
        )
        return table

    def _table(self, *, head: bool) -> Table:
        padding = (0, 2 if self._wide else 1, 0, 0)
        return Table(box=None, show_header=head, header_style="cyan", padding=padding, pad_edge=False)

    def _add_columns(self, table: Table, *columns: tuple[str, int, Literal["left", "right"]]) -> None:
        for title, width, justify in columns:
            if self._wide or width != _BAR:
                table.add_column(title, width=width, justify=justify, no_wrap=True)

    def _cells(self, call: Call, *, continued: bool) -> list[Text]:
        share = call.cached_share
        style = _temperature(share, continued=continued)
        problem = Text(call.why, "cyan" if call.cause == "provider" else "yellow")
        if call.error:
            problem = Text(call.error.rpartition(".")[2], "bold red")
        return [
            Text(f"{call.ended:%H:%M:%S}", "dim"),
            Text(call.model),
            _name(call.conversation),
            Text(_number(call.input_tokens)),
            Text(_number(call.cached_tokens), style),
            Text(_percentage(share), style),
            *([_bar(share, style)] if self._wide else []),
            Text(_duration(call.first_token_s), style),
            *([Text(_duration(call.first_answer_s)), Text(_dollars(call.cost_usd))] if self._wide else []),
            problem,
        ]

    def _summary(self) -> Table:
        table = self._table(head=True)
        groups: dict[str | None, list[Call]] = {identity: [] for identity in self._habits}
        for call in self.calls:
            groups.setdefault(call.conversation, []).append(call)
        self._add_columns(
            table,
            ("conversation", 12, "left"),
            ("calls", 5, "right"),
            ("input", 7, "right"),
            ("cached", 7, "right"),
            ("", 4, "right"),
            ("", _BAR, "left"),
            ("TTFT", 6, "right"),
            ("cost", 8, "right"),
            ("how it is sent", 24, "left"),
        )
        for identity, calls in groups.items():
            if calls:
                habit = Text(self._habits.get(identity, ""), "dim")
                table.add_row(_name(identity), *self._sums(calls), habit)
        table.add_row(Text("all", "bold"), *self._sums(self.calls), style="bold")
        return table

    def _sums(self, calls: Sequence[Call]) -> list[Text]:
        given = sum(call.input_tokens or 0 for call in calls)
        cached = sum(call.cached_tokens or 0 for call in calls)
        share = cached / given if given else None
        style = _temperature(share, continued=len(calls) > 1)
        times = [call.first_token_s for call in calls if call.first_token_s is not None]
        return [
            Text(str(len(calls))),
            Text(_number(given)),
            Text(_number(cached), style),
            Text(_percentage(share), style),
            *([_bar(share, style)] if self._wide else []),
            Text(_duration(median(times) if times else None)),
            Text(_dollars(sum(call.cost_usd or 0 for call in calls))),
        ]

    def metrics(self, exposition: str) -> None:
        """Show a Prometheus scrape; what is long and says little is left out."""
        samples = [match for match in map(_SAMPLE.match, exposition.splitlines()) if match]
        labels = [dict(_LABEL.findall(match[2] or "")) for match in samples]
        values: dict[str, set[str]] = {}
        for name, value in (label for each in labels for label in each.items()):
            values.setdefault(name, set()).add(value)
        constant = {name: next(iter(found)) for name, found in sorted(values.items()) if len(found) == 1}
        self.heading("The metrics as Prometheus scrapes them", "without histogram buckets and counters still at 0")
        if constant:
            shared = ", ".join(f'{name}="{value}"' for name, value in constant.items())
            self._console.print(Text(f"Labels with one value throughout, left out below: {shared}", "dim"))
        last = ""
        for match, each in zip(samples, labels, strict=True):
            name, value = match[1], match[3]
            if name.endswith("_bucket") or (name.endswith("_total") and not float(value)):
                continue
            family = re.sub(r"_(sum|count|total)$", "", name)
            if family != last:
                self._console.print()
            last = family
            own = ", ".join(f'{key}="{text}"' for key, text in each.items() if key not in constant)
            own = "{" + own + "}" if own else ""
            fits = not self._console.is_terminal or len(name + own + value) < self._console.width
            line = Text.assemble((name, "cyan"), "" if fits else "\n    ", (own, "dim"), " ", (value, "bold"))
            self._console.print(line, soft_wrap=True)


def picture(calls: Sequence[Call], habits: Mapping[str | None, str], title: str) -> str:
    """Draw the calls and the summary as an SVG image."""
    console = Console(record=True, width=_PICTURE_WIDTH, file=io.StringIO(), force_terminal=True,
                      color_system="truecolor", legacy_windows=False)  # fmt: skip
    screen = Screen(console, habits)
    screen.calls_head()
    for call in calls:
        screen.show(call)
    screen.summary()
    drawn = console.export_svg(title=title, unique_id="demo")
    # A picture in a README may load nothing from elsewhere: the reader's own monospaced font will do.
    drawn = re.sub(r"@font-face\s*\{[^}]*\}\s*|\s*<!--.*?-->", "", drawn)
    return _PADDED.sub(_unpadded, drawn)


def _unpadded(text: re.Match[str]) -> str:
    """Move a text to where its first letter is: not every viewer keeps the blanks before it."""
    head, x, middle, length, tail, blanks, letters = text.groups()
    width = float(length) / len(html.unescape(blanks + letters))
    shift = width * len(html.unescape(blanks))
    return f"{head}{float(x) + shift:g}{middle}{float(length) - shift:g}{tail}{letters}"


def _temperature(share: float | None, *, continued: bool) -> str:
    if share is None:
        return "dim"
    if share >= 0.5:
        return "green"
    if share == 0 and continued:
        return "bold red"
    return "yellow" if share else "dim"


def _bar(share: float | None, style: str) -> Text:
    filled = round((share or 0) * _BAR)
    return Text.assemble(("━" * filled, style), ("━" * (_BAR - filled), "dim bright_black"))


def _name(identity: str | None) -> Text:
    return Text(identity) if identity else Text("(none)", "yellow")


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _percentage(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds * 1000:.0f} ms" if seconds < 0.9995 else f"{seconds:.3g} s"


def _dollars(value: float | None) -> str:
    return "-" if value is None else f"${value:.5f}"

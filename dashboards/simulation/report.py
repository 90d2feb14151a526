"""False alarms and delays, counted from the episodes of all scenarios, and held against the targets."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from .evaluation import Episode, Outcome, merged
from .rules import Rules
from .scenarios import DAY, HEALTHY, NOISY, WARM_UP_DAYS
from .targets import PROMPT, QUIET, SEVERITIES


class FalseAlarm(NamedTuple):
    """An episode in a week in which nothing was wrong."""

    alert: str
    severity: str
    weeks: str
    rate: int
    seed: int
    moment: str
    minutes: int
    meanwhile: list[str]


class Delay(NamedTuple):
    """How long after the start of a regression it was told of, in minutes, for each seed; None where it was not."""

    by: str
    regression: str
    rate: int
    delays: list[int | None]

    @property
    def share(self) -> float:
        """Which part of the seeds was detected."""
        return sum(delay is not None for delay in self.delays) / len(self.delays)

    @property
    def median(self) -> float | None:
        """The median delay of all seeds; None when half of them or more were not detected."""
        ordered = sorted(float("inf") if delay is None else delay for delay in self.delays)
        middle = statistics.median(ordered)
        return None if middle == float("inf") else middle


class Verdict(NamedTuple):
    """Whether a target holds."""

    holds: bool
    says: str


class Report:
    """What all scenarios showed."""

    def __init__(self, outcomes: Iterable[Outcome], rules: Rules) -> None:
        self.severities = {alert.name: alert.severity for alert in rules.alerts}
        """By the name of the alert; of alerts of one name, the last one's."""
        self._outcomes = sorted(outcomes, key=lambda outcome: outcome.scenario[:3])
        self.weeks: dict[tuple[str, int], int] = defaultdict(int)
        """How many weeks in which nothing was wrong there are, by kind and rate."""
        self.false_alarms: list[FalseAlarm] = []
        for outcome in self._outcomes:
            if outcome.scenario.kind in (HEALTHY, NOISY):
                self.weeks[outcome.scenario.kind, outcome.scenario.rate] += 1
                self.false_alarms += self._false_alarms_of(outcome)
        self.delays = list(self._all_delays())

    def _false_alarms_of(self, outcome: Outcome) -> Iterator[FalseAlarm]:
        scenario = outcome.scenario
        for alert, episodes in outcome.episodes.items():
            for episode in episodes:
                if WARM_UP_DAYS * DAY <= episode.begins < scenario.minutes:
                    yield FalseAlarm(
                        alert,
                        self.severities[alert],
                        scenario.kind,
                        scenario.rate,
                        scenario.seed,
                        scenario.moment(episode.begins),
                        episode.ends - episode.begins,
                        scenario.around(episode.begins),
                    )

    def _all_delays(self) -> Iterator[Delay]:
        found: dict[tuple[str, str, int], list[int | None]] = defaultdict(list)
        for outcome in self._outcomes:
            scenario = outcome.scenario
            if scenario.starts is None:
                continue
            for alert, episodes in outcome.episodes.items():
                delay = _delay(episodes, scenario.starts, scenario.minutes)
                found[alert, scenario.kind, scenario.rate].append(delay)
            for severity in SEVERITIES:
                delays = [
                    delay
                    for alert, episodes in outcome.episodes.items()
                    if self.severities[alert] == severity
                    and (delay := _delay(episodes, scenario.starts, scenario.minutes)) is not None
                ]
                found[severity, scenario.kind, scenario.rate].append(min(delays, default=None))
        for (by, regression, rate), each in found.items():
            yield Delay(by, regression, rate, each)

    def a_week(self, weeks: str, rate: int, *, alert: str | None = None, severity: str | None = None) -> float | None:
        """False alarms a week, of one alert or of one severity; None when there was no such week."""
        if not self.weeks.get((weeks, rate)):
            return None
        counted = sum(
            false.weeks == weeks
            and false.rate == rate
            and (alert is None or false.alert == alert)
            and (severity is None or false.severity == severity)
            for false in self.false_alarms
        )
        return counted / self.weeks[weeks, rate]

    def verdicts(self) -> list[Verdict]:
        """Each target that was put to the test."""
        verdicts = []
        for quiet in QUIET:
            for kind, rate in sorted(self.weeks):
                value = self.a_week(kind, rate, severity=quiet.severity)
                if kind in quiet.weeks and value is not None:
                    says = f"{value:.2f} false {quiet.severity} a week ({kind}, {rate}/h), at most {quiet.most_a_week}"
                    verdicts.append(Verdict(value <= quiet.most_a_week, says))
        for prompt in PROMPT:
            for delay in self.delays:
                if (delay.by, delay.regression, delay.rate) == (prompt.severity, prompt.regression, prompt.rate):
                    median = delay.median
                    took = "not detected" if median is None else f"{median:g} min"
                    says = f"{prompt.regression} at {prompt.rate}/h, {prompt.severity}: {took}, within {prompt.within}"
                    verdicts.append(Verdict(median is not None and median <= prompt.within, says))
        return verdicts

    def as_json(self) -> dict[str, Any]:
        """Everything, for programs."""
        return {
            "alerts": self.severities,
            "weeks": [{"weeks": kind, "rate": rate, "count": n} for (kind, rate), n in sorted(self.weeks.items())],
            "false_alarms_a_week": [
                {"alert": alert, "severity": severity, "weeks": kind, "rate": rate}
                | {"a_week": self.a_week(kind, rate, alert=alert)}
                for alert, severity in self.severities.items()
                for kind, rate in sorted(self.weeks)
            ],
            "false_alarms": [false._asdict() for false in self.false_alarms],
            "delays": [delay._asdict() | {"median": delay.median, "detected": delay.share} for delay in self.delays],
            "targets": [verdict._asdict() for verdict in self.verdicts()],
        }

    def lines(self) -> Iterator[str]:
        """Everything, for people."""
        yield from self._lines_of_false_alarms()
        yield from self._lines_of_delays()
        yield ""
        yield "Targets"
        for verdict in self.verdicts():
            yield f"  {'holds ' if verdict.holds else 'FAILS '} {verdict.says}"

    def _lines_of_false_alarms(self) -> Iterator[str]:
        kinds = sorted(self.weeks)
        if not kinds:
            return
        yield "False alarms a week"
        heads = [f"{kind} {rate}/h" for kind, rate in kinds]
        rows = [
            [f"{alert} ({severity})", *(f"{self.a_week(*kind, alert=alert):.2f}" for kind in kinds)]
            for alert, severity in self.severities.items()
        ]
        yield from _table(["", *heads], rows)
        for false in self.false_alarms:
            meanwhile = ", ".join(false.meanwhile) or "nothing in particular"
            where = f"{false.weeks} {false.rate}/h, week {false.seed}, {false.moment}, {false.minutes} min"
            yield f"    {false.alert}: {where}: {meanwhile}"

    def _lines_of_delays(self) -> Iterator[str]:
        cells = {(delay.by, delay.regression, delay.rate): delay for delay in self.delays}
        for rate in sorted({delay.rate for delay in self.delays}):
            yield ""
            yield f"Minutes until told of, median of the seeds (and the part detected), at {rate} requests an hour"
            regressions = list(dict.fromkeys(delay.regression for delay in self.delays if delay.rate == rate))
            columns = [*SEVERITIES, *self.severities]
            rows = [
                [regression, *(_cell(cells.get((column, regression, rate))) for column in columns)]
                for regression in regressions
            ]
            yield from _table(["", *columns], rows)


def _delay(episodes: Sequence[Episode], starts: int, ends: int) -> int | None:
    """Minutes until an alert begins to fire that did not fire already."""
    return next((episode.begins - starts for episode in merged(episodes) if starts < episode.begins <= ends), None)


def _cell(delay: Delay | None) -> str:
    if delay is None or not delay.share:
        return "-"
    median = "-" if delay.median is None else f"{delay.median:g}"
    return median if delay.share == 1 else f"{median} ({delay.share:.0%})"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[at]) for row in (heads, *rows)) for at in range(len(heads))]
    for row in (heads, *rows):
        first, *others = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join([f"  {first.strip().ljust(widths[0])}", *others]).rstrip()

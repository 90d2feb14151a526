"""When which alert fires, in which scenario: one batch of scenarios on one Prometheus.

Recording rules and alert expressions are evaluated by Prometheus; ``for`` and ``keep_firing_for`` are applied here,
as its rule manager does (``rules/alerting.go``).
"""

import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from . import exposition, prometheus
from .rules import Alert, Rules, RulesError
from .scenarios import DAY, EPOCH, LEAD, WARM_UP_DAYS, Scenario
from .traffic import simulate

MERGED_MINUTES: Final = 30
"""Episodes of an alert that are less than this apart are one: nobody is called twice."""


class Episode(NamedTuple):
    """A time in which an alert fires without a break; minutes of its scenario, the last one excluded."""

    begins: int
    ends: int


class Outcome(NamedTuple):
    """What a scenario brought."""

    scenario: Scenario
    requests: int
    episodes: dict[str, list[Episode]]
    """By the name of the alert."""


class Spent(NamedTuple):
    """Where the time of a batch went, in seconds, and how much data it was."""

    samples: int
    simulating: float
    loading: float
    recording: float
    alerting: float


def firing(times: Sequence[int], interval: int, hold: float, keep: float) -> list[tuple[int, int]]:
    """From when to when one instance of an alert fires, given the evaluations at which its expression had a result."""
    spans: list[tuple[int, int]] = []
    if not times:
        return spans
    true = set(times)
    active: int | None = None  # since when there is a result
    fired: int | None = None
    kept: int | None = None  # since when it fires without a result
    last = times[-1] + int(keep) + 2 * interval
    for now in range(times[0], last + 1, interval):
        if now in true:
            kept = None
            if active is None:
                active = now
            if fired is None and now - active >= hold:
                fired = now
            continue
        if fired is not None and keep:
            kept = now if kept is None else kept
            if now - kept < keep:
                continue
        if fired is not None:
            spans.append((fired, now))
        active = fired = kept = None
    return spans


def merged(spans: Iterable[tuple[int, int]]) -> list[Episode]:
    """Episodes of spans in minutes."""
    episodes: list[Episode] = []
    for begins, ends in sorted(spans):
        if episodes and begins - episodes[-1].ends < MERGED_MINUTES:
            episodes[-1] = Episode(episodes[-1].begins, max(ends, episodes[-1].ends))
        else:
            episodes.append(Episode(begins, ends))
    return episodes


def evaluate(batch: Sequence[Scenario], rules: Rules) -> tuple[list[Outcome], Spent]:
    """Simulate the scenarios of a batch and evaluate the rules on them. Leaves nothing behind."""
    with tempfile.TemporaryDirectory(prefix="xai-simulation-") as folder:
        samples, database = Path(folder) / "samples.om", Path(folder) / "database"
        database.mkdir()
        started = time.monotonic()
        requests: dict[str, int] = {}
        written = 0
        with samples.open("w", encoding="ascii") as file:
            for scenario in batch:
                traffic = simulate(scenario)
                requests[scenario.job] = traffic.total
                written += exposition.write(traffic, file)
            file.write("# EOF\n")
        simulated = time.monotonic()
        prometheus.load(samples, database)
        samples.unlink()
        loaded = time.monotonic()
        begin, end = EPOCH + 60, EPOCH + 60 * max(scenario.minutes for scenario in batch)
        for level in rules.levels:
            with prometheus.serving(database) as url:
                prometheus.record(level, database, url, begin, end)
        recorded = time.monotonic()
        spans: dict[str, dict[str, list[tuple[int, int]]]] = {scenario.job: {} for scenario in batch}
        with prometheus.serving(database) as url:
            for alert in rules.alerts:
                _add_alert(spans, alert, url, EPOCH + 60 * (WARM_UP_DAYS * DAY - LEAD), end)
        alerted = time.monotonic()
    names = {alert.name for alert in rules.alerts}
    outcomes = [
        Outcome(
            scenario,
            requests[scenario.job],
            {name: merged(spans[scenario.job].get(name, ())) for name in sorted(names)},
        )
        for scenario in batch
    ]
    times = (simulated - started, loaded - simulated, recorded - loaded, alerted - recorded)
    return outcomes, Spent(written, *times)


def _add_alert(
    spans: dict[str, dict[str, list[tuple[int, int]]]], alert: Alert, url: str, begin: int, end: int
) -> None:
    for series in prometheus.query(url, alert.expr, begin, end, alert.interval):
        job = series.labels.get("job")
        if job not in spans:
            raise RulesError(f"{alert.name} gives results without a job label, which tells scenarios apart here")
        for first, last in firing([at for at, _ in series.samples], alert.interval, alert.hold, alert.keep):
            span = ((first - EPOCH) // 60, (last - EPOCH) // 60)
            spans[job].setdefault(alert.name, []).append(span)

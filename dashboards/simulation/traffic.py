"""The traffic of one scenario, request by request, summed to what each minute adds to the counters.

A pure function of the scenario: conversations arrive by the hour of day and the day of the week, their turns follow,
and each request is given the verdict that the ledger would give it. What the constants mean is in ``README.md``.
"""

import math
import random
from bisect import bisect_left
from typing import Final, TypeAlias, TypeVar

from opentelemetry.instrumentation.xai import conventions as names

from . import scenarios
from .scenarios import DAY, HOUR, Scenario

MODELS: Final = ("grok-4.5", "grok-4.6")
BOUNDARIES: Final = names.CLIENT_TIME_TO_FIRST_TOKEN.buckets

HOURLY: Final = (
    *(0.35, 0.25, 0.2, 0.2, 0.2, 0.3, 0.5, 0.8, 1.3, 1.8, 2.0, 2.0),
    *(1.7, 1.8, 2.0, 2.0, 1.9, 1.6, 1.2, 1.0, 0.9, 0.8, 0.7, 0.5),
)
WEEKEND: Final = 0.4
NIGHTLY_BATCH_HOURS: Final = 1.5  # how many hours' worth of requests a batch has
SURGE_HOURS: Final = 3.0

MULTI_TURN: Final = 0.7
MEAN_TURNS: Final = 9.0
FIRST_PROMPT: Final = (2600.0, 0.6)  # median and spread of a log-normal, in tokens
GROWTH: Final = (400.0, 0.7)
BATCH_PROMPT: Final = (12_000.0, 0.4)
SHORT_MULTI_TURN: Final = 0.25
SHORT_MEAN_TURNS: Final = 2.5
SHORT_PROMPT: Final = (800.0, 0.4)
LONGEST_PROMPT: Final = 200_000

GAP: Final = 75 / 60  # minutes, the mean of an exponential
LONG_PAUSES: Final = 0.04
LONG_PAUSE: Final = (5.0, 1.0, 360.0)  # least minutes, exponent of a Pareto tail, most minutes
IDLE: Final = 10.0
EVICTED: Final = ((10.0, 0.0), (20.0, 0.1), (60.0, 0.25), (math.inf, 0.7))  # up to which gap, with what chance

PROVIDER_MISSES: Final = 0.03
NOISY_PROVIDER_MISSES: Final = 0.08
INCIDENT_MISSES: Final = 0.85
PARTIAL_LOSSES: Final = 0.04
PARTIAL_LOSS: Final = (0.05, 0.6)
COMPACTIONS: Final = 0.02
COMPACTION_LOSS: Final = (0.6, 0.9)
COMPACTED_TO: Final = 0.35
HISTORY_EDITS: Final = 0.015
HISTORY_EDIT_LOSS: Final = (0.1, 1.0)
CONCURRENT: Final = 0.005
FORKS: Final = 0.01
NO_BASELINE_WHEN_SCALED: Final = 0.5

BLOCK: Final = 128
LEAST: Final = 1024
FLOOR: Final = 256

WARM_START_S: Final = 0.45
COLD_START_S: Final = 0.8
PER_UNCACHED_TOKEN_S: Final = 0.0001
TTFT_SPREAD: Final = 0.35

RequestKey: TypeAlias = tuple[str, str, str | None, bool]
LossKey: TypeAlias = tuple[str, str, bool]
SpeedKey: TypeAlias = tuple[str, bool | None]
_Key = TypeVar("_Key")


class Speed:
    """Times to first token of one label set, by minute."""

    def __init__(self, minutes: int) -> None:
        self.buckets = [[0] * minutes for _ in range(len(BOUNDARIES) + 1)]
        self.seconds = [0.0] * minutes


class Traffic:
    """What each minute of a scenario adds to the counters."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.minutes = minutes = scenario.minutes
        self.total = 0
        self.requests: dict[RequestKey, list[int]] = {}
        """By model, outcome, reason and whether there was a conversation id."""
        self.lost: dict[LossKey, list[int]] = {}
        """By model, reason and whether it is a repetition."""
        self.potential: dict[str, list[int]] = {}
        self.cached: dict[str, list[int]] = {}
        self.speeds: dict[SpeedKey, Speed] = {}
        """By model and warmth."""
        self.seen = {model: [False] * minutes for model in MODELS}
        self.restarts = scenario.moments(scenarios.DEPLOYMENT)
        self._dice = random.Random(f"traffic of {scenario.job}")
        self._life = _steps(minutes, self.restarts)
        self._model = _steps(minutes, scenario.moments(scenarios.MODEL_RELEASE))
        self._tools = _steps(minutes, scenario.moments(scenarios.TOOLS_RELEASE))
        self._system = _steps(minutes, scenario.moments(scenarios.PROMPT_RELEASE))
        self._short = _within(scenario, scenarios.SHORT_CHATS)
        self._scaled = _within(scenario, scenarios.SCALE_OUT)
        incidents = _within(scenario, scenarios.INCIDENT)
        usual = NOISY_PROVIDER_MISSES if scenario.kind == scenarios.NOISY else PROVIDER_MISSES
        self._misses = [INCIDENT_MISSES if incident else usual for incident in incidents]
        self._starts = math.inf if scenario.starts is None else scenario.starts
        self._regression = scenario.regression or scenarios.Regression()

    def run(self) -> None:
        """Let everything happen."""
        rate = self.scenario.rate
        daily = 7 * NIGHTLY_BATCH_HOURS + SURGE_HOURS
        conversations = rate * (7 * 24 - daily) / (7 * 24) / (1 - MULTI_TURN + MULTI_TURN * MEAN_TURNS) / HOUR
        mean = sum(HOURLY) / 24 * (5 + 2 * WEEKEND) / 7
        for minute in range(self.minutes):
            weekend = (self.scenario.first_weekday + minute // DAY) % 7 >= scenarios.SATURDAY
            profile = HOURLY[minute % DAY // HOUR] * (WEEKEND if weekend else 1.0) / mean
            expected = conversations * profile
            at = self._dice.expovariate(expected)
            while at < 1:
                self._converse(minute + at)
                at += self._dice.expovariate(expected)
        for event in self.scenario.events:
            if event.name in (scenarios.NIGHTLY_BATCH, scenarios.BATCH_SURGE):
                hours = NIGHTLY_BATCH_HOURS if event.name == scenarios.NIGHTLY_BATCH else SURGE_HOURS
                for _ in range(round(rate * hours)):
                    self._answer_of_batch(self._dice.uniform(event.begins, event.ends))

    def _tokens(self, median: float, spread: float) -> int:
        return int(median * math.exp(self._dice.gauss(0, spread)))

    def _answer_of_batch(self, now: float) -> None:
        if now >= self.minutes:
            return
        tokens = self._tokens(*BATCH_PROMPT)
        self._record(now, names.NOT_APPLICABLE, names.FIRST_REQUEST, False, tokens, 0, 0, BLOCK, False)

    def _converse(self, now: float) -> None:
        """One conversation, from its first turn to its last or to the end of the scenario."""
        chance = self._dice.random
        short = self._short[int(now)]
        turns = 1
        if chance() < (SHORT_MULTI_TURN if short else MULTI_TURN):
            mean = SHORT_MEAN_TURNS if short else MEAN_TURNS
            turns = 2 + int(self._dice.expovariate(1 / (mean - 1.5)))
        tokens = self._tokens(*(SHORT_PROMPT if short else FIRST_PROMPT))
        concerned = chance() < self._regression.conversations
        broken = concerned and now >= self._starts
        present = not (broken and self._regression.without_id)
        self._record(now, names.NOT_APPLICABLE, names.FIRST_REQUEST, present, tokens, 0, 0, BLOCK, False)
        repeated: set[str] = set()
        before = now
        for _ in range(turns - 1):
            if chance() < LONG_PAUSES:
                least, exponent, most = LONG_PAUSE
                gap = min(least * self._dice.paretovariate(exponent), most)
            else:
                gap = self._dice.expovariate(1 / GAP)
            now = before + gap
            if now >= self.minutes:
                return
            if self._life[int(now)] != self._life[int(before)]:
                repeated.clear()
            broken = concerned and now >= self._starts
            tokens = self._follow_up(before, now, tokens, broken, repeated)
            before = now

    def _follow_up(self, before: float, now: float, previous: int, broken: bool, repeated: set[str]) -> int:
        """A turn that is not the first: its verdict, and the tokens of its prompt."""
        chance = self._dice.random
        then, minute = int(before), int(now)
        present = not (broken and self._regression.without_id)
        if chance() < FORKS:
            previous = int(previous * self._dice.uniform(0.3, 0.9))
        tokens = min(previous + self._tokens(*GROWTH), LONGEST_PROMPT)
        potential = previous // BLOCK * BLOCK if previous >= LEAST else 0
        reason, loses = self._loss(then, minute, now - before, broken)
        if reason == names.COMPACTED:
            tokens = int(previous * COMPACTED_TO) + tokens - previous
        lost = min(int(potential * loses) // BLOCK * BLOCK, potential) if loses < 1 else potential
        cached = max(potential - lost, BLOCK)
        outcome: str
        if self._life[minute] != self._life[then] or (self._scaled[minute] and chance() < NO_BASELINE_WHEN_SCALED):
            outcome, reason, potential, lost = names.NOT_APPLICABLE, names.NO_BASELINE, 0, 0
        elif chance() < CONCURRENT:
            outcome, reason, potential, lost = names.NOT_APPLICABLE, names.CONCURRENT, 0, 0
        elif not potential:
            outcome, reason, lost = names.NOT_APPLICABLE, names.BELOW_MINIMUM, 0
        elif reason is None or lost <= BLOCK:
            outcome, reason, lost = names.REUSED, None, 0
        else:
            outcome = names.MISSED if cached <= FLOOR else names.PARTIAL
        again = reason in repeated
        if lost and reason is not None:
            repeated.add(reason)
        self._record(now, outcome, reason, present, tokens, potential, lost, cached, again)
        return tokens

    def _loss(self, then: int, minute: int, gap: float, broken: bool) -> tuple[str | None, float]:
        """What breaks first in the order in which reasons are told, and which part of the potential it takes."""
        if self._model[minute] != self._model[then]:
            return names.MODEL_CHANGED, 1.0
        if self._tools[minute] != self._tools[then]:
            return names.TOOLS_CHANGED, 1.0
        if self._system[minute] != self._system[then]:
            return names.SYSTEM_CHANGED, 1.0
        dice = self._dice
        regression = self._regression
        struck = False
        if broken and regression.reason is not None:
            days = (minute - self._starts) / DAY
            struck = dice.random() < regression.hits + regression.grows_daily * days
        if struck and regression.reason == names.SYSTEM_CHANGED:
            return regression.reason, dice.uniform(*regression.loses)
        draw = dice.random()
        if draw < COMPACTIONS:
            return names.COMPACTED, dice.uniform(*COMPACTION_LOSS)
        if draw < COMPACTIONS + HISTORY_EDITS:
            return names.HISTORY_EDITED, dice.uniform(*HISTORY_EDIT_LOSS)
        if struck and regression.reason is not None and regression.reason != names.PROVIDER_MISS:
            return regression.reason, dice.uniform(*regression.loses)
        by_provider = self._provider_loss(minute, gap)
        if struck and by_provider < regression.loses[0]:
            by_provider = dice.uniform(*regression.loses)
        if by_provider:
            return names.IDLE if gap > IDLE else names.PROVIDER_MISS, by_provider
        return None, 0.0

    def _provider_loss(self, minute: int, gap: float) -> float:
        draw = self._dice.random()
        if draw < self._misses[minute]:
            return 1.0
        if gap > IDLE and self._dice.random() < next(evicted for most, evicted in EVICTED if gap <= most):
            return 1.0
        return self._dice.uniform(*PARTIAL_LOSS) if draw > 1 - PARTIAL_LOSSES else 0.0

    def _record(
        self,
        now: float,
        outcome: str,
        reason: str | None,
        present: bool,
        tokens: int,
        potential: int,
        lost: int,
        cached: int,
        repeated: bool,
    ) -> None:
        minute = int(now)
        self.total += 1
        model = MODELS[self._model[minute]]
        regression = self._regression
        begun = now >= self._starts
        self.seen[model][minute] = True
        reported = not (begun and regression.unreported and self._dice.random() < regression.unreported)
        if not reported:
            outcome = reason = names.UNREPORTED
        self._row(self.requests, (model, outcome, reason, present))[minute] += 1
        if reported:
            self._row(self.potential, model)[minute] += potential
            self._row(self.cached, model)[minute] += cached
            if lost:
                assert reason is not None
                self._row(self.lost, (model, reason, repeated))[minute] += lost
        warm = 2 * cached >= tokens
        seconds = (WARM_START_S if warm else COLD_START_S) + PER_UNCACHED_TOKEN_S * (tokens - cached)
        seconds *= math.exp(self._dice.gauss(0, TTFT_SPREAD)) * (regression.slower if begun else 1.0)
        key = model, warm if reported else None
        speed = self.speeds.get(key)
        if speed is None:
            speed = self.speeds[key] = Speed(self.minutes)
        speed.buckets[bisect_left(BOUNDARIES, seconds)][minute] += 1
        speed.seconds[minute] += seconds

    def _row(self, rows: dict[_Key, list[int]], key: _Key) -> list[int]:
        row = rows.get(key)
        if row is None:
            row = rows[key] = [0] * self.minutes
        return row


def _steps(minutes: int, moments: tuple[int, ...]) -> list[int]:
    """For each minute, how many of the moments have come."""
    return [sum(minute >= moment for moment in moments) for minute in range(minutes)]


def _within(scenario: Scenario, name: str) -> list[bool]:
    """For each minute, whether an event of that name is in progress."""
    within = [False] * scenario.minutes
    for event in scenario.events:
        if event.name == name:
            for minute in range(event.begins, min(event.ends, scenario.minutes)):
                within[minute] = True
    return within


def simulate(scenario: Scenario) -> Traffic:
    """The traffic of a scenario."""
    traffic = Traffic(scenario)
    traffic.run()
    return traffic

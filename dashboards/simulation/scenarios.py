"""What is simulated: the calendar of a week, the regressions, and where each scenario stands in time.

All scenarios begin at the same instant and differ by their ``job`` label, so that one query evaluates many of them.
"""

import random
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from opentelemetry.instrumentation.xai import conventions as names

HOUR: Final = 60
DAY: Final = 24 * HOUR
WARM_UP_DAYS: Final = 2
COUNTED_DAYS: Final = 7
LEAD: Final = 12 * HOUR
"""How long before the counted time alerts are evaluated, so that those that fire already are known."""

LARGEST_BLOCK_H: Final = 486
"""The longest block that promtool writes (2 h * 3 ** 5): what lies within one is written in one go."""
_BLOCK_S: Final = LARGEST_BLOCK_H * 3600
EPOCH: Final = -(-(1_767_225_600 // _BLOCK_S * _BLOCK_S + _BLOCK_S) // 86_400) * 86_400
"""The midnight (UTC) at which every scenario begins, near the start of a block."""

SATURDAY: Final = 5
HEALTHY: Final = "healthy"
NOISY: Final = "noisy"

NIGHTLY_BATCH: Final = "nightly batch"
BATCH_SURGE: Final = "batch surge"
SHORT_CHATS: Final = "short chats"
PROMPT_RELEASE: Final = "prompt release"
TOOLS_RELEASE: Final = "tools release"
MODEL_RELEASE: Final = "model release"
DEPLOYMENT: Final = "deployment"
SCALE_OUT: Final = "scale-out"
INCIDENT: Final = "provider incident"

AFTERMATH: Final = {  # minutes after an event in which an alarm is told together with it
    NIGHTLY_BATCH: 60,
    BATCH_SURGE: 60,
    SHORT_CHATS: 120,
    PROMPT_RELEASE: 180,
    TOOLS_RELEASE: 180,
    MODEL_RELEASE: 360,
    DEPLOYMENT: 120,
    SCALE_OUT: 120,
    INCIDENT: 120,
}


class Event(NamedTuple):
    """Something that happens in a healthy week; minutes since the beginning."""

    name: str
    begins: int
    ends: int


class Regression(NamedTuple):
    """What goes wrong from one moment on."""

    reason: str | None = None
    hits: float = 1.0
    """Which part of the follow-ups it concerns loses anything."""
    loses: tuple[float, float] = (1.0, 1.0)
    """Least and most of the potential that such a follow-up loses."""
    conversations: float = 1.0
    """Which part of the conversations it concerns."""
    grows_daily: float = 0.0
    """How much ``hits`` grows each day."""
    without_id: bool = False
    unreported: float = 0.0
    slower: float = 1.0
    deployed: bool = False
    """Whether it may arrive with a deployment, which empties the ledger; every second seed then does."""
    days: int = 1
    """For how long it is watched."""


REGRESSIONS: Final = {
    "clock_in_prompt": Regression(names.SYSTEM_CHANGED, deployed=True),
    "random_conversation_ids": Regression(names.CONVERSATION_ID_CHANGED, hits=0.8, deployed=True),
    "reasoning_dropped": Regression(names.REASONING_DROPPED, loses=(0.5, 0.6), deployed=True),
    "one_route": Regression(names.SYSTEM_CHANGED, conversations=0.2, deployed=True),
    "flag_10_percent": Regression(names.SYSTEM_CHANGED, conversations=0.1),
    "provider_loss": Regression(names.PROVIDER_MISS, hits=0.25),
    "provider_loss_partial": Regression(names.PROVIDER_MISS, loses=(0.25, 0.25)),
    "id_missing": Regression(names.CONVERSATION_ID_MISSING, hits=0.8, without_id=True, deployed=True),
    "ttft_doubled": Regression(slower=2.0),
    "unreported": Regression(unreported=0.2),
    "slow_decline": Regression(names.PROVIDER_MISS, hits=0.0, grows_daily=0.01, days=COUNTED_DAYS),
}


class Scenario(NamedTuple):
    """One timeline: a healthy week, a noisy one, or a regression."""

    kind: str
    rate: int
    """Requests an hour, as the mean of a week."""
    seed: int
    minutes: int
    first_weekday: int
    events: tuple[Event, ...]
    starts: int | None = None
    """The minute in which the regression starts."""

    @property
    def job(self) -> str:
        """The value of its ``job`` label."""
        return f"{self.kind}-{self.rate}-{self.seed}"

    @property
    def regression(self) -> Regression | None:
        """What goes wrong, if anything does."""
        return REGRESSIONS.get(self.kind)

    def moments(self, name: str) -> tuple[int, ...]:
        """The minutes at which events of a name begin."""
        return tuple(event.begins for event in self.events if event.name == name)

    def around(self, minute: int) -> list[str]:
        """The events that are in progress at ``minute``, or were a short while ago."""
        told = []
        for event in self.events:
            if event.begins <= minute < event.ends:
                told.append(f"{event.name} +{minute - event.begins} min")
            elif event.ends <= minute < event.ends + AFTERMATH[event.name]:
                told.append(f"after {event.name} +{minute - event.begins} min")
        return told

    def moment(self, minute: int) -> str:
        """Weekday and time of day."""
        weekday = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[(self.first_weekday + minute // DAY) % 7]
        return f"{weekday} {minute % DAY // HOUR:02}:{minute % HOUR:02}"


def week(kind: str, rate: int, seed: int) -> Scenario:
    """A week of Monday to Sunday in which nothing is wrong, after a weekend that is not counted."""
    dice = random.Random(f"{kind} {rate} {seed}")
    days = WARM_UP_DAYS + COUNTED_DAYS
    events = list(_nights(dice, days))
    workdays = [DAY * (WARM_UP_DAYS + day) for day in range(5)]
    dice.shuffle(workdays)
    for day, name in zip(workdays, (PROMPT_RELEASE, TOOLS_RELEASE, MODEL_RELEASE), strict=False):
        at = day + dice.randrange(10 * HOUR, 16 * HOUR)
        events.append(Event(name, at, at + HOUR))
    events.append(Event(SHORT_CHATS, workdays[3], workdays[3] + DAY))
    at = workdays[4] + dice.randrange(10 * HOUR, 14 * HOUR)
    events.append(Event(BATCH_SURGE, at, at + 45))
    at = dice.choice(workdays) + dice.randrange(9 * HOUR, 17 * HOUR)
    events.append(Event(SCALE_OUT, at, at + HOUR))
    for day in dice.sample(workdays, 2):
        at = day + dice.randrange(9 * HOUR, 18 * HOUR)
        events.append(Event(DEPLOYMENT, at, at + 10))
    if kind == NOISY:
        for day in dice.sample(range(WARM_UP_DAYS, days), 2):
            at = DAY * day + dice.randrange(8 * HOUR, 22 * HOUR)
            events.append(Event(INCIDENT, at, at + 20))
    return Scenario(kind, rate, seed, days * DAY, SATURDAY, tuple(sorted(events, key=lambda event: event.begins)))


def regressed(kind: str, rate: int, seed: int) -> Scenario:
    """A regression that starts on a workday, at a time of day between 9 and 17 h."""
    dice = random.Random(f"{kind} {rate} {seed}")
    regression = REGRESSIONS[kind]
    first_weekday = (seed % 5 - WARM_UP_DAYS) % 7
    starts = WARM_UP_DAYS * DAY + dice.randrange(9 * HOUR, 17 * HOUR)
    minutes = starts + regression.days * DAY
    events = list(_nights(dice, minutes // DAY + 1))
    if regression.deployed and seed % 2:
        events.append(Event(DEPLOYMENT, starts, starts + 10))
    return Scenario(kind, rate, seed, minutes, first_weekday, tuple(events), starts)


def _nights(dice: random.Random, days: int) -> Iterator[Event]:
    for day in range(days):
        at = day * DAY + 2 * HOUR + dice.randrange(30)
        yield Event(NIGHTLY_BATCH, at, at + 40)


def batches(scenarios: Iterable[Scenario], most_minutes: int) -> list[list[Scenario]]:
    """Scenarios that are evaluated together: of one length in days, and few enough to be held on disk."""
    alike: dict[int, list[Scenario]] = {}
    for scenario in scenarios:
        alike.setdefault(-(-scenario.minutes // DAY), []).append(scenario)
    return [
        group[at : at + size]
        for days, group in sorted(alike.items(), reverse=True)
        for size in [max(1, most_minutes // (days * DAY))]
        for at in range(0, len(group), size)
    ]

"""What the parameters of the rules change: reasons on purpose, labels, the objective and the budget."""

from dataclasses import replace
from pathlib import Path

import pytest

from alerting.promtool import (
    BROKEN,
    LOUD,
    LOW,
    LOW_FOR_HOURS,
    MONEY,
    Promise,
    Trial,
    firing,
    needs_promtool,
    outcome_of,
    silent,
)
from alerting.services import broken, healthy, losing
from alerting.traffic import HOUR, Loss, Phase, Stream
from opentelemetry.instrumentation.xai import conventions as names
from opentelemetry.instrumentation.xai.alerting import Thresholds

pytestmark = needs_promtool

END = 6 * HOUR
SLIDING = broken(END, names.HISTORY_TRUNCATED)
MIXED = replace(SLIDING, losses={**SLIDING.losses, names.TOOLS_CHANGED: Loss(0.15, repeated=0.8)})
TEAM = {"team": "search"}
OF_LOSS = (LOW, LOW_FOR_HOURS, MONEY)


def page(job: str, reason: str, **labels: str) -> Promise:
    """Somebody is woken for that reason."""
    return firing(job, BROKEN, END, xai_cache_reason=reason, **labels)


def quiet(job: str, *alerts: str) -> tuple[Promise, ...]:
    """None of the alerts has ever fired."""
    return tuple(silent(job, alert, END) for alert in alerts)


def loses(job: str, calls: float, *promises: Promise) -> Trial:
    """A service that the provider lets down in so many calls."""
    return service(job, losing(END, names.PROVIDER_MISS, calls, repeated=0.5), *promises)


def service(job: str, phase: Phase, *promises: Promise) -> Trial:
    """A service of one process that is in one state all the time."""
    return Trial(job, (Stream(phases=(phase,)),), promises)


ACCEPTING = Thresholds(accept=(names.HISTORY_TRUNCATED, names.MODEL_CHANGED), labels=TEAM)
QUESTIONS: dict[str, tuple[Thresholds, tuple[Trial, ...]]] = {
    "nothing is accepted": (
        Thresholds(),
        (
            service("a", SLIDING, page("a", names.HISTORY_TRUNCATED), *(firing("a", alert, END) for alert in OF_LOSS)),
            loses("b", 0.2, *quiet("b", LOW)),
            loses("c", 0.35, firing("c", MONEY, END), *quiet("c", LOW)),
        ),
    ),
    "history_truncated is accepted": (
        ACCEPTING,
        (
            service("a", SLIDING, *quiet("a", *LOUD)),
            service("b", broken(END, names.MODEL_CHANGED), *quiet("b", *LOUD)),
            service("c", broken(END, names.HISTORY_EDITED), page("c", names.HISTORY_EDITED, **TEAM)),
            service("d", MIXED, page("d", names.TOOLS_CHANGED, **TEAM), *quiet("d", LOW)),
            loses("e", 0.8, *(firing("e", alert, END, **TEAM) for alert in OF_LOSS)),
        ),
    ),
    "provider_miss is accepted": (
        Thresholds(accept=(names.PROVIDER_MISS,)),
        (loses("a", 0.8, *quiet("a", *LOUD)), service("b", broken(END), page("b", names.SYSTEM_CHANGED))),
    ),
    "a high objective": (
        Thresholds(objective=0.97),
        (
            loses("a", 0.2, firing("a", LOW, END), firing("a", LOW_FOR_HOURS, END)),
            service("b", healthy(END), *quiet("b", BROKEN, LOW)),
        ),
    ),
    "a low objective": (
        Thresholds(objective=0.6),
        (
            loses("a", 0.9, firing("a", LOW, END), firing("a", LOW_FOR_HOURS, END)),
            loses("b", 0.4, *quiet("b", LOW, LOW_FOR_HOURS)),
        ),
    ),
    "a low budget": (
        Thresholds(budget_usd_per_hour=3.5),
        (service("a", healthy(END), firing("a", MONEY, END)),),
    ),
    "a high budget": (
        Thresholds(budget_usd_per_hour=1000),
        (service("a", broken(END), page("a", names.SYSTEM_CHANGED), *quiet("a", MONEY)),),
    ),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_parameters(question: str, tmp_path: Path) -> None:
    """A parameter changes what it is for, and nothing else."""
    thresholds, trials = QUESTIONS[question]
    outcome = outcome_of(tmp_path, thresholds, trials)
    assert outcome.broken(promise for trial in trials for promise in trial.promises) == []


def test_an_objective_that_is_higher_is_missed_earlier(tmp_path: Path) -> None:
    """What a low objective needs hours to be sure of, a high one tells within the first."""
    trial = loses("a", 0.5, firing("a", LOW, HOUR))
    assert outcome_of(tmp_path, Thresholds(objective=0.95), [trial]).broken(trial.promises) == []
    assert outcome_of(tmp_path, Thresholds(objective=0.6), [trial]).broken(trial.promises) != []

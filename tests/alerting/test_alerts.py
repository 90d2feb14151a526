"""Each alert fires for what it is there for, keeps silent while a service lives its life, and resolves.

All services have a healthy day behind them, so that those alerts could fire that look back.
"""

from dataclasses import replace

import pytest

from alerting.promtool import (
    BROKEN,
    DRIFT,
    LOUD,
    LOW,
    LOW_FOR_HOURS,
    MONEY,
    NO_ID,
    SEVERITIES,
    SLOW,
    UNREPORTED,
    Outcome,
    Trial,
    firing,
    needs_promtool,
    outcome_of,
    silent,
)
from alerting.services import HEALTHY, broken, excluding, healthy, losing, release
from alerting.traffic import DAY, HOUR, Phase, Stream
from opentelemetry.instrumentation.xai import conventions as names
from opentelemetry.instrumentation.xai.alerting import Thresholds

pytestmark = needs_promtool

PAST = DAY + 2 * HOUR
WRONG = 8 * HOUR
AFTERMATH = 4 * HOUR
END = PAST + WRONG + AFTERMATH

REGRESSIONS: dict[str, tuple[Phase, int, dict[str, str]]] = {
    BROKEN: (broken(WRONG), 20, {"xai_cache_reason": names.SYSTEM_CHANGED}),
    LOW: (losing(WRONG, names.PROVIDER_MISS, 0.75, repeated=0.9), 2 * HOUR, {}),
    LOW_FOR_HOURS: (losing(WRONG, names.PROVIDER_MISS, 0.36, repeated=0.6), 6 * HOUR, {}),
    DRIFT: (losing(WRONG, names.PROVIDER_MISS, 0.18, repeated=0.4), 4 * HOUR, {}),
    MONEY: (losing(WRONG, names.PROVIDER_MISS, 0.36, repeated=0.6), 3 * HOUR, {}),
    SLOW: (replace(HEALTHY, minutes=WRONG, first_token_s=1.2), 3 * HOUR, {}),
    NO_ID: (replace(HEALTHY, minutes=WRONG, without_id=0.25), 2 * HOUR, {}),
    UNREPORTED: (replace(HEALTHY, minutes=WRONG, unreported=0.25), 2 * HOUR, {}),
}
"""What each alert is there for, and after how many minutes it fires at the latest."""

BATCH = replace(HEALTHY, minutes=45, calls=160, beginnings=0.8, cold_s=6.0)
"""Three calls of a batch, each with a long prompt that nothing came before, beside each of the usual ones."""
INCIDENT = losing(20, names.PROVIDER_MISS, 0.8, repeated=0.5)
NOISY = losing(4 * HOUR, names.PROVIDER_MISS, 0.08, repeated=0.2)
SHORT_CHATS = replace(
    HEALTHY, minutes=WRONG, beginnings=0.8, excluded={names.BELOW_MINIMUM: 0.17}, potential=1_500, first_token_s=0.4
)
RESTART = replace(excluding(10, no_baseline=0.6), restarted=True)

LIFE: dict[str, tuple[Phase, ...]] = {
    "nothing": (healthy(WRONG),),
    "a prompt release": release(names.SYSTEM_CHANGED),
    "a tool release": release(names.TOOLS_CHANGED),
    "three releases in a day": tuple(
        phase for _ in range(3) for phase in (*release(names.SYSTEM_CHANGED), healthy(HOUR))
    ),
    "a nightly batch": (BATCH,),
    "short chats": (SHORT_CHATS,),
    "a quiet night": (replace(HEALTHY, minutes=WRONG, calls=0.2),),
    "no calls at all": (replace(HEALTHY, minutes=WRONG, calls=0.0),),
    "compaction": (losing(3 * HOUR, names.COMPACTED, 0.4, part=0.8, repeated=0.7),),
    "long pauses": (losing(2 * HOUR, names.IDLE, 0.4, repeated=0.5),),
    "restarts that empty the ledger": (RESTART, healthy(50)) * 5,
    "many workers that see few baselines": (excluding(WRONG, no_baseline=0.6),),
    "a noisy provider": (NOISY, INCIDENT, NOISY),
    "users who edit": (losing(WRONG, names.HISTORY_EDITED, 0.04, part=0.5, repeated=0.2),),
}
"""What is no reason for an alarm. A model release is another service: see the trial of that name."""
MODEL_RELEASE = "a model release"


def _trials():
    for alert, (wrong, latest, labels) in REGRESSIONS.items():
        promises = [
            silent(alert, alert, PAST),
            firing(alert, alert, PAST + latest, **labels),
            firing(alert, alert, PAST + WRONG, **labels),
            silent(alert, alert, END, within=HOUR),
        ]
        yield Trial(alert, (Stream(phases=(healthy(PAST), wrong, healthy(AFTERMATH))),), tuple(promises))
    for situation, phases in LIFE.items():
        rest = healthy(END - PAST - sum(phase.minutes for phase in phases))
        yield _quiet(situation, Stream(phases=(healthy(PAST), *phases, rest)))
    before = Stream(phases=(healthy(PAST), replace(HEALTHY, minutes=END - PAST, calls=0)))
    after = (*release(names.MODEL_CHANGED), healthy(END - PAST - 90))
    new = {"gen_ai_request_model": "grok-4.7"}
    yield _quiet(MODEL_RELEASE, before, Stream(begins=PAST, phases=after, labels=new))


def _quiet(situation: str, *streams: Stream) -> Trial:
    return Trial(situation, streams, tuple(silent(situation, alert, END) for alert in SEVERITIES))


TRIALS = {trial.job: trial for trial in _trials()}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """All services, put to the test at once."""
    return outcome_of(tmp_path_factory.mktemp("past"), Thresholds(), TRIALS.values())


@pytest.mark.parametrize("alert", REGRESSIONS)
def test_silent_before(outcome: Outcome, alert: str) -> None:
    """While the service was healthy the alert was silent."""
    assert outcome.broken(TRIALS[alert].promises[:1]) == []


@pytest.mark.parametrize("alert", REGRESSIONS)
def test_firing(outcome: Outcome, alert: str) -> None:
    """The alert fires in time, for as long as it lasts, once, and with its severity, job, model and reason."""
    assert outcome.broken(TRIALS[alert].promises[1:3]) == []


@pytest.mark.parametrize("alert", REGRESSIONS)
def test_resolved(outcome: Outcome, alert: str) -> None:
    """When all has been well again for hours the alert is silent."""
    assert outcome.broken(TRIALS[alert].promises[3:]) == []


@pytest.mark.parametrize("alert", LOUD)
@pytest.mark.parametrize("situation", [*LIFE, MODEL_RELEASE])
def test_no_false_alarm(outcome: Outcome, situation: str, alert: str) -> None:
    """What belongs to the life of a service sets off none of the alerts that ask somebody to act."""
    (promise,) = (each for each in TRIALS[situation].promises if f"'{alert}'" in each.expression)
    assert outcome.broken([promise]) == []

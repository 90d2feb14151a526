"""The alerts where there is no past, where data are missing, where counters begin anew, and with other labels."""

from collections.abc import Iterator
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
    Promise,
    Trial,
    firing,
    needs_promtool,
    outcome_of,
    silent,
)
from alerting.services import HEALTHY, broken, excluding, healthy, losing
from alerting.traffic import HOUR, MODEL, Phase, Stream
from opentelemetry.instrumentation.xai import conventions as names
from opentelemetry.instrumentation.xai.alerting import Thresholds
from opentelemetry.instrumentation.xai.conventions import LOSSES

pytestmark = needs_promtool

END = 7 * HOUR
OLD_MODEL = "grok-4.5"
OF_CLIENT = [reason for reason in LOSSES if names.REASONS[reason][0] == names.CAUSE_CLIENT]
WITHOUT_MONEY = tuple(metric for metric in Stream(phases=()).metrics if metric is not names.CACHE_LOST_COST)


def page(job: str, minute: int, /, *, reason: str = names.SYSTEM_CHANGED, **labels: str) -> Promise:
    """Somebody is woken in that minute, for that reason."""
    return firing(job, BROKEN, minute, xai_cache_reason=reason, **labels)


def quiet(job: str, *, alerts: tuple[str, ...] = tuple(SEVERITIES), minute: int = END) -> tuple[Promise, ...]:
    """None of the alerts has fired up to that minute."""
    return tuple(silent(job, alert, minute) for alert in alerts)


def alone(job: str, phases: tuple[Phase, ...], /, *promises: Promise, **labels: str) -> Trial:
    """A service of one process."""
    return Trial(job, (Stream(phases=phases, labels=labels),), promises)


def reasons() -> Iterator[Trial]:
    """A service for each reason of which the client is the cause."""
    for reason in OF_CLIENT:
        yield alone(reason, (broken(HOUR, reason),), page(reason, 30, reason=reason))


def new_models() -> Iterator[Trial]:
    """Services that nothing is known of before."""
    job = "new and healthy"
    yield Trial(job, (Stream(phases=(healthy(END),), whole=True),), quiet(job))
    job = "new and broken"
    absolute = [firing(job, alert, END) for alert in (LOW, LOW_FOR_HOURS, MONEY)]
    promises = (page(job, 30), *absolute, *quiet(job, alerts=(DRIFT, SLOW)))
    yield Trial(job, (Stream(phases=(broken(END),), whole=True),), promises)
    job = "broken from its third hour on"
    drift = (silent(job, DRIFT, 6 * HOUR), firing(job, DRIFT, END))
    yield alone(job, (healthy(3 * HOUR), broken(5 * HOUR)), page(job, END), *drift, *quiet(job, alerts=(SLOW,)))
    job = "new and slow"
    slow = replace(HEALTHY, minutes=4 * HOUR, first_token_s=4.0)
    yield alone(job, (healthy(4 * HOUR), slow), *quiet(job))
    job = "new, without ids and counts"
    blind = replace(HEALTHY, minutes=END, without_id=0.5, unreported=0.5)
    yield alone(job, (blind,), firing(job, NO_ID, END), firing(job, UNREPORTED, END), *quiet(job, alerts=LOUD))
    job = "new, with one call in two minutes"
    yield alone(job, (replace(broken(END), calls=0.5),), page(job, 2 * HOUR))
    job = "new, with one call in an hour"
    yield alone(job, (replace(broken(END), calls=1 / HOUR),), *quiet(job))
    job = "a model beside one that works"
    models = [Stream(phases=(healthy(END),), labels={"gen_ai_request_model": OLD_MODEL}), Stream(phases=(broken(END),))]
    yield Trial(job, tuple(models), (page(job, END), firing(job, LOW, END), firing(job, LOW_FOR_HOURS, END)))


def missing() -> Iterator[Trial]:
    """Services of which Prometheus does not know all."""
    gap = replace(healthy(HOUR), scraped=False)
    for job, missed in (("a gap", gap), ("a gap and a restart", replace(gap, restarted=True))):
        yield alone(job, (healthy(3 * HOUR), missed, healthy(4 * HOUR)), *quiet(job))
    job = "a gap while it is broken"
    missed = replace(broken(HOUR), scraped=False)
    back = [page(job, minute) for minute in (3 * HOUR - 5, 4 * HOUR + 25, END)]
    yield alone(job, (broken(3 * HOUR), missed, broken(4 * HOUR)), *back, silent(job, BROKEN, 4 * HOUR, within=20))
    job = "gone for good"
    gone = replace(broken(4 * HOUR), scraped=False)
    ended = [silent(job, alert, END, within=HOUR) for alert in SEVERITIES]
    yield alone(job, (broken(4 * HOUR), gone), page(job, 4 * HOUR - 5), *ended)
    job = "a scrape in three fails"
    scrapes = (broken(2), replace(broken(1), scraped=False))
    yield alone(job, scrapes * (END // 3), page(job, HOUR), page(job, END), firing(job, LOW, END))
    yield Trial("no metrics", (), quiet("no metrics"))
    job = "potential alone"
    potential = Stream(phases=(healthy(END),), metrics=(names.CACHE_REQUESTS, names.CACHE_POTENTIAL_TOKENS))
    yield Trial(job, (potential,), (*quiet(job), _loss(job, END, 0)))
    job = "no calls"
    yield alone(job, (replace(HEALTHY, minutes=END, calls=0),), *quiet(job))
    job = "no prices"
    yield Trial(
        job,
        (Stream(phases=(broken(END),), metrics=WITHOUT_MONEY),),
        (page(job, END), firing(job, LOW, END), firing(job, LOW_FOR_HOURS, END), silent(job, MONEY, END)),
    )


def resets() -> Iterator[Trial]:
    """Services whose processes start anew."""
    job = "a restart every half-hour"
    yield alone(job, (healthy(30), replace(healthy(30), restarted=True)) * 8, *quiet(job))
    job = "a restart of several processes, one after the other"
    pods = (
        Stream(
            phases=(healthy(HOUR + after), replace(excluding(10, no_baseline=0.6), restarted=True), healthy(2 * HOUR)),
            labels={"instance": f"10.0.0.{after}:9464"},
        )
        for after in range(1, 16, 5)
    )
    yield Trial(job, tuple(pods), quiet(job))
    job = "a restart while it is broken"
    forgetful = replace(excluding(3, no_baseline=0.7), restarted=True)
    firing_on = [page(job, minute) for minute in range(2 * HOUR - 10, 3 * HOUR, 5)]
    still = [firing(job, LOW, minute) for minute in (2 * HOUR - 5, 2 * HOUR + 10, 3 * HOUR)]
    yield alone(job, (broken(2 * HOUR), forgetful, broken(2 * HOUR)), *firing_on, *still)
    job = "a restart every twenty minutes while it is broken"
    yield alone(job, (broken(17), forgetful) * 24, *(page(job, minute) for minute in range(HOUR, END, 30)))
    job = "broken by the release that restarts it"
    released = (healthy(3 * HOUR), forgetful, broken(5 * HOUR))
    yield alone(job, released, silent(job, BROKEN, 3 * HOUR), page(job, 3 * HOUR + 30), firing(job, LOW, 6 * HOUR))


def labelled() -> Iterator[Trial]:
    """Services that are labelled in other ways, or that are more than one process."""
    for job, labels in (
        ("service_name", {"job": "", "service_name": "checkout"}),
        ("neither", {"job": "", "service_name": ""}),
        ("both", {"job": "both", "service_name": "checkout"}),
        ("no model", {"gen_ai_request_model": ""}),
    ):
        own = {"job": job, "service_name": "", **labels}
        promises = [firing(job, alert, END, **own) for alert in (LOW, LOW_FOR_HOURS, MONEY)]
        yield alone(job, (broken(END),), page(job, END, **own), *promises, **labels)
    few = replace(broken(END), calls=0.3)
    fleet = tuple(Stream(phases=(few,), labels={"instance": f"10.0.0.{pod}:9464"}) for pod in range(10))
    yield Trial("ten processes", fleet, (page("ten processes", HOUR), firing("ten processes", LOW, 3 * HOUR)))
    yield Trial("one of ten processes", fleet[:1], (silent("one of ten processes", LOW, END),))
    half = losing(END, names.PROVIDER_MISS, 0.8)
    for job, second in (("half of it broken", healthy(END)), ("all of it broken", half)):
        processes = (Stream(phases=(half,)), Stream(phases=(second,), labels={"instance": "10.0.0.2:9464"}))
        expected = firing(job, LOW, END) if second is half else silent(job, LOW, END)
        yield Trial(job, processes, (expected,))


def _loss(job: str, minute: int, value: float) -> Promise:
    recorded = "job_model:xai_cache_loss:ratio_rate1h"
    labels = f'{recorded}{{job="{job}", gen_ai_request_model="{MODEL}"}}'
    return Promise(f"{recorded}{{job='{job}'}}", minute, {labels: value})


GROUPS = (reasons, new_models, missing, resets, labelled)
TRIALS = {trial.job: trial for group in GROUPS for trial in group()}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """All services, put to the test at once."""
    return outcome_of(tmp_path_factory.mktemp("circumstances"), Thresholds(), TRIALS.values())


@pytest.mark.parametrize("reason", OF_CLIENT)
def test_every_reason_of_the_client(outcome: Outcome, reason: str) -> None:
    """Whatever the application breaks its cache by, somebody is woken within half an hour, and told the reason."""
    assert outcome.broken(TRIALS[reason].promises) == []


@pytest.mark.parametrize("job", [trial.job for trial in new_models()])
def test_no_past(outcome: Outcome, job: str) -> None:
    """Of a new model, what is wrong from the start is told, and what needs a past is not; calls must be enough."""
    assert outcome.broken(TRIALS[job].promises) == []


@pytest.mark.parametrize("job", [trial.job for trial in missing()])
def test_missing_data(outcome: Outcome, job: str) -> None:
    """What is not known is no alarm, and hides none for longer than it lasts."""
    assert outcome.broken(TRIALS[job].promises) == []


@pytest.mark.parametrize("job", [trial.job for trial in resets()])
def test_counter_resets(outcome: Outcome, job: str) -> None:
    """Counters that begin anew are no alarm, and do not end one."""
    assert outcome.broken(TRIALS[job].promises) == []


@pytest.mark.parametrize("job", [trial.job for trial in labelled()])
def test_labels(outcome: Outcome, job: str) -> None:
    """Alerts are labelled with what there is; processes are added up."""
    assert outcome.broken(TRIALS[job].promises) == []

"""Counters exist at 0 before their first event: Prometheus' ``rate`` would not see the first loss otherwise."""

import importlib.util

import pytest

from conftest import Telemetry
from opentelemetry import context
from opentelemetry.instrumentation.xai import conventions as names
from opentelemetry.instrumentation.xai.observation import CacheVerdict, Ending, Observation, Request, Timeline, Usage
from opentelemetry.instrumentation.xai.prices import Prices
from opentelemetry.instrumentation.xai.settings import Settings
from opentelemetry.instrumentation.xai.telemetry.destination import Destination
from opentelemetry.instrumentation.xai.telemetry.recorder import Recorder

FIRST = CacheVerdict(names.NOT_APPLICABLE, names.FIRST_REQUEST, names.CAUSE_EXPECTED, names.CERTAIN, potential=0)
LOSSES = {reason for reason, (cause, _) in names.REASONS.items() if cause in {names.CAUSE_CLIENT, names.CAUSE_PROVIDER}}
PRICED = "grok-4"


def record(
    telemetry: Telemetry, verdict: CacheVerdict | None, model: str = PRICED, prices: Prices | None = None
) -> None:
    """One answered call and what became of its cache."""
    observation = Observation(
        request=Request("chat", "api.x.ai", 443, model, conversation_id="conv"),
        timeline=Timeline(0, 1),
        ending=Ending.COMPLETE,
        usage=Usage(2000, 10, 0, 0),
        finish_reasons=("stop",),
    )
    settings = Settings() if verdict is not None else Settings(ledger="off")
    recorder = Recorder(settings, Destination(telemetry.tracer_provider, telemetry.meter_provider), prices)
    recorder.begin(observation.request, 0, context.get_current()).finish(observation, verdict)


def test_every_loss_exists_at_0_from_the_first_answer_on(telemetry: Telemetry) -> None:
    """Lost tokens of each reason, the first time and repeated, are 0 when nothing was lost yet."""
    record(telemetry, FIRST)
    points = telemetry.metrics()["xai.client.cache.lost_tokens"]
    found = {(point.attributes["xai.cache.reason"], point.attributes["xai.cache.repeated"]) for point in points}
    assert found >= {(reason, repeated) for reason in LOSSES for repeated in (False, True)}
    assert all(point.value == 0 for point in points)
    for point in points:
        assert point.attributes["xai.cache.cause"] == names.REASONS[point.attributes["xai.cache.reason"]][0]


def test_every_kind_of_request_exists_at_0_but_the_one_that_came(telemetry: Telemetry) -> None:
    """Requests of each outcome and reason are 0, in the label sets that the real ones will have."""
    record(telemetry, FIRST)
    points = telemetry.metrics()["xai.client.cache.requests"]
    found = {(point.attributes["xai.cache.outcome"], point.attributes.get("xai.cache.reason")) for point in points}
    assert found >= {(outcome, reason) for outcome in (names.PARTIAL, names.MISSED) for reason in LOSSES}
    assert (names.REUSED, None) in found
    assert [point.attributes["xai.cache.reason"] for point in points if point.value] == [names.FIRST_REQUEST]
    for presence in (names.PRESENT, names.ABSENT):
        of_it = [point for point in points if point.attributes["xai.conversation.id.presence"] == presence]
        assert len(of_it) == len(points) / 2


def test_potential_and_reused_tokens_exist_at_0(telemetry: Telemetry) -> None:
    """An answer that did not say what was cached adds nothing to the totals, but they are there."""
    unreported = CacheVerdict(names.UNREPORTED, names.UNREPORTED, names.CAUSE_UNKNOWN, names.CERTAIN)
    record(telemetry, unreported)
    metrics = telemetry.metrics()
    for name in ("xai.client.cache.potential_tokens", "xai.client.cache.reused_tokens"):
        assert [point.value for point in metrics[name]] == [0], name


def test_a_loss_adds_to_the_label_set_that_was_there(telemetry: Telemetry) -> None:
    """What comes after does not make another series: as many as before, and one of them has grown."""
    record(telemetry, FIRST)
    before = len(telemetry.metrics()["xai.client.cache.lost_tokens"])
    lost = CacheVerdict(
        names.MISSED, names.SYSTEM_CHANGED, names.CAUSE_CLIENT, names.CERTAIN, potential=2048, lost=1920, repeated=True
    )
    record(telemetry, lost)
    points = telemetry.metrics()["xai.client.cache.lost_tokens"]
    assert len(points) == before
    assert [(point.attributes["xai.cache.repeated"], point.value) for point in points if point.value] == [(True, 1920)]


def test_without_a_ledger_there_is_nothing(telemetry: Telemetry) -> None:
    """No verdict, no counters of the cache: not even at 0."""
    record(telemetry, None)
    assert not [name for name in telemetry.metrics() if name.startswith("xai.client.cache.")]


def test_what_exists_without_an_event_is_bounded(telemetry: Telemetry) -> None:
    """Past ten models, hosts and baggage values the SDK's limit of label sets is left to what really happens."""
    for number in range(40):
        record(telemetry, FIRST, f"model-{number}")
    points = telemetry.metrics()["xai.client.cache.lost_tokens"]
    assert len({point.attributes["gen_ai.request.model"] for point in points}) == 10
    assert len(telemetry.metrics()["xai.client.cache.requests"]) < 1000


@pytest.mark.skipif(importlib.util.find_spec("genai_prices") is None, reason="prices need the library genai-prices")
def test_money_exists_at_0_where_there_is_a_price(telemetry: Telemetry) -> None:
    """From a model's first answer on, though nothing was saved or lost by it; and not for a model without a price."""
    prices = Prices()
    prices.start()
    assert prices.wait(60)
    record(telemetry, FIRST, PRICED, prices)
    record(telemetry, FIRST, "of-our-own", prices)
    metrics = telemetry.metrics()
    assert [(p.attributes["gen_ai.request.model"], p.value) for p in metrics["xai.client.cache.saved_cost"]] == [
        (PRICED, 0)
    ]
    lost = metrics["xai.client.cache.lost_cost"]
    assert {point.attributes["xai.cache.reason"] for point in lost} >= LOSSES
    assert {(point.attributes["gen_ai.request.model"], point.value) for point in lost} == {(PRICED, 0)}

"""What alerts say when they fire: whose cache, which reason, tokens and money an hour, what to do and where to look.

promtool compares annotations as a whole, so they are written out: figures, names and links as a reader sees them. Prose
without any of these is taken from the rules.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from alerting.promtool import (
    BROKEN,
    DRIFT,
    FURTHER_LABELS,
    LOW,
    LOW_FOR_HOURS,
    MONEY,
    NO_ID,
    SEVERITIES,
    SLOW,
    UNREPORTED,
    needs_promtool,
    run,
)
from alerting.traffic import DAY, HOUR, MODEL, Loss, Phase, Stream, input_series, p90
from opentelemetry.instrumentation.xai import conventions as names
from opentelemetry.instrumentation.xai.alerting import Thresholds
from opentelemetry.instrumentation.xai.alerting.alerts import alerts
from opentelemetry.instrumentation.xai.alerting.annotations import annotations
from opentelemetry.instrumentation.xai.fixes import FIXES

THRESHOLDS = Thresholds(
    labels={"team": "search"}, grafana_url="https://grafana.example/", runbook_url="https://runbook.example"
)
JOB = "shop/check out"
"""A namespace and a name, of which a link must escape both."""
BEGINS = DAY + 2 * HOUR
AT = BEGINS + 8 * HOUR
HEALTHY = Phase(
    minutes=BEGINS,
    calls=20,
    beginnings=0.5,
    potential=100_000,
    first_token_s=0.5,
    losses={names.PROVIDER_MISS: Loss(0.05, repeated=0.5)},
)
WRONG = Phase(
    minutes=8 * HOUR,
    calls=20,
    beginnings=0.25,
    unreported=0.25,
    without_id=0.25,
    potential=100_000,
    first_token_s=1.28,
    losses={names.PROVIDER_MISS: Loss(0.1, repeated=0.5), names.TOOLS_REORDERED: Loss(0.5, repeated=0.8)},
)
"""All at once: 36 of 60 million potential tokens are lost in an hour, 30 of them to the order of tools."""

DASHBOARD = "https://grafana.example/d/xai-cache-regressions/xai-cache-regressions?from=now-6h&to=now"
LOST = {"reason": names.TOOLS_REORDERED, "lost_tokens_per_hour": "36M", "lost_usd_per_hour": "54.00"}
SAID: dict[str, dict[str, str]] = {
    BROKEN: {
        "summary": f"{JOB} ({MODEL}) keeps breaking its prompt cache: tools_reordered",
        "reason": names.TOOLS_REORDERED,
        "lost_tokens_per_hour": "30M",
        "lost_usd_per_hour": "45.00",
        "fix": FIXES[names.TOOLS_REORDERED],
    },
    LOW: {"summary": f"{JOB} ({MODEL}) loses 60% of its prompt cache", **LOST},
    LOW_FOR_HOURS: {"summary": f"{JOB} ({MODEL}) has lost 60% of its prompt cache for hours", **LOST},
    DRIFT: {
        "summary": f"{JOB} ({MODEL}) loses more of its prompt cache than the day before, by 55% of all that could be reused",
        **LOST,
    },
    MONEY: {"summary": f"{JOB} ({MODEL}) loses 54.00 USD an hour to a cold prompt cache", **LOST},
    SLOW: {
        **LOST,
        "summary": f"{JOB} ({MODEL}) waits {p90(WRONG.first_token_s or 0):.4g}s for its first answer token",
        "reason": "time_to_first_token",
    },
    NO_ID: {
        **LOST,
        "summary": f"{JOB} ({MODEL}) sends 25% of its follow-ups without a conversation id",
        "reason": names.CONVERSATION_ID_MISSING,
        "fix": FIXES[names.CONVERSATION_ID_MISSING],
    },
    UNREPORTED: {
        **LOST,
        "summary": f"{JOB} ({MODEL}) is not told how much was cached, in 25% of its answers",
        "reason": names.UNREPORTED,
        "fix": FIXES[names.UNREPORTED],
    },
}
"""What has figures, names or links, but for the links that all share."""
VALUES = {BROKEN: "40%"}
"""Those that descriptions have."""

OTHERS: dict[str, tuple[Mapping[str, str], str, str]] = {
    "service_name alone": (
        {"job": "", "service_name": "checkout"},
        f"checkout ({MODEL})",
        f"{DASHBOARD}&var-model={MODEL}",
    ),
    "no service at all": ({"job": ""}, f"an application ({MODEL})", f"{DASHBOARD}&var-model={MODEL}"),
    "no model": ({"gen_ai_request_model": ""}, JOB, f"{DASHBOARD}&var-job=shop%2Fcheck+out"),
}
"""Other labels: whom the page then names, and where it links to."""


def alert_test(alert: str, minute: int, expected: Mapping[str, str], labels: Mapping[str, str]) -> dict[str, Any]:
    """The alert fires once in that minute, with exactly these labels and annotations."""
    all_labels = {
        "severity": SEVERITIES[alert], "team": "search", "job": JOB, "gen_ai_request_model": MODEL,
        **FURTHER_LABELS.get(alert, {}), **labels,
    }  # fmt: skip
    if alert == BROKEN:
        all_labels["xai_cache_reason"] = names.TOOLS_REORDERED
    description = annotations(alert, THRESHOLDS)["description"]
    value = "{{ $value | humanizePercentage }}"
    expected = {
        "description": description.replace(value, VALUES.get(alert, value)),
        "runbook_url": f"https://runbook.example#{alert.lower()}",
        "dashboard_url": f"{DASHBOARD}&var-job=shop%2Fcheck+out&var-model={MODEL}",
        **expected,
    }
    shown = {name: value for name, value in all_labels.items() if value}
    return {
        "alertname": alert,
        "eval_time": f"{minute}m",
        "exp_alerts": [{"exp_labels": shown, "exp_annotations": expected}],
    }


def questions() -> Iterator[tuple[str, dict[str, Any]]]:
    """promtool's tests, by what they are about: one for all alerts, and one for each other set of labels."""
    series = list(input_series(Stream(phases=(HEALTHY, WRONG)), JOB))
    yield "all", {"input_series": series, "alert_rule_test": [alert_test(alert, AT, SAID[alert], {}) for alert in SAID]}
    short = replace(WRONG, minutes=HOUR)
    for about, (labels, who, dashboard) in OTHERS.items():
        series = list(input_series(Stream(phases=(short,), labels=labels), JOB))
        summary = f"{who} keeps breaking its prompt cache: tools_reordered"
        expected = {**SAID[BROKEN], "summary": summary, "dashboard_url": dashboard}
        yield about, {"input_series": series, "alert_rule_test": [alert_test(BROKEN, HOUR, expected, labels)]}
    metrics = tuple(metric for metric in Stream(phases=()).metrics if metric is not names.CACHE_LOST_COST)
    series = list(input_series(Stream(phases=(short,), metrics=metrics), JOB))
    unpriced = {**SAID[BROKEN], "lost_usd_per_hour": "unknown"}
    yield "no prices", {"input_series": series, "alert_rule_test": [alert_test(BROKEN, HOUR, unpriced, {})]}


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What promtool says of all of them."""
    named = [{"name": f"about {about}", **test} for about, test in questions()]
    return run(tmp_path_factory.mktemp("annotations"), THRESHOLDS, named)[1]


def failures(output: str, about: str) -> str:
    """What it says of one, if anything."""
    blocks = output.split("    name: about ")
    return "".join(block for block in blocks[1:] if block.startswith(f"{about},"))


@needs_promtool
@pytest.mark.parametrize("alert", SEVERITIES)
def test_labels_and_annotations(output: str, alert: str) -> None:
    """An alert names service, model, reason, tokens and money an hour, and links to runbook and board."""
    assert "Unit Testing" in output
    assert f"alertname: {alert}, " not in failures(output, "all"), output


@needs_promtool
@pytest.mark.parametrize("about", [*OTHERS, "no prices"])
def test_what_is_not_known(output: str, about: str) -> None:
    """What there is no label or no price for is said so, or left out of links."""
    assert failures(output, about) == ""


def test_every_alert_is_put_to_the_test() -> None:
    """There is no alert that these tests do not know."""
    known = {alert.name: alert.severity for alert in alerts(Thresholds())}
    assert known == SEVERITIES
    assert list(SAID) == list(known)


def test_every_annotation() -> None:
    """Each alert has all that somebody who is woken asks for, and a fix where the reason is known."""
    always = ["summary", "description", "reason", "lost_tokens_per_hour", "lost_usd_per_hour"]
    for alert in alerts(Thresholds()):
        fix = ["fix"] if "fix" in SAID[alert.name] else []
        assert list(alert.annotations) == [*always, *fix, "runbook_url", "dashboard_url"]

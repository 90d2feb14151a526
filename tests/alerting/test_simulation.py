"""The rules on simulated traffic, evaluated by a real Prometheus: quiet in a healthy week, quick in each regression.

One week at each rate and one run of each regression; ``make simulate`` has twenty weeks and five runs.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from alerting.promtool import needs_promtool
from simulation import prometheus, scenarios
from simulation.__main__ import main

pytestmark = [
    needs_promtool,
    pytest.mark.skipif(bool(prometheus.missing()), reason="needs Prometheus"),
    pytest.mark.thorough,
    pytest.mark.timeout(900),
]

RATES = (30, 300, 3000)
RULES = Path(__file__).parents[2] / "dashboards" / "generated" / "xai-alerts.yaml"


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What came of it, and the exit status as ``status``."""
    to = tmp_path_factory.mktemp("simulation") / "found.json"
    status = main(["--rules", str(RULES), "--json", str(to), "--rates", ",".join(map(str, RATES))])
    return {"status": status, **json.loads(to.read_text())}


def heard(simulated: dict[str, Any], regression: str) -> dict[str, float | None]:
    """By alert and severity, after how many minutes a regression was told of."""
    return {each["by"]: each["median"] for each in simulated["delays"] if each["regression"] == regression}


def test_all_targets_hold(simulated: dict[str, Any]) -> None:
    """No false page, no false ticket, and each regression that has a target is told of in time."""
    assert simulated["status"] == 0


def test_nothing_is_told_of_a_healthy_week(simulated: dict[str, Any]) -> None:
    """Releases, batches, short chats, restarts and a scale-out set off no alert at 30, 300 or 3,000 requests an hour."""
    assert {week["rate"] for week in simulated["weeks"]} == set(RATES)
    assert simulated["false_alarms"] == []


@pytest.mark.parametrize("regression", [name for name in scenarios.REGRESSIONS if name != "slow_decline"])
def test_every_regression_is_told_of(simulated: dict[str, Any], regression: str) -> None:
    """By one alert at least, within two hours."""
    delays = [delay for delay in heard(simulated, regression).values() if delay is not None]
    assert delays
    assert min(delays) <= 120


@pytest.mark.parametrize(
    ("regression", "alert"),
    [
        ("id_missing", "XaiConversationIdMissing"),
        ("unreported", "XaiCachedTokensUnreported"),
        ("ttft_doubled", "XaiTimeToFirstTokenRegressed"),
        ("provider_loss", "XaiCacheEfficiencyDrift"),
        ("provider_loss_partial", "XaiCacheEfficiencyDrift"),
        ("clock_in_prompt", "XaiCacheEfficiencyLow"),
    ],
)
def test_the_alert_that_is_there_for_it_tells(simulated: dict[str, Any], regression: str, alert: str) -> None:
    """Each kind of regression is told of by the alert that names it."""
    assert heard(simulated, regression)[alert] is not None


def test_the_provider_pages_nobody(simulated: dict[str, Any]) -> None:
    """What the application cannot mend wakes nobody up."""
    for regression in ("provider_loss", "provider_loss_partial", "ttft_doubled"):
        assert heard(simulated, regression)["XaiCacheBrokenByClient"] is None, regression

"""What Prometheus and Alertmanager say by now: the figures, the state of each alert, and what has been received.

Everything is asked over their HTTP interfaces, by expressions that could be typed into Prometheus' own page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from opentelemetry.instrumentation.xai import promql
from stack.servers import Alertmanager, Prometheus

EFFICIENCY = promql.efficiency("1m")
LOST = "60 * sum by (xai_cache_reason) (rate(xai_client_cache_lost_tokens_total[1m])) > 0"
_ORDER = ("firing", "pending", "inactive")


@dataclass(frozen=True)
class Alert:
    """One alerting rule, as Prometheus sees it."""

    name: str
    severity: str
    state: str
    since: datetime | None
    """Since when its condition holds."""


@dataclass(frozen=True)
class Glance:
    """All that is to be seen at one moment."""

    efficiency: float | None
    """Over the last minute; ``None`` where nothing could have been reused."""
    lost: Mapping[str, float]
    """Tokens a minute, by reason."""
    alerts: tuple[Alert, ...]

    def alert(self, name: str) -> Alert | None:
        """Find an alert by its name."""
        return next((alert for alert in self.alerts if alert.name == name), None)


def glance(prometheus: Prometheus) -> Glance:
    """Look once."""
    efficiency = [float(series["value"][1]) for series in prometheus.query(EFFICIENCY)]
    lost = {series["metric"]["xai_cache_reason"]: float(series["value"][1]) for series in prometheus.query(LOST)}
    return Glance(
        efficiency=efficiency[0] if efficiency and not math.isnan(efficiency[0]) else None,
        lost=dict(sorted(lost.items(), key=lambda entry: -entry[1])),
        alerts=tuple(_alert(rule) for rule in prometheus.rules() if rule["type"] == "alerting"),
    )


def received(alertmanager: Alertmanager, name: str) -> list[dict[str, Any]]:
    """Give the alerts of a name that Alertmanager has, as it tells them."""
    return [alert for alert in alertmanager.alerts() if alert["labels"]["alertname"] == name]


def _alert(rule: Mapping[str, Any]) -> Alert:
    active = [alert["activeAt"] for alert in rule["alerts"] if alert["state"] == rule["state"]]
    return Alert(
        name=rule["name"],
        severity=rule["labels"].get("severity", ""),
        state=rule["state"] if rule["state"] in _ORDER else "inactive",
        since=_moment(min(active)) if active else None,
    )


def _moment(text: str) -> datetime:
    # Nanoseconds are more than Python 3.10 reads.
    return datetime.fromisoformat(f"{text[:19]}+00:00").astimezone()

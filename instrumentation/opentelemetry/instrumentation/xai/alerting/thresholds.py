"""The figures by which alerts fire, and why they are what they are.

They were set on simulated traffic (``make simulate``): healthy weeks at 30, 300 and 3,000 requests an hour.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from ..conventions import LOSSES

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")
_OURS = frozenset(
    {"alertname", "severity", "job", "service_name", "gen_ai_request_model", "xai_cache_reason", "xai_token_kind"}
)
_LONGEST_LABEL = 200
_LEAST_OBJECTIVE = 0.001
"""Below it, all may be lost; and as near to 1, nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """When alerts fire. Raises ``ValueError`` that names what was given and what is allowed."""

    objective: float = 0.85
    """The efficiency that is promised: the service's own first week says what it can be (see the runbook)."""
    budget_usd_per_hour: float = 25.0
    """Money that may be lost in an hour, by each job and model, before somebody should look."""
    accept: tuple[str, ...] = ()
    """Reasons that are on purpose, as ``history_truncated`` for who slides a window: losses for them count nowhere."""
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """What every alert is labelled with beside its own."""
    grafana_url: str = "http://localhost:3000"
    """Where the boards are."""
    runbook_url: str = "dashboards/runbook.md"
    """Where the runbook is."""

    broken_share: float = 0.05
    """Of the potential tokens: lost to one reason, by conversations that lost to it before. A flag of 10 % makes eight
    in a hundred."""
    broken_requests: int = 5
    """The least number of calls that broke."""
    edited_share: float = 0.15
    """The same for edited histories, which users edit too: some in a thousand, but in a quiet hour ten in a hundred,"""
    edited_requests: int = 10
    """and the least number of those."""
    drift: float = 0.10
    """Of the potential tokens: how much more must be lost than on the day before."""
    slower: float = 1.5
    """How many times the usual time to first token is too much,"""
    slower_s: float = 0.5
    """and by how many seconds at least."""
    unidentified_share: float = 0.05
    """Of the follow-ups: how many may lack a conversation id."""
    unreported_share: float = 0.05
    """Of the answers: how many may lack a count of cached tokens."""

    def __post_init__(self) -> None:
        if not _LEAST_OBJECTIVE <= self.objective <= 1 - _LEAST_OBJECTIVE:
            raise ValueError(f"the objective is {self.objective:g}; allowed is what lies between 0 and 1, as 0.85")
        if not 0 < self.budget_usd_per_hour < float("inf"):
            raise ValueError(f"the budget is {self.budget_usd_per_hour:g} USD; allowed is any amount above 0")
        for reason in self.accept:
            if reason not in LOSSES:
                raise ValueError(f"no tokens are lost to {reason!r}; allowed is any of {', '.join(LOSSES)}")
        for url in (self.grafana_url, self.runbook_url):
            if not url or not url.isprintable() or "{{" in url:
                raise ValueError(f"{url!r} cannot be linked to; allowed is an address, as https://grafana.example.com")
        for name, value in self.labels.items():
            if not _LABEL.match(name) or name.startswith("__") or name in _OURS:
                ours = ", ".join(sorted(_OURS))
                raise ValueError(f"{name!r} cannot be a label; allowed are letters, digits and _, but none of {ours}")
            if len(value) > _LONGEST_LABEL or not value.isprintable() or "{{" in value:
                raise ValueError(f"the label {name} cannot have this value; allowed is a line of printable text")

    @property
    def fast_loss(self) -> float:
        """The loss at which an hour is enough to worry: three times what the objective allows, if there is so much.

        Burn rates of error budgets (14.4, 6) do not fit a ratio: at an objective of 0.85 all that can be lost is 6.7
        times what may be, at 0.6 only 2.5 times. So never more than half-way from what is allowed to everything.
        """
        allowed = 1 - self.objective
        return min(3 * allowed, (1 + allowed) / 2)

    @property
    def slow_loss(self) -> float:
        """The same for six hours: one and a half times, and never more than a quarter of the way."""
        allowed = 1 - self.objective
        return min(1.5 * allowed, allowed + (1 - allowed) / 4)

"""The alerts: few, and each for one thing that somebody can do something about.

Severities are ``critical`` (wake somebody: the application breaks its own cache), ``warning`` (a ticket for working
hours) and ``info`` (to be read). What the healthy life of an application looks like must set off none of the first two:
releases, batches, restarts, and a provider's bad quarter of an hour. So each asks for a share and for a number of
calls, and those that look at the provider ask for three quarters of the last ninety minutes, in the place of an
average, which one incident can spoil.
"""

from collections.abc import Iterator
from typing import NamedTuple

from ..conventions import HISTORY_EDITED
from ..promql import selector
from . import recording
from .annotations import annotations
from .recording import REASON, broken_over, broken_requests_over, eligible_over, loss_over
from .thresholds import Thresholds

_LASTING = "90m"
_FEW = 30
"""Calls in an hour below which a share says little."""


class Alert(NamedTuple):
    """A rule that fires."""

    name: str
    severity: str
    expression: str
    lasting: str
    """For how long it must hold."""
    kept: str
    """For how long it goes on firing when it holds no longer: traffic is lumpy."""
    annotations: dict[str, str]


def alerts(thresholds: Thresholds) -> Iterator[Alert]:
    """All alerts, the most urgent first."""
    yield from (
        Alert(name, severity, expression, lasting, kept, annotations(name, thresholds))
        for name, severity, expression, lasting, kept in (
            ("XaiCacheBrokenByClient", "critical", _broken(thresholds), "2m", "15m"),
            ("XaiCacheEfficiencyLow", "warning", _inefficient(thresholds.fast_loss, "1h", "10m"), "15m", "30m"),
            ("XaiCacheEfficiencyLowForHours", "warning", _inefficient(thresholds.slow_loss, "6h", "30m"), "30m", "30m"),
            ("XaiCacheEfficiencyDrift", "warning", _drifted(thresholds), "10m", "30m"),
            ("XaiCacheLostMoney", "warning", _expensive(thresholds), "10m", "30m"),
            ("XaiTimeToFirstTokenRegressed", "warning", _slower(thresholds), "10m", "30m"),
            ("XaiConversationIdMissing", "info", _unidentified(thresholds), "15m", "30m"),
            ("XaiCachedTokensUnreported", "info", _unreported(thresholds), "15m", "30m"),
        )
    )


def _broken(thresholds: Thresholds) -> str:
    """Conversations that broke before break again: 15 minutes where there is traffic, 2 hours where there is little.

    In 2 hours of little traffic one long conversation is a large share: so there it has to happen at several times,
    seen in six of the 24 windows of 15 minutes that begin 5 minutes apart. And an application that edits what was said
    does so on every turn, where its users do so now and then.
    """
    edited = f'{REASON}="{HISTORY_EDITED}"'
    return "\nor\n".join(
        [
            *_breaking(f'{REASON}!="{HISTORY_EDITED}"', thresholds.broken_share, thresholds.broken_requests),
            *_breaking(edited, thresholds.edited_share, thresholds.edited_requests),
        ]
    )


def _breaking(of_reason: str, share: float, requests: int) -> Iterator[str]:
    def within(window: str) -> str:
        return (
            f"{selector(broken_over(window), of_reason)} > {share:g}\n"
            f"  and {selector(broken_requests_over(window), of_reason)} >= {requests}"
        )

    recent = selector(broken_over("15m"), of_reason)
    yield f"({within('15m')})"
    yield f"({within('2h')}\n  and count_over_time(({recent} > {share:g})[2h:5m]) >= 6\n  and {recent} > 0)"


def _inefficient(loss: float, long: str, short: str) -> str:
    """More is lost than ``loss``, over a long window, and over a short one: it is not over yet."""
    return (
        f"{loss_over(long)} > {loss:g}\n"
        f"  and {loss_over(short)} > {loss:g}\n"
        f"  and {eligible_over(long)} >= {_FEW if long == '1h' else 2 * _FEW}"
    )


def _drifted(thresholds: Thresholds) -> str:
    """Against the median of the day before, or as much of it as there is, if that is some hours.

    Of few calls a few long ones are a large share: there it takes half as much again.
    """
    recent = f"quantile_over_time(0.25, {loss_over('15m')}[{_LASTING}])"
    before = f"quantile_over_time(0.5, {loss_over('15m')}[1d] offset 2h)"
    return (
        f"({recent} - {before} > {thresholds.drift:g} and {eligible_over('1h')} >= {2 * _FEW}\n"
        f"  or {recent} - {before} > {1.5 * thresholds.drift:g} and {eligible_over('1h')} >= {_FEW})\n"
        f"  and {loss_over('30m')} - {before} > {thresholds.drift:g}\n"
        f"  and present_over_time({loss_over('15m')}[18h] offset 6h)"
    )


def _expensive(thresholds: Thresholds) -> str:
    """Asked of what is as old as the window: of a new model's first minutes the release alone would be seen."""
    budget = f"{thresholds.budget_usd_per_hour:g}"
    return (
        f"3600 * quantile_over_time(0.25, {recording.LOST_MONEY}[{_LASTING}]) > {budget}\n"
        f"  and 3600 * {recording.LOST_MONEY} > {budget}\n"
        f"  and present_over_time({recording.POTENTIAL}[15m] offset 75m)"
    )


def _slower(thresholds: Thresholds) -> str:
    """Warm calls alone: a cold one may be slow for good reasons, a long prompt or a batch among them."""
    recent = f"quantile_over_time(0.25, {recording.FIRST_TOKEN}[1h])"
    before = f"quantile_over_time(0.5, {recording.FIRST_TOKEN}[1d] offset 2h)"
    yesterday = f"quantile_over_time(0.5, {recording.FIRST_TOKEN}[1h] offset 1d)"
    return (
        f"{recent} > {thresholds.slower:g} * {before}\n"
        f"  and {recent} - {before} > {thresholds.slower_s:g}\n"
        f"  and {recent} > {thresholds.slower:g} * {yesterday}\n"
        f"  and {recording.FIRST_TOKEN_CALLS} >= {_FEW}"
    )


def _unidentified(thresholds: Thresholds) -> str:
    return f"{recording.UNIDENTIFIED} > {thresholds.unidentified_share:g}\n  and {recording.FOLLOW_UPS} >= {_FEW}"


def _unreported(thresholds: Thresholds) -> str:
    return f"{recording.UNREPORTED} > {thresholds.unreported_share:g}\n  and {recording.ANSWERS} >= {_FEW}"

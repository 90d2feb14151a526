"""What alerts say: which service and model, which reason, tokens and money an hour, what to do, and where to look.

These are Go templates, which Prometheus fills in when an alert fires. Figures that are not the alert's own value are
queried there and then; where the reader of the rules cannot query (Grafana's own copies), they are ``unknown``.
"""

from typing import Final, NamedTuple

from ..conventions import CONVERSATION_ID_MISSING, LOSSES, REQUEST_MODEL, UNREPORTED
from ..fixes import FIXES
from ..promql import GROUP, label
from .recording import LOST_COST, LOST_TOKENS, REASON
from .thresholds import Thresholds

_MODEL: Final = label(REQUEST_MODEL)
_WHO: Final = (
    "{{ with $labels.job }}{{ . }}{{ else }}{{ with $labels.service_name }}{{ . }}{{ else }}an application"
    f"{{{{ end }}}}{{{{ end }}}}{{{{ with $labels.{_MODEL} }}}} ({{{{ . }}}}){{{{ end }}}}"
)
_SHARE: Final = "{{ $value | humanizePercentage }}"
_PAGE: Final = "XaiCacheBrokenByClient"


class _Said(NamedTuple):
    summary: str
    description: str


_SAID: Final = {
    _PAGE: _Said(
        f"{_WHO} keeps breaking its prompt cache: {{{{ $labels.{REASON} }}}}",
        f"{_SHARE} of the tokens that could have been read from the cache are lost, in conversations that lost them "
        "for the same reason before. A release that changes the prompt costs each conversation one loss; this goes on.",
    ),
    "XaiCacheEfficiencyLow": _Said(
        f"{_WHO} loses {_SHARE} of its prompt cache",
        "Over the last hour, and still over the last ten minutes, more than <loss> of the tokens that could have been "
        "read from the cache were lost; the objective is an efficiency of <objective>.",
    ),
    "XaiCacheEfficiencyLowForHours": _Said(
        f"{_WHO} has lost {_SHARE} of its prompt cache for hours",
        "Over the last six hours, and still over the last thirty minutes, more than <loss> of the tokens that could "
        "have been read from the cache were lost; the objective is an efficiency of <objective>.",
    ),
    "XaiCacheEfficiencyDrift": _Said(
        f"{_WHO} loses more of its prompt cache than the day before, by {_SHARE} of all that could be reused",
        "For most of the last ninety minutes the part of the potential tokens that was lost lay that many points above "
        "the median of the day before.",
    ),
    "XaiCacheLostMoney": _Said(
        f"{_WHO} loses {{{{ $value | printf `%.2f` }}}} USD an hour to a cold prompt cache",
        "For most of the last ninety minutes the tokens that could have been read from the cache, and were not, cost "
        "more than the budget of <budget> USD an hour, at list prices.",
    ),
    "XaiTimeToFirstTokenRegressed": _Said(
        f"{_WHO} waits {{{{ $value | humanizeDuration }}}} for its first {{{{ $labels.xai_token_kind }}}} token",
        "So long is the 90th percentile of warm calls, for most of the last hour: more than <slower> times that of the "
        "day before, and of the same hour. Their prompts were cached, so the cache is not what is slow.",
    ),
    "XaiConversationIdMissing": _Said(
        f"{_WHO} sends {_SHARE} of its follow-ups without a conversation id",
        "Nothing routes them to the server that holds their cache. Where it was never otherwise no figure drops, and "
        "this alone tells.",
    ),
    "XaiCachedTokensUnreported": _Said(
        f"{_WHO} is not told how much was cached, in {_SHARE} of its answers",
        "These calls are in no ratio: neither alerts nor boards know whether their cache works.",
    ),
}
_FIXED_REASONS: Final = {
    "XaiTimeToFirstTokenRegressed": "time_to_first_token",
    "XaiConversationIdMissing": CONVERSATION_ID_MISSING,
    "XaiCachedTokensUnreported": UNREPORTED,
}
"""Where the reason is plain from the alert alone."""


def annotations(name: str, thresholds: Thresholds) -> dict[str, str]:
    """The annotations of the alert of that name."""
    summary, description = _SAID[name]
    loss = thresholds.fast_loss if name == "XaiCacheEfficiencyLow" else thresholds.slow_loss
    figures = {
        "loss": f"{100 * loss:.3g} %",
        "objective": f"{thresholds.objective:g}",
        "budget": f"{thresholds.budget_usd_per_hour:g}",
        "slower": f"{thresholds.slower:g}",
    }
    for figure, value in figures.items():
        description = description.replace(f"<{figure}>", value)
    return {
        "summary": summary,
        "description": description,
        "reason": _reason(name),
        "lost_tokens_per_hour": _of_an_hour(LOST_TOKENS, name, "humanize"),
        "lost_usd_per_hour": _of_an_hour(LOST_COST, name, 'printf "%.2f"'),
        **_fix(name),
        "runbook_url": f"{thresholds.runbook_url}#{name.lower()}",
        "dashboard_url": (
            f"{thresholds.grafana_url.rstrip('/')}/d/xai-cache-regressions/xai-cache-regressions?from=now-6h&to=now"
            "{{ with $labels.job }}&var-job={{ . | urlquery }}{{ end }}"
            f"{{{{ with $labels.{_MODEL} }}}}&var-model={{{{ . | urlquery }}}}{{{{ end }}}}"
        ),
    }


def _reason(name: str) -> str:
    if name == _PAGE:
        return f"{{{{ $labels.{REASON} }}}}"
    if name in _FIXED_REASONS:
        return _FIXED_REASONS[name]
    return _queried(f"topk(1, {_recorded(LOST_TOKENS, GROUP)})", GROUP, f'{{{{ . | first | label "{REASON}" }}}}')


def _of_an_hour(recorded: str, name: str, shown_as: str) -> str:
    labels = (*GROUP, REASON) if name == _PAGE else GROUP
    expression = f"3600 * sum({_recorded(recorded, labels)})"
    return _queried(expression, labels, f"{{{{ . | first | value | {shown_as} }}}}")


def _recorded(name: str, labels: tuple[str, ...]) -> str:
    return f"{name}{{{', '.join(f'{each}=%q' for each in labels)}}}"


def _queried(expression: str, labels: tuple[str, ...], shown: str) -> str:
    values = " ".join(f"$labels.{each}" for each in labels)
    return f"{{{{ with printf `{expression}` {values} | query }}}}{shown}{{{{ else }}}}unknown{{{{ end }}}}"


def _fix(name: str) -> dict[str, str]:
    """What to do about the reason, where there is one: the page is labelled with any of them."""
    if name == _PAGE:
        branches = [f'if eq $labels.{REASON} "{reason}" }}}}{FIXES[reason]}' for reason in LOSSES]
        return {"fix": "{{ " + "{{ else ".join(branches) + "{{ end }}"}
    reason = _FIXED_REASONS.get(name, "")
    return {"fix": FIXES[reason]} if reason in FIXES else {}

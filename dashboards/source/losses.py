"""Panels about what is lost, and why."""

from typing import Final

from opentelemetry.instrumentation.xai import conventions as names
from opentelemetry.instrumentation.xai.fixes import FIXES
from opentelemetry.instrumentation.xai.promql import label

from . import colors, queries
from .links import field
from .panels import COUNT, DOLLARS, PERCENT, REASON_LOOKS, Ask, Look, Panel, Traces, figure, lines
from .queries import OF_REASON, OF_REASON_AND_CAUSE
from .tables import Column, rows

_REASON: Final = "{{xai_cache_reason}}"
_LOSSES: Final = Traces(
    "Traces of lost tokens",
    (f"span.{names.XAI_CACHE_LOST_TOKENS} > 0",),
    (f'span.{names.XAI_CACHE_REASON} = "{field(names.XAI_CACHE_REASON)}"',),
)
_SHADES: Final = (
    "Shades of red are the client's doing and yours to fix, orange is the provider's, grey is expected. The runbook "
    "has a section for each reason by its name; a click on a line leads to its traces. An empty chart with an axis is "
    "nothing lost."
)


def per_hour() -> Panel:
    """Money lost an hour."""
    lost = queries.avoidable_lost_cost(queries.RANGE)
    return figure(
        "Lost per hour, avoidably",
        "Dollars an hour that lost tokens cost more than cached ones would have: the mean over the time range, at "
        "list prices, without expected and idle losses; the figure of XaiCacheLostMoney. $0.00 means that nothing was "
        f"lost; no data, that the extra `prices` is missing. From `{queries.LOST_COST}`.",
        Ask(f"3600 * ({lost})", "lost per hour"),
        DOLLARS,
        (None, colors.GOOD),
        (0.005, colors.OURS),
        decimals=2,
        traces=_LOSSES,
    )


def worst_reason() -> Panel:
    """The reason that costs most."""
    return figure(
        "Worst reason, in tokens",
        "The reason to which most tokens were lost avoidably, and how many, over the time range. Its section in the "
        f"runbook says what it means and what to change. No data means that nothing was lost. From `{queries.LOST}`.",
        Ask(queries.worst_reason(), _REASON),
        COUNT,
        (None, colors.OURS),
        decimals=1,
        traces=_LOSSES,
        named=True,
    )


def repeated() -> Panel:
    """How much of the loss happened again in the same conversation."""
    again = queries.total(queries.LOST, *queries.AVOIDABLE, queries.is_(names.XAI_CACHE_REPEATED, "true"))
    return figure(
        "Lost again and again",
        "Of the tokens lost avoidably, the share that a conversation lost for a reason for which it had lost some "
        "before. A deployment that changes the prompt costs each live conversation one loss: that is the price of a "
        f"change. What is repeated is a defect. No data means that nothing was lost. From `{queries.LOST}`.",
        Ask(queries.share(again, queries.total(queries.LOST, *queries.AVOIDABLE)), "repeated"),
        PERCENT,
        (None, colors.GOOD),
        (0.5, colors.THEIRS),
        (0.8, colors.OURS),
        decimals=0,
        traces=Traces("Traces of repeated losses", (f"span.{names.XAI_CACHE_REPEATED} = true",)),
    )


def cost_by_reason() -> Panel:
    """Money lost, by reason."""
    return lines(
        "Lost dollars per hour, by reason",
        f"What lost tokens cost more than cached ones would have, at list prices. {_SHADES} Needs the extra `prices`. "
        f"From `{queries.LOST_COST}`.",
        [Ask(queries.per_hour(queries.LOST_COST, of=OF_REASON), _REASON)],
        DOLLARS,
        REASON_LOOKS,
        traces=_LOSSES,
        stacked=True,
        many=True,
    )


def tokens_by_reason() -> Panel:
    """Tokens lost, by reason."""
    return lines(
        "Lost tokens per minute, by reason",
        f"Input tokens that could have been read from the cache and were not. {_SHADES} From `{queries.LOST}`.",
        [Ask(queries.per_minute(queries.LOST, of=OF_REASON), _REASON)],
        COUNT,
        REASON_LOOKS,
        traces=_LOSSES,
        stacked=True,
        many=True,
    )


def by_cause() -> Panel:
    """The part of the potential that each cause takes away."""
    parts = queries.rate(queries.LOST, of=(label(names.XAI_CACHE_CAUSE),))
    return lines(
        "Lost share of what was reusable, by cause",
        "Of the tokens that could have been reused, the share that each cause took away. A red step is a change of "
        "your own; orange alone, with several models or jobs at once, is xAI's. XaiCacheBrokenByClient looks at the "
        f"client's share. From `{queries.LOST}` and `{queries.POTENTIAL}`.",
        [Ask(queries.share_of_each(parts, queries.rate(queries.POTENTIAL)), "{{xai_cache_cause}}")],
        PERCENT,
        {cause: Look(color) for cause, color in colors.CAUSES.items()},
        traces=Traces(
            _LOSSES.title, _LOSSES.conditions, (f'span.{names.XAI_CACHE_CAUSE} = "{field(names.XAI_CACHE_CAUSE)}"',)
        ),
        stacked=True,
    )


def what_to_do() -> Panel:
    """The reasons with their price and their remedy."""
    reason, cause = OF_REASON_AND_CAUSE

    def with_remedy(query: str) -> str:
        return f'label_replace({query}, "remedy", "$1", "{reason}", "(.+)")'

    return rows(
        "What to do, by reason",
        "Every reason for which tokens were lost in the time range: whose doing, what it took, and the remedy in one "
        "sentence. The runbook has a section for each, by its name. Repeated is the part that a conversation lost for "
        f"a reason which it had before: a defect rather than a deployment. From `{queries.LOST}` and "
        f"`{queries.LOST_COST}`.",
        [
            Column(
                "Reason",
                reason,
                width=190,
                traces=(f'span.{names.XAI_CACHE_REASON} = "${{__value.text:percentencode}}"',),
            ),
            Column("Cause", cause, width=90, colors=colors.CAUSES),
            Column("Tokens", with_remedy(_lost(queries.LOST)), COUNT, 1, 100),
            Column("Repeated", with_remedy(_repeated()), PERCENT, 0, 90),
            Column("Cost", with_remedy(_lost(queries.LOST_COST)), DOLLARS, 2, 90),
            Column("What to do", "remedy", texts=FIXES),
        ],
        sorted_by="Tokens",
    )


def _lost(counter: str) -> str:
    return f"{queries.total(counter, of=OF_REASON_AND_CAUSE)} > 0"


def _repeated() -> str:
    lost = queries.total(queries.LOST, of=OF_REASON_AND_CAUSE)
    again = queries.total(queries.LOST, queries.is_(names.XAI_CACHE_REPEATED, "true"), of=OF_REASON_AND_CAUSE)
    return queries.share(again, lost)

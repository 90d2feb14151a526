"""Panels about whether the cache works: efficiency, and what became of input tokens."""

from typing import Final

from opentelemetry.instrumentation.xai import conventions as names
from opentelemetry.instrumentation.xai.promql import label

from . import colors, queries
from .links import field as _series
from .panels import COUNT, DOLLARS, PER_MINUTE, PERCENT, Ask, Look, Panel, Traces, figure, lines
from .queries import OF_MODEL, OF_MODEL_NAMED

_LOSSES: Final = Traces("Traces of lost tokens", (f"span.{names.XAI_CACHE_LOST_TOKENS} > 0",))
_CACHED_SPANS: Final = Traces("Traces of cached input", (f"span.{names.USAGE_CACHE_READ_INPUT_TOKENS} > 0",))
_STEPS: Final = ((None, colors.OURS), (0.7, colors.THEIRS), (0.85, colors.GOOD))
_NOTHING: Final = "No data means that nothing could have been reused, which is not the same as 0 %."


def efficiency() -> Panel:
    """How much of what could be reused was."""
    return figure(
        "Cache efficiency",
        "Of the input tokens that could have been read from the cache, the share that was, over the time range; "
        "losses that nobody can help (expected ones and idle conversations) are left out. Above 85 % is as it should "
        f"be, and an application that only appends reaches 95 % and more. {_NOTHING} When it is low, the board xAI "
        f"cache regressions names the reason, and the runbook has a section for each. From `{queries.LOST}` and "
        f"`{queries.POTENTIAL}`.",
        Ask(queries.efficiency(queries.RANGE), "efficiency"),
        PERCENT,
        *_STEPS,
        decimals=1,
        traces=_LOSSES,
    )


def from_cache() -> Panel:
    """How much of all input came from the cache."""
    return figure(
        "Input from the cache",
        "Of all input tokens, the share that xAI read from its prompt cache and charged at the lower price: tokens "
        "over tokens, not an average of calls. First requests and new input count here too, so it is lower than the "
        f"efficiency, and falls with shorter conversations without anything being wrong. From `{queries.CACHED}` and "
        f"`{queries.INPUT}`.",
        Ask(queries.from_cache(queries.RANGE), "from the cache"),
        PERCENT,
        decimals=1,
        traces=_CACHED_SPANS,
    )


def efficiency_over_time() -> Panel:
    """The efficiency, with the same hours of yesterday."""
    now = queries.efficiency()
    return lines(
        "Cache efficiency, and a day ago",
        "The share of reusable input tokens that was reused; dashed, the same hours yesterday. Good is a level line "
        f"above 85 %. A step down that begins with a deployment is a changed prompt; gaps are no data. {_NOTHING} "
        f"Next: the board xAI cache regressions. From `{queries.LOST}` and `{queries.POTENTIAL}`.",
        [Ask(now, "now"), Ask(queries.before(now, "1d"), "a day ago")],
        PERCENT,
        {"now": Look(colors.GOOD), "a day ago": Look(colors.PAST, dashed=True)},
        traces=_LOSSES,
        at_most=1,
    )


def input_tokens() -> Panel:
    """Cached and uncached input."""
    cached = queries.per_minute(queries.CACHED)
    uncached = f"{queries.per_minute(queries.INPUT)} - ({queries.or_zero(cached, queries.rate(queries.INPUT))})"
    return lines(
        "Input tokens per minute",
        "Input tokens by how they were charged: cached at about a quarter of the price, uncached in full. Good is a "
        "large green part that grows with traffic. When the grey part grows alone, look at the efficiency to see "
        f"whether that is new input or lost reuse. From `{queries.CACHED}` and `{queries.INPUT}`.",
        [Ask(cached, "cached"), Ask(uncached, "uncached")],
        COUNT,
        {"cached": Look(colors.GOOD), "uncached": Look(colors.PAST)},
        traces=_CACHED_SPANS,
        stacked=True,
    )


def saved() -> Panel:
    """What the cache saved."""
    return figure(
        "Saved by the cache",
        "What cached input tokens cost less than uncached ones would have, over the time range, at list prices. Needs "
        f"the extra `prices`; without it, no data. From `{queries.SAVED_COST}`.",
        Ask(queries.total(queries.SAVED_COST), "saved"),
        DOLLARS,
        (None, colors.GOOD),
        decimals=2,
        traces=_CACHED_SPANS,
    )


def lost() -> Panel:
    """What was paid needlessly."""
    return figure(
        "Lost, avoidably",
        "What lost tokens cost more than cached ones would have, over the time range, at list prices; expected and "
        "idle losses are left out. $0.00 means that none were lost, no data that the extra `prices` is missing or "
        "nothing was cached yet. What to do is in the runbook, by reason: the board xAI cache regressions has the "
        f"list. From `{queries.LOST_COST}`.",
        Ask(
            queries.or_zero(queries.total(queries.LOST_COST, *queries.AVOIDABLE), queries.total(queries.SAVED_COST)),
            "lost",
        ),
        DOLLARS,
        (None, colors.GOOD),
        (0.005, colors.OURS),
        decimals=2,
        traces=_LOSSES,
    )


def saved_and_lost() -> Panel:
    """Money that the cache saves and that is lost, over time."""
    saving = queries.per_hour(queries.SAVED_COST)
    by_cause = [
        (cause, name, queries.per_hour(queries.LOST_COST, queries.is_(names.XAI_CACHE_CAUSE, cause)))
        for cause, name in ((names.CAUSE_CLIENT, "lost by the client"), (names.CAUSE_PROVIDER, "lost by the provider"))
    ]
    return lines(
        "Saved and lost per hour",
        "Dollars an hour: green is saved by cached tokens, red is lost by what the client changed, orange is lost "
        "although the client did its part. Good is green alone. Red is yours to fix: the board xAI cache regressions "
        f"names the reason, the runbook the remedy. From `{queries.SAVED_COST}` and `{queries.LOST_COST}`.",
        [
            Ask(saving, "saved"),
            *(Ask(queries.or_zero(query, queries.rate(queries.SAVED_COST)), name) for _, name, query in by_cause),
        ],
        DOLLARS,
        {"saved": Look(colors.GOOD), **{name: Look(colors.CAUSES[cause]) for cause, name, _ in by_cause}},
        traces=_LOSSES,
    )


def outcomes() -> Panel:
    """What became of each call's prompt."""
    return lines(
        "Answered calls by what the cache did",
        "Answered calls a minute: `reused` all that could be, `partial`, `missed`; `not_applicable` had nothing to "
        "reuse (first requests above all); `unreported` came without a cached-token count. Good is green and blue. "
        f"See What the figures mean in the runbook. From `{queries.ANSWERED}`.",
        [
            Ask(
                queries.per_minute(queries.ANSWERED, of=(label(names.XAI_CACHE_OUTCOME),)),
                "{{xai_cache_outcome}}",
            )
        ],
        PER_MINUTE,
        {
            names.REUSED: Look(colors.GOOD),
            names.PARTIAL: Look(colors.THEIRS),
            names.MISSED: Look(colors.OURS),
            names.NOT_APPLICABLE: Look(colors.VOLUME),
            names.UNREPORTED: Look(colors.CAUSES[names.CAUSE_UNKNOWN]),
        },
        traces=Traces(of_series=(f'span.{names.XAI_CACHE_OUTCOME} = "{_series(names.XAI_CACHE_OUTCOME)}"',)),
        stacked=True,
    )


def against_objective() -> Panel:
    """The efficiency, its objective and its past."""
    now = queries.efficiency()
    return lines(
        "Cache efficiency against its objective and its past",
        "The share of reusable input tokens that was reused, with the objective of the alert rules; dashed, the same "
        "hours a day and a week ago. Good is above the white line and level. Marks are deployments: a step down that "
        f"begins at one was shipped with it. {_NOTHING} From `{queries.LOST}` and `{queries.POTENTIAL}`.",
        [
            Ask(now, "now"),
            Ask(queries.before(now, "1d"), "a day ago"),
            Ask(queries.before(now, "1w"), "a week ago"),
            Ask(queries.objective(), "objective"),
        ],
        PERCENT,
        {
            "now": Look(colors.GOOD),
            "a day ago": Look(colors.PAST, dashed=True),
            "a week ago": Look(colors.LONG_PAST, dashed=True),
            "objective": Look(colors.LINE, dashed=True),
        },
        traces=_LOSSES,
        at_most=1,
    )


def margin() -> Panel:
    """How far above its objective the efficiency is."""
    return figure(
        "Margin to the objective",
        "The efficiency over the time range less the objective at the top of the board, in percentage points of the "
        "potential: below 0 the objective is missed, and the alerts XaiCacheEfficiencyLow and "
        f"XaiCacheEfficiencyLowForHours speak of the same figure. From `{queries.LOST}` and `{queries.POTENTIAL}`.",
        Ask(queries.margin(), "margin"),
        PERCENT,
        (None, colors.OURS),
        (0, colors.GOOD),
        decimals=1,
        traces=_LOSSES,
    )


def by_model() -> Panel:
    """The efficiency of each model."""
    return lines(
        "Cache efficiency by model",
        "The share of reusable input tokens that was reused, for each model; caches are separate per model. One line "
        f"below the others points at the code path that uses that model. From `{queries.LOST}` and "
        f"`{queries.POTENTIAL}`.",
        [Ask(queries.efficiency(of=OF_MODEL), OF_MODEL_NAMED)],
        PERCENT,
        traces=Traces(
            _LOSSES.title,
            _LOSSES.conditions,
            (f'span.{names.REQUEST_MODEL} = "{_series(names.REQUEST_MODEL)}"',),
        ),
        at_most=1,
    )


def drift() -> Panel:
    """How far each model is from its own past."""
    return lines(
        "Change of efficiency against its own mean, by model",
        "The efficiency of each model less its mean over the time before, as long as the board's time range, in "
        "percentage points. Around 0 is as it should be; a lasting fall of 8 points is what XaiCacheEfficiencyDrift "
        "looks for, and it shows what no fixed objective does: a service that was better. A slow decline takes its "
        f"mean along; compare with a week ago above. From `{queries.LOST}` and `{queries.POTENTIAL}`.",
        [Ask(queries.drift(), OF_MODEL_NAMED)],
        PERCENT,
        traces=_LOSSES,
        at_least=None,
        around_zero=0.1,
    )


def potential() -> Panel:
    """What became of every token that could have been reused."""
    causes = (names.CAUSE_CLIENT, names.CAUSE_PROVIDER, names.CAUSE_EXPECTED)
    return lines(
        "Reusable input tokens per minute",
        "Every input token that could have been read from the cache, by what became of it: reused, or lost by the "
        "client, the provider, or as expected (a compaction, a server that never caches). The whole height is the "
        f"potential. Good is green alone; red is yours to fix. From `{queries.REUSED}` and `{queries.LOST}`.",
        [
            Ask(queries.per_minute(queries.REUSED), "reused"),
            *(
                Ask(
                    queries.per_minute(queries.LOST, queries.is_(names.XAI_CACHE_CAUSE, cause)),
                    _LOST_NAMES[cause],
                )
                for cause in causes
            ),
        ],
        COUNT,
        {"reused": Look(colors.GOOD), **{_LOST_NAMES[cause]: Look(colors.CAUSES[cause]) for cause in causes}},
        traces=_LOSSES,
        stacked=True,
    )


_LOST_NAMES: Final = {
    names.CAUSE_CLIENT: "lost by the client",
    names.CAUSE_PROVIDER: "lost by the provider",
    names.CAUSE_EXPECTED: "lost as expected",
}

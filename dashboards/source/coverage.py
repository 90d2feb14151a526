"""Panels about what can be known: whether calls carry a conversation id, and whether the cache can be judged."""

from typing import Final

from opentelemetry.instrumentation.xai import conventions as names

from . import colors, queries
from .links import OF_ITS_MODEL, field
from .panels import PERCENT, REASON_LOOKS, Ask, Look, Panel, Traces, figure, lines
from .queries import OF_MODEL, OF_MODEL_NAMED, OF_REASON

_NO_ID: Final = Traces(
    "Traces without an id", (f'span.{names.XAI_CONVERSATION_ID_PROBLEMS} = "{names.PROBLEM_MISSING}"',)
)
_BLIND: Final = Traces(
    "Traces of which nothing can be said",
    (f'span.{names.XAI_CACHE_REASON} =~ "{names.NO_BASELINE}|{names.UNREPORTED}"',),
)


def ids() -> Panel:
    """How many calls carry a conversation id."""
    return figure(
        "Calls with a conversation id",
        "Of the answered calls that continue a conversation, the share that carries its id, which routes them to the "
        "server with their cache. 100 % is as it should be, and what is missing has been missing since the first day: "
        "no drop ever shows it, so XaiConversationIdMissing tells of it. See conversation_id_missing in the runbook. "
        f"From `{queries.ANSWERED}`.",
        Ask(queries.id_coverage(queries.RANGE), "with an id"),
        PERCENT,
        (None, colors.OURS),
        (0.95, colors.THEIRS),
        (0.99, colors.GOOD),
        decimals=1,
        traces=_NO_ID,
    )


def telemetry() -> Panel:
    """Of how many calls it can be told what the cache did."""
    return figure(
        "Calls that can be judged",
        "Of the answered calls, the share of which it is known what the cache did. The rest is `no_baseline`, whose "
        "earlier turns went through another process, or `unreported`, whose usage was not asked for; both have a "
        f"section in the runbook. Below 50 %, the efficiency speaks for a minority. From `{queries.ANSWERED}`.",
        Ask(queries.telemetry_coverage(queries.RANGE), "judged"),
        PERCENT,
        (None, colors.OURS),
        (0.5, colors.THEIRS),
        (0.9, colors.GOOD),
        decimals=1,
        traces=_BLIND,
    )


def ids_over_time() -> Panel:
    """Conversation ids, by model."""
    return lines(
        "Calls with a conversation id, by model",
        "Of the answered calls that continue a conversation, the share that carries its id, for each model. A level "
        "line below 100 % is a code path that never sends one; the header `x-grok-conv-id`, or `prompt_cache_key` on "
        f"the Responses API, does. See conversation_id_missing in the runbook. From `{queries.ANSWERED}`.",
        [Ask(queries.id_coverage(of=OF_MODEL), OF_MODEL_NAMED)],
        PERCENT,
        traces=Traces(
            _NO_ID.title,
            _NO_ID.conditions,
            (OF_ITS_MODEL,),
        ),
        at_most=1,
    )


def blind_spots() -> Panel:
    """Why calls had nothing to reuse, or could not be judged."""
    others = (queries.is_any(names.XAI_CACHE_OUTCOME, names.NOT_APPLICABLE, names.UNREPORTED), queries.WITH_REASON)
    return lines(
        "Calls outside of the efficiency, by reason",
        "Of the answered calls, the share with nothing to reuse or nothing known. `first_request` is each "
        "conversation's first call and normal; `no_baseline` after a restart passes by itself, and a lasting one "
        "means that a conversation's turns go through several processes; `unreported` wants `include_usage` on "
        f"streams. Each is a section in the runbook. From `{queries.ANSWERED}`.",
        [Ask(queries.share_of_answers(*others, of=OF_REASON), "{{xai_cache_reason}}")],
        PERCENT,
        {
            **REASON_LOOKS,
            names.FIRST_REQUEST: Look(colors.VOLUME),
            names.BELOW_MINIMUM: Look(colors.LIGHT),
            names.NO_BASELINE: Look(colors.PAST),
            names.UNREPORTED: Look(colors.THEIRS),
        },
        traces=Traces(of_series=(f'span.{names.XAI_CACHE_REASON} = "{field(names.XAI_CACHE_REASON)}"',)),
        stacked=True,
        many=True,
    )


def unreported() -> Panel:
    """Answers without a cached-token count."""
    return lines(
        "Answers without a cached-token count",
        "Of the answered calls, the share that did not say how much was cached: not a miss, but unknown. Good is 0 %, "
        "and XaiCachedTokensUnreported tells when it is not. As a rule these are chat streams without "
        f'`stream_options={{"include_usage": true}}`; see unreported in the runbook. From `{queries.ANSWERED}`.',
        [
            Ask(
                queries.share_of_answers(queries.is_(names.XAI_CACHE_OUTCOME, names.UNREPORTED)),
                "unreported",
            )
        ],
        PERCENT,
        {"unreported": Look(colors.THEIRS)},
        traces=Traces("Traces of unreported calls", (f'span.{names.XAI_CACHE_OUTCOME} = "{names.UNREPORTED}"',)),
    )

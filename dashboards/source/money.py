"""Panels about what calls cost, and where the tokens go."""

from typing import Final

from opentelemetry.instrumentation.xai import conventions as names
from opentelemetry.instrumentation.xai.promql import label, metric

from . import colors, queries
from .links import OF_ITS_MODEL
from .panels import COUNT, DOLLARS, PERCENT, WHOLE, Ask, Look, Panel, Traces, figure, lines
from .queries import OF_MODEL, OF_MODEL_NAMED
from .tables import Column, rows

_DEAR: Final = Traces("Traces of dear calls", (f"span.{names.XAI_COST_USD} > 0.05",), (OF_ITS_MODEL,))
_STATED: Final = "As xAI states it in each answer, so with whatever discounts and surcharges there were."


def cost() -> Panel:
    """What was paid."""
    return figure(
        "Cost",
        f"What the calls of the time range cost. {_STATED} Answers without usage state none. From `{queries.COST}`.",
        Ask(queries.total(queries.COST), "cost"),
        DOLLARS,
        decimals=2,
        traces=_DEAR,
    )


def per_thousand_calls() -> Panel:
    """What a call costs."""
    return figure(
        "Cost of 1,000 calls",
        f"The cost over the answered calls of the time range, times 1,000. {_STATED} It rises with longer prompts, "
        f"longer answers, and lost caches; the efficiency tells the last from the others. From `{queries.COST}` and "
        f"`{queries.ANSWERED}`.",
        Ask(queries.cost_per_thousand_calls(queries.RANGE), "per 1,000 calls"),
        DOLLARS,
        decimals=2,
        traces=_DEAR,
    )


def cost_by_model() -> Panel:
    """Cost over time."""
    return lines(
        "Cost per hour, by model",
        f"Dollars an hour, for each model. {_STATED} A step without more calls is longer prompts or a lost cache. From "
        f"`{queries.COST}`.",
        [Ask(queries.per_hour(queries.COST, of=OF_MODEL), OF_MODEL_NAMED)],
        DOLLARS,
        traces=_DEAR,
        stacked=True,
    )


def by_model() -> Panel:
    """All figures of each model."""
    return rows(
        "Models",
        "Each model's figures over the time range: answered calls, input tokens and the share of them from the cache, "
        "the cache efficiency, cost, and what the cache saved and what was lost avoidably (the last two at list "
        f"prices, with the extra `prices`). From `{queries.ANSWERED}`, `{queries.INPUT}`, `{queries.COST}` and the "
        "cache's counters.",
        [
            Column(
                "Model",
                label(names.REQUEST_MODEL),
                traces=(f'span.{names.REQUEST_MODEL} = "${{__value.text:percentencode}}"',),
            ),
            Column("Calls", queries.total(queries.ANSWERED, of=OF_MODEL), WHOLE, 0, 75),
            Column("Input", queries.total(queries.INPUT, of=OF_MODEL), COUNT, 1, 90),
            Column("Efficiency", queries.efficiency(queries.RANGE, of=OF_MODEL), PERCENT, 1, 90),
            Column("Cost", queries.total(queries.COST, of=OF_MODEL), DOLLARS, 2, 85),
            Column("Saved", queries.total(queries.SAVED_COST, of=OF_MODEL), DOLLARS, 2, 85),
            Column(
                "Lost",
                queries.or_zero(
                    queries.total(queries.LOST_COST, *queries.AVOIDABLE, of=OF_MODEL),
                    queries.total(queries.SAVED_COST, of=OF_MODEL),
                ),
                DOLLARS,
                2,
                75,
            ),
        ],
        sorted_by="Cost",
    )


def output_tokens() -> Panel:
    """Reasoning and visible output."""
    reasoning = queries.per_minute(queries.REASONING)
    output = queries.per_minute(queries.OUTPUT)
    visible = f"{output} - ({queries.or_zero(reasoning, queries.rate(queries.OUTPUT))})"
    return lines(
        "Output tokens per minute",
        "Output tokens, reasoning apart: both cost the output price, three times that of uncached input. From "
        f"`{queries.OUTPUT}` and `{queries.REASONING}`.",
        [Ask(visible, "answer"), Ask(reasoning, "reasoning")],
        COUNT,
        {"answer": Look(colors.VOLUME), "reasoning": Look(colors.HIGH)},
        traces=Traces("Traces with reasoning", (f"span.{names.USAGE_REASONING_OUTPUT_TOKENS} > 0",)),
        stacked=True,
    )


def tokens_of_a_call() -> Panel:
    """How large calls are."""
    usage = names.TOKEN_USAGE
    return lines(
        "Tokens of a call, on average",
        "Mean input and output of a call. Input that climbs for days is conversations that are never compacted. From "
        f"`{metric(usage)}`.",
        [
            Ask(queries.mean(usage, queries.is_(names.TOKEN_TYPE, names.TOKEN_INPUT)), "input", exemplars=True),
            Ask(queries.mean(usage, queries.is_(names.TOKEN_TYPE, names.TOKEN_OUTPUT)), "output", exemplars=True),
        ],
        COUNT,
        {"input": Look(colors.VOLUME), "output": Look(colors.HIGH)},
        traces=Traces("Traces of large prompts", (f"span.{names.USAGE_INPUT_TOKENS} > 100000",)),
    )


def per_thousand_calls_by_model() -> Panel:
    """What a call of each model costs."""
    return lines(
        "Cost of 1,000 calls, by model",
        f"Dollars for a thousand answered calls of each model. {_STATED} Compare models here before you change one in "
        f"the middle of a conversation: that starts a cold cache. From `{queries.COST}` and `{queries.ANSWERED}`.",
        [Ask(queries.cost_per_thousand_calls(of=OF_MODEL), OF_MODEL_NAMED)],
        DOLLARS,
        traces=_DEAR,
    )

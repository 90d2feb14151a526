"""Panels about whether calls succeed."""

from typing import Final

from opentelemetry.instrumentation.xai import conventions as names

from . import colors, queries
from .links import OF_ITS_MODEL, field
from .panels import PER_MINUTE, PERCENT, WHOLE, Ask, Look, Panel, Traces, figure, lines
from .queries import OF_MODEL, OF_MODEL_NAMED

_FAILURES: Final = Traces(
    "Traces of failed calls",
    (f"span.{names.ERROR_TYPE} != nil",),
    (f'span.{names.ERROR_TYPE} = "{field(names.ERROR_TYPE)}"',),
)


def answered() -> Panel:
    """How many calls were answered."""
    return figure(
        "Answered calls",
        "Calls that xAI answered in the time range; an SDK's retry is another call. Calls that failed or were broken "
        f"off without usage are not among them: see the share of failed calls. From `{queries.ANSWERED}`.",
        Ask(queries.total(queries.ANSWERED), "answered"),
        WHOLE,
        decimals=0,
        traces=Traces(),
    )


def failed() -> Panel:
    """How many calls failed, of all."""
    return figure(
        "Failed calls",
        "Of all calls in the time range, the share that ended with an error: a status of 4xx or 5xx, an error event, "
        "a cut stream, a timeout, or an exception of the client library. Good is below 1 %. A retry that succeeds "
        f"leaves its failed attempt here. From `{queries.CALLS}`.",
        Ask(queries.failed_share(queries.RANGE), "failed"),
        PERCENT,
        (None, colors.GOOD),
        (0.01, colors.THEIRS),
        (0.05, colors.OURS),
        decimals=2,
        traces=Traces(_FAILURES.title, _FAILURES.conditions),
    )


def calls() -> Panel:
    """Calls over time, by model."""
    return lines(
        "Calls per minute, by model",
        f"All calls, failed ones included. Ratios elsewhere mean little where this is near 0. From `{queries.CALLS}`.",
        [Ask(queries.per_minute(queries.CALLS, of=OF_MODEL), OF_MODEL_NAMED)],
        PER_MINUTE,
        traces=Traces(of_series=(OF_ITS_MODEL,)),
        stacked=True,
    )


def failures() -> Panel:
    """Failures over time, by type."""
    return lines(
        "Failed calls, by error type",
        "Of all calls, the share that failed, for each `error.type`: the status, `timeout`, `stream_interrupted`, "
        "`error_event`, or the exception's name. Good is a flat 0 %. `429` is your rate limit: fewer cold prompts need "
        f"fewer tokens a minute. From `{queries.CALLS}`.",
        [
            Ask(queries.failed_share_by_type(), "{{error_type}}"),
            Ask(queries.failed_share(), "all"),
        ],
        PERCENT,
        {"all": Look(colors.PAST, dashed=True, stacked=False), **_ERROR_LOOKS},
        traces=_FAILURES,
        stacked=True,
    )


_ERROR_LOOKS: Final = {
    "429": Look(colors.THEIRS),
    "500": Look("#d9534f"),
    "503": Look(colors.OURS),
    names.TIMEOUT: Look(colors.HIGH),
    names.STREAM_INTERRUPTED: Look(colors.LIGHT),
    names.ERROR_EVENT: Look(colors.VOLUME),
}

"""Panels about how long callers wait."""

from typing import Final

from opentelemetry.instrumentation.xai import conventions as names
from opentelemetry.instrumentation.xai.promql import metric

from . import colors, queries
from .links import OF_ITS_MODEL
from .panels import PERCENTILE_LOOKS, SECONDS, TOKENS_PER_SECOND, Ask, Look, Panel, Traces, figure, lines
from .queries import OF_MODEL, OF_MODEL_NAMED

_ANSWER: Final = queries.is_(names.XAI_TOKEN_KIND, names.KIND_ANSWER)
_THOUGHT: Final = queries.is_(names.XAI_TOKEN_KIND, names.KIND_REASONING)
_WARM: Final = queries.is_(names.XAI_CACHE_WARM, "true")
_COLD: Final = queries.is_(names.XAI_CACHE_WARM, "false")
_TTFT: Final = metric(names.CLIENT_TIME_TO_FIRST_TOKEN)
_SERVER_TTFT: Final = metric(names.SERVER_TIME_TO_FIRST_TOKEN)
_STREAMS: Final = "Streamed calls only: no data where none are streamed."
_SLOW: Final = Traces("Traces of slow first tokens", (f"span.{names.XAI_TIME_TO_FIRST_ANSWER_TOKEN} > 2",))
_COARSE: Final = "Values are as fine as the buckets, each twice as wide as the one before."


def _percentiles(histogram: names.Histogram, *matchers: str) -> list[Ask]:
    return [
        Ask(queries.quantile(share, histogram, *matchers), f"p{share * 100:.0f}", exemplars=True)
        for share in (0.5, 0.95, 0.99)
    ]


_WARMTH_LOOKS: Final = {
    "warm p50": Look(colors.GOOD),
    "cold p50": Look(colors.THEIRS),
    "warm p95": Look(colors.GOOD, dashed=True),
    "cold p95": Look(colors.THEIRS, dashed=True),
}


def _by_warmth(histogram: names.Histogram, *matchers: str) -> list[Ask]:
    return [
        Ask(queries.quantile(share, histogram, *matchers, warmth), f"{name} p{share * 100:.0f}", exemplars=True)
        for share in (0.5, 0.95)
        for name, warmth in (("warm", _WARM), ("cold", _COLD))
    ]


def first_token() -> Panel:
    """How long nearly everybody waits for the answer to begin."""
    return figure(
        "First answer token, p95",
        "19 of 20 streamed calls had their first non-empty answer token by then, over the time range. Good is what "
        "your users bear; a rise beside a fall of the efficiency is cold prompts, and XaiTimeToFirstTokenRegressed "
        f"tells of it. {_STREAMS} From `{_TTFT}`.",
        Ask(queries.quantile(0.95, names.CLIENT_TIME_TO_FIRST_TOKEN, _ANSWER, window=queries.RANGE), "p95"),
        SECONDS,
        traces=_SLOW,
    )


def cold_penalty() -> Panel:
    """What a cold prompt costs in time."""
    return figure(
        "Cold calls wait longer, by",
        "The median time to first answer token of cold calls less that of warm ones, over the time range: what a lost "
        "cache costs in time. Warm is a call with at least half of its input from the cache. Calls without a "
        f"cached-token count are neither. {_STREAMS} From `{_TTFT}`.",
        Ask(queries.cold_minus_warm(names.CLIENT_TIME_TO_FIRST_TOKEN, _ANSWER), "cold less warm"),
        SECONDS,
        (None, colors.THEIRS),
        traces=_SLOW,
    )


def first_token_percentiles() -> Panel:
    """How long callers wait for the answer to begin."""
    return lines(
        "Time to first answer token",
        "From issuing a streamed request to its first non-empty answer token, for half, 19 of 20 and 99 of 100 calls. "
        f"When p95 rises and p50 does not, some calls are cold: compare warm against cold. {_STREAMS} From `{_TTFT}`.",
        _percentiles(names.CLIENT_TIME_TO_FIRST_TOKEN, _ANSWER),
        SECONDS,
        PERCENTILE_LOOKS,
        traces=_SLOW,
    )


def warm_against_cold() -> Panel:
    """The wait with a warm cache and with a cold one."""
    return lines(
        "Time to first answer token, warm against cold",
        "The same, apart for calls with at least half of their input from the cache (green) and the others (orange); "
        "lighter lines are medians, dashed ones p95. The distance is what the cache is worth to a waiting user. If "
        f"both rise, it is not the cache. {_STREAMS} From `{_TTFT}`.",
        _by_warmth(names.CLIENT_TIME_TO_FIRST_TOKEN, _ANSWER),
        SECONDS,
        _WARMTH_LOOKS,
        sparse=True,
        traces=_SLOW,
    )


def warm_against_cold_unstreamed() -> Panel:
    """The same for calls that are not streamed, as the server states it."""
    return lines(
        "Time to first token of unstreamed calls, warm against cold",
        "Time to first token as xAI states it (`x-metrics-ttft-ms`), for calls that are not streamed; green had at "
        "least half of their input from the cache. Here a cold prompt is a longer call, with no first token to see. "
        f"No data where all calls are streamed. From `{_SERVER_TTFT}`.",
        _by_warmth(names.SERVER_TIME_TO_FIRST_TOKEN),
        SECONDS,
        _WARMTH_LOOKS,
        sparse=True,
        traces=Traces("Traces of slow first tokens", (f"span.{names.XAI_SERVER_TIME_TO_FIRST_TOKEN} > 2",)),
    )


def moments() -> Panel:
    """What a caller sees when."""
    chunk, token = names.OPERATION_TIME_TO_FIRST_CHUNK, names.CLIENT_TIME_TO_FIRST_TOKEN
    return lines(
        "Moments of an answer, p95",
        "When streamed calls had their first chunk (which may be empty), their first reasoning and their first answer "
        "token, and when unstreamed ones had a first token at the server. Much time before the first chunk is the "
        "network or a queue, between chunk and token the prompt being read, between reasoning and answer the "
        f"thinking. From `{metric(chunk)}`, `{_TTFT}` and `{_SERVER_TTFT}`.",
        [
            Ask(queries.quantile(0.95, chunk), "first chunk", exemplars=True),
            Ask(queries.quantile(0.95, token, _THOUGHT), "first reasoning", exemplars=True),
            Ask(queries.quantile(0.95, token, _ANSWER), "first answer", exemplars=True),
            Ask(queries.quantile(0.95, names.SERVER_TIME_TO_FIRST_TOKEN), "unstreamed, at xAI", exemplars=True),
        ],
        SECONDS,
        {
            "first chunk": Look(colors.PAST),
            "first reasoning": Look(colors.LIGHT),
            "first answer": Look(colors.VOLUME),
            "unstreamed, at xAI": Look(colors.HIGH, dashed=True),
        },
        sparse=True,
        traces=_SLOW,
    )


def durations() -> Panel:
    """How long calls take in all."""
    return lines(
        "Duration of calls",
        "From issuing a request to the end of its answer, failed calls included, for half, 19 of 20 and 99 of 100 "
        f"calls. Long answers take long: read it beside the output speed. {_COARSE} From "
        f"`{metric(names.OPERATION_DURATION)}`.",
        _percentiles(names.OPERATION_DURATION),
        SECONDS,
        PERCENTILE_LOOKS,
        traces=Traces("Traces of long calls", ("duration > 10s",)),
    )


def output_speed() -> Panel:
    """How fast answers come."""
    return lines(
        "Output tokens per second of a call",
        "Output tokens over the time that calls took, waiting included, for each model. A fall with a level time to "
        f"first token is xAI being slow to write; with a longer one, slow to begin. From `{queries.OUTPUT}` and "
        f"`{metric(names.OPERATION_DURATION)}`.",
        [Ask(queries.output_speed(of=OF_MODEL), OF_MODEL_NAMED)],
        TOKENS_PER_SECOND,
        traces=Traces(of_series=(OF_ITS_MODEL,)),
        decimals=0,
    )

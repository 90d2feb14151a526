"""The counters of simulated traffic as an application exports them and a Prometheus scrapes them, every minute.

Cumulative, from 0 again after each restart; the label sets that a model can have exist from the first request for it.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Final, TextIO, TypeAlias

from opentelemetry.instrumentation.xai import conventions as names
from opentelemetry.instrumentation.xai import promql

from .scenarios import EPOCH
from .traffic import BOUNDARIES, Traffic

USD_PER_LOST_TOKEN: Final = (2.00 - 0.50) / 1_000_000
"""What a token costs more that is not read from the cache: input at $2.00, cached input at $0.50 a million."""


def write(traffic: Traffic, to: TextIO) -> int:
    """Write all samples in OpenMetrics, without the final ``# EOF``; returns how many there are."""
    samples = 0
    stamps = [f" {EPOCH + 60 * (minute + 1)}\n" for minute in range(traffic.minutes)]
    lives = _lives(traffic)
    firsts: dict[str, list[tuple[int, int]]] = {}
    for model, seen in traffic.seen.items():
        firsts[model] = [(first, end) for begin, end in lives if (first := _first(seen, begin, end)) is not None]
    for name, labels, model, increments, from_zero in _series(traffic):
        text = ",".join(f'{label}="{value}"' for label, value in labels.items() if value is not None)
        prefix = f"{name}{{{text}}} "
        for first, end in firsts[model]:
            begin = first if from_zero else _first(increments, first, end)
            if begin is None:
                continue
            pairs = zip(accumulate(increments[begin:end]), stamps[begin:end], strict=True)
            to.write("".join([prefix + str(value) + stamp for value, stamp in pairs]))
            samples += end - begin
    return samples


def _lives(traffic: Traffic) -> list[tuple[int, int]]:
    bounds = [0, *sorted(traffic.restarts), traffic.minutes]
    return [(begin, end) for begin, end in pairwise(bounds) if begin < end]


def _first(values: Sequence[float], begin: int, end: int) -> int | None:
    return next((minute for minute in range(begin, end) if values[minute]), None)


_Labels: TypeAlias = dict[str, str | None]
_Series: TypeAlias = tuple[str, _Labels, str, Sequence[float], bool]


def _series(traffic: Traffic) -> Iterator[_Series]:
    """Every series: name, labels, model, what each minute adds, and whether it exists before anything was added."""
    nothing = [0] * traffic.minutes
    models = [model for model, seen in traffic.seen.items() if any(seen)]
    for model in models:
        common: _Labels = {
            "job": traffic.scenario.job,
            promql.label(names.OPERATION_NAME): names.CHAT,
            promql.label(names.REQUEST_MODEL): model,
            promql.label(names.SERVER_ADDRESS): "api.x.ai",
        }
        for outcome, reason, present in sorted({key[1:] for key in traffic.requests}, key=str):
            labels = common | {
                promql.label(names.XAI_CACHE_OUTCOME): outcome,
                promql.label(names.XAI_CACHE_REASON): reason,
                promql.label(names.XAI_CACHE_CAUSE): None if reason is None else names.REASONS[reason][0],
                promql.label(names.XAI_CONVERSATION_ID_PRESENCE): names.PRESENT if present else names.ABSENT,
            }
            row = traffic.requests.get((model, outcome, reason, present), nothing)
            yield promql.metric(names.CACHE_REQUESTS), labels, model, row, True
        yield from _tokens(traffic, model, common, nothing)
        for (of, warm), speed in traffic.speeds.items():
            if of == model:
                warmth = None if warm is None else str(warm).lower()
                labels = common | {
                    promql.label(names.XAI_TOKEN_KIND): names.KIND_ANSWER,
                    promql.label(names.XAI_CACHE_WARM): warmth,
                }
                yield from _histogram(labels, model, speed.buckets, speed.seconds)


def _tokens(traffic: Traffic, model: str, common: _Labels, nothing: Sequence[int]) -> Iterator[_Series]:
    potential = traffic.potential.get(model, nothing)
    losses = [row for key, row in traffic.lost.items() if key[0] == model]
    reused = [whole - sum(parts) for whole, *parts in zip(potential, *losses, strict=True)]
    yield promql.metric(names.CACHE_POTENTIAL_TOKENS), common, model, potential, True
    yield promql.metric(names.CACHE_REUSED_TOKENS), common, model, reused, True
    saved = _usd(traffic.cached.get(model, nothing))
    yield promql.metric(names.CACHE_SAVED_COST), common, model, saved, True
    for reason in sorted({key[1] for key in traffic.lost}):
        cause = names.REASONS[reason][0]
        for repeated in (True, False):
            labels = common | {
                promql.label(names.XAI_CACHE_REASON): reason,
                promql.label(names.XAI_CACHE_CAUSE): cause,
                promql.label(names.XAI_CACHE_REPEATED): str(repeated).lower(),
            }
            row = traffic.lost.get((model, reason, repeated), nothing)
            from_zero = cause in (names.CAUSE_CLIENT, names.CAUSE_PROVIDER)
            yield promql.metric(names.CACHE_LOST_TOKENS), labels, model, row, from_zero
            yield promql.metric(names.CACHE_LOST_COST), labels, model, _usd(row), from_zero


def _usd(tokens: Iterable[int]) -> list[float]:
    return [USD_PER_LOST_TOKEN * count if count else 0.0 for count in tokens]


def _histogram(
    labels: _Labels, model: str, buckets: Sequence[Sequence[int]], seconds: Sequence[float]
) -> Iterator[_Series]:
    stem = promql.metric(names.CLIENT_TIME_TO_FIRST_TOKEN)
    below = [0] * len(seconds)
    for bound, bucket in zip((*map(str, BOUNDARIES), "+Inf"), buckets, strict=True):
        below = [lower + here for lower, here in zip(below, bucket, strict=True)]
        yield f"{stem}_bucket", labels | {"le": bound}, model, below, False
    yield f"{stem}_sum", labels, model, seconds, False
    yield f"{stem}_count", labels, model, below, False

"""Traffic in a few words, and the series that a Prometheus scrapes of it once a minute.

A ``Stream`` is what one process exports for one model: phases of steady traffic, one after the other. Its counters are
cumulative, begin at 0 for every label set that they will have, and are there from the first scrape on. They grow by
fractions where there is less than a call a minute.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from opentelemetry.instrumentation.xai import conventions as names
from opentelemetry.instrumentation.xai import promql
from opentelemetry.instrumentation.xai.conventions import LOSSES

HOUR: Final = 60
DAY: Final = 24 * HOUR
USD_PER_LOST_TOKEN: Final = 1.5e-6
MODEL: Final = "grok-4.6"
_HALF: Final = 0.5
_BOUNDS: Final = names.CLIENT_TIME_TO_FIRST_TOKEN.buckets


class Loss(NamedTuple):
    """What is lost for one reason."""

    calls: float
    """Which part of the calls that could have reused something lose to this reason."""
    part: float = 1.0
    """How much of what it could have reused such a call loses."""
    repeated: float = 0.0
    """Which part of those conversations lost to it before."""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """Some minutes of steady traffic."""

    minutes: int
    calls: float = 40.0
    """A minute."""
    beginnings: float = 0.25
    """Which part of the calls begins a conversation."""
    excluded: Mapping[str, float] = field(default_factory=dict)
    """Which part of the calls has nothing to reuse, by the reason, as ``no_baseline``."""
    unreported: float = 0.0
    """Which part of the calls comes without a cached count."""
    without_id: float = 0.0
    """Which part of the calls has no conversation id."""
    losses: Mapping[str, Loss] = field(default_factory=dict)
    """By reason."""
    potential: int = 50_000
    """How many tokens a call could reuse."""
    first_token_s: float | None = None
    """The mean time to the first token of a warm call; a cold one takes three times as long, and a batch longer."""
    cold_s: float | None = None
    """The mean of cold calls, where it is another."""
    restarted: bool = False
    """Whether the process was started anew, and counts from 0."""
    scraped: bool = True
    """Whether Prometheus reaches the process; it counts either way."""

    def __post_init__(self) -> None:
        assert self.beginnings + sum(self.excluded.values()) + self.unreported <= 1, "more calls than there are"
        assert sum(loss.calls for loss in self.losses.values()) <= 1, "more losses than calls"


@dataclass(frozen=True, kw_only=True)
class Stream:
    """What one process exports for one model."""

    phases: tuple[Phase, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    """Beside those of every stream; an empty one is absent."""
    begins: int = 0
    """The minute of its first scrape."""
    whole: bool = False
    """Whether those series are exported that never grow. They are many, and promtool takes its time for each."""
    metrics: tuple[names.Counter | names.Histogram, ...] = (
        names.CACHE_REQUESTS,
        names.CACHE_POTENTIAL_TOKENS,
        names.CACHE_LOST_TOKENS,
        names.CACHE_LOST_COST,
        names.CLIENT_TIME_TO_FIRST_TOKEN,
    )
    """Those that are exported: there is no money without prices."""

    @property
    def minutes(self) -> int:
        """How long it lasts."""
        return self.begins + sum(phase.minutes for phase in self.phases)


_Labels = tuple[tuple[str, str], ...]
_Key = tuple[str, _Labels]


def input_series(stream: Stream, job: str) -> Iterator[dict[str, str]]:
    """The series of a stream in promtool's notation; ``job`` is the scrape's, unless the stream has its own."""
    common = {
        "job": job,
        "instance": "10.0.0.1:9464",
        "otel_scope_name": "opentelemetry.instrumentation.xai",
        "otel_scope_version": "0.1.0",
        promql.label(names.REQUEST_MODEL): MODEL,
        promql.label(names.SERVER_ADDRESS): "api.x.ai",
        **stream.labels,
    }
    exported = tuple(promql.metric(metric) for metric in stream.metrics)
    growth = [{key: by for key, by in _growth(phase) if key[0].startswith(exported)} for phase in stream.phases]
    for name, labels in dict.fromkeys(key for of_phase in growth for key in of_phase):
        each = [of_phase.get((name, labels), 0.0) for of_phase in growth]
        if not (stream.whole or any(each)):
            continue
        text = ", ".join(f'{label}="{value}"' for label, value in {**common, **dict(labels)}.items() if value)
        yield {"series": f"{name}{{{text}}}", "values": _values(stream, each)}


def _values(stream: Stream, growth: list[float]) -> str:
    """Runs of ``first+step x further``; where a scrape fails Prometheus marks its series stale."""
    runs = [f"_x{stream.begins}"] if stream.begins else []
    value, existed = 0.0, False
    for phase, by in zip(stream.phases, growth, strict=True):
        further = phase.minutes - 1
        first = by if phase.restarted else value + by * existed
        existed = True
        value = first + by * further
        if phase.scraped:
            runs.append(f"{first:.6f}+{by:.6f}x{further}")
        else:
            runs += ["stale", f"_x{further}"]
    return " ".join(runs)


def _growth(phase: Phase) -> Iterator[tuple[_Key, float]]:
    """What a minute adds to each series, those included to which it adds nothing."""
    could = phase.calls * (1 - phase.beginnings - sum(phase.excluded.values()) - phase.unreported)
    yield from _requests(phase, could)
    yield (promql.metric(names.CACHE_POTENTIAL_TOKENS), ()), could * phase.potential
    for reason in dict.fromkeys((*LOSSES, *phase.losses)):
        loss = phase.losses.get(reason, Loss(0.0))
        tokens = could * loss.calls * loss.part * phase.potential
        for repeated, part in (("true", loss.repeated), ("false", 1 - loss.repeated)):
            labels = (*_why(reason), (promql.label(names.XAI_CACHE_REPEATED), repeated))
            yield (promql.metric(names.CACHE_LOST_TOKENS), labels), tokens * part
            yield (promql.metric(names.CACHE_LOST_COST), labels), tokens * part * USD_PER_LOST_TOKEN
    if phase.first_token_s is not None:
        cold = sum(loss.calls for loss in phase.losses.values() if loss.part > _HALF)
        warm = could * (1 - cold)
        yield from _histogram("true", warm, phase.first_token_s)
        yield from _histogram("false", phase.calls - warm, phase.cold_s or 3 * phase.first_token_s)


def _requests(phase: Phase, could: float) -> Iterator[tuple[_Key, float]]:
    lossless = 1 - sum(loss.calls for loss in phase.losses.values())
    counts: dict[tuple[str, str], float] = {
        (names.NOT_APPLICABLE, names.FIRST_REQUEST): phase.calls * phase.beginnings,
        (names.UNREPORTED, names.UNREPORTED): phase.calls * phase.unreported,
        (names.REUSED, ""): could * lossless,
    }
    for reason, part in phase.excluded.items():
        counts[names.NOT_APPLICABLE, reason] = phase.calls * part
    for reason, loss in phase.losses.items():
        counts[names.MISSED if loss.part == 1 else names.PARTIAL, reason] = could * loss.calls
    for (outcome, reason), count in counts.items():
        for presence, part in ((names.PRESENT, 1 - phase.without_id), (names.ABSENT, phase.without_id)):
            labels = (
                (promql.label(names.XAI_CACHE_OUTCOME), outcome),
                *(_why(reason) if reason else ()),
                (promql.label(names.XAI_CONVERSATION_ID_PRESENCE), presence),
            )
            yield (promql.metric(names.CACHE_REQUESTS), labels), count * part


def _why(reason: str) -> _Labels:
    return (
        (promql.label(names.XAI_CACHE_REASON), reason),
        (promql.label(names.XAI_CACHE_CAUSE), names.REASONS[reason][0]),
    )


def _histogram(warm: str, calls: float, mean_s: float) -> Iterator[tuple[_Key, float]]:
    """Times spread evenly from half of the mean to one and a half."""
    stem = promql.metric(names.CLIENT_TIME_TO_FIRST_TOKEN)
    labels = (
        (promql.label(names.XAI_TOKEN_KIND), names.KIND_ANSWER),
        (promql.label(names.XAI_CACHE_WARM), warm),
    )
    for bound in _BOUNDS:
        yield (f"{stem}_bucket", (*labels, ("le", f"{bound:g}"))), calls * _below(bound, mean_s)
    yield (f"{stem}_bucket", (*labels, ("le", "+Inf"))), calls
    yield (f"{stem}_count", labels), calls
    yield (f"{stem}_sum", labels), calls * mean_s


def _below(bound: float, mean_s: float) -> float:
    return min(max(bound / mean_s - _HALF, 0.0), 1.0)


def p90(mean_s: float) -> float:
    """The 90th percentile of times with that mean, as Prometheus reads it from the buckets."""
    lower = max(bound for bound in _BOUNDS if _below(bound, mean_s) < 0.9)
    upper = min(bound for bound in _BOUNDS if _below(bound, mean_s) >= 0.9)
    within = (0.9 - _below(lower, mean_s)) / (_below(upper, mean_s) - _below(lower, mean_s))
    return lower + (upper - lower) * within

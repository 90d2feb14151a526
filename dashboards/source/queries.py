"""What the panels ask Prometheus, from the package's own names and the expressions that alert rules use too.

Three habits hold everywhere. Series are summed by named labels, since exporters add labels of their own and a new
version of the package starts new series. Totals come from counters alone, over the board's time range. A ratio is a sum
over a sum and has no sample where its denominator is 0, so that "no data" stays apart from 0 %.
"""

from collections.abc import Iterable
from typing import Final

from opentelemetry.instrumentation.xai import conventions as names
from opentelemetry.instrumentation.xai import promql
from opentelemetry.instrumentation.xai.promql import label, metric

JOB: Final = 'job=~"$job"'
MODEL: Final = f'{label(names.REQUEST_MODEL)}=~"$model"'
HERE: Final = (JOB, MODEL)
STEP: Final = "$__rate_interval"
RANGE: Final = "$__range"

OF_MODEL: Final = (label(names.REQUEST_MODEL),)
OF_MODEL_NAMED: Final = f"{{{{{OF_MODEL[0]}}}}}"
"""What a series of each model is called in a legend."""
OF_REASON: Final = (label(names.XAI_CACHE_REASON),)
OF_REASON_AND_CAUSE: Final = (label(names.XAI_CACHE_REASON), label(names.XAI_CACHE_CAUSE))
OF_VERSION: Final = ("service_version",)

CALLS: Final = f"{metric(names.OPERATION_DURATION)}_count"
ANSWERED: Final = metric(names.CACHE_REQUESTS)
INPUT: Final = metric(names.INPUT_TOKENS)
CACHED: Final = metric(names.CACHE_READ_INPUT_TOKENS)
OUTPUT: Final = metric(names.OUTPUT_TOKENS)
REASONING: Final = metric(names.REASONING_OUTPUT_TOKENS)
POTENTIAL: Final = metric(names.CACHE_POTENTIAL_TOKENS)
REUSED: Final = metric(names.CACHE_REUSED_TOKENS)
LOST: Final = metric(names.CACHE_LOST_TOKENS)
SAVED_COST: Final = metric(names.CACHE_SAVED_COST)
LOST_COST: Final = metric(names.CACHE_LOST_COST)
COST: Final = metric(names.COST)

AVOIDABLE: Final = promql.avoidable()
FAILED: Final = f'{label(names.ERROR_TYPE)}!=""'
WITH_REASON: Final = f'{label(names.XAI_CACHE_REASON)}!=""'


def is_(attribute: str, value: str) -> str:
    """The matcher of one value."""
    return f'{label(attribute)}="{value}"'


def is_not(attribute: str, *values: str) -> str:
    """The matcher of all other values, and of none."""
    return f'{label(attribute)}!~"{"|".join(values)}"' if values[1:] else f'{label(attribute)}!="{values[0]}"'


def is_any(attribute: str, *values: str) -> str:
    """The matcher of several values."""
    return f'{label(attribute)}=~"{"|".join(values)}"'


def rate(counter: str, *matchers: str, of: Iterable[str] = ()) -> str:
    """Growth a second, over time."""
    return promql.rate(counter, STEP, *HERE, *matchers, of=of)


def per_minute(counter: str, *matchers: str, of: Iterable[str] = ()) -> str:
    """Growth a minute, over time."""
    return f"60 * {rate(counter, *matchers, of=of)}"


def per_hour(counter: str, *matchers: str, of: Iterable[str] = ()) -> str:
    """Growth an hour, over time."""
    return f"3600 * {rate(counter, *matchers, of=of)}"


def total(counter: str, *matchers: str, of: Iterable[str] = ()) -> str:
    """Growth over the board's whole time range."""
    return promql.increase(counter, RANGE, *HERE, *matchers, of=of)


def or_zero(part: str, whole: str) -> str:
    """``part``, and 0 where it never was but ``whole`` is: nothing lost is a finding, not missing data."""
    return f"{part} or 0 * {whole}"


def share(part: str, whole: str) -> str:
    """``part`` of ``whole``: 0 where the part never was, no sample where the whole is 0."""
    return f"({or_zero(part, whole)}) / ({whole} > 0)"


def share_of_each(parts: str, whole: str) -> str:
    """Each of ``parts`` of the one ``whole``."""
    return f"{parts} / on () group_left () ({whole} > 0)"


def efficiency(window: str = STEP, of: Iterable[str] = ()) -> str:
    """The figure of objectives and alerts."""
    return promql.efficiency(window, *HERE, of=of)


def before(expression: str, ago: str) -> str:
    """The same, some time ago: every range of it is moved."""
    return expression.replace("]", f"] offset {ago}")


def objective() -> str:
    """The objective, as a line."""
    return "vector($objective)"


def margin() -> str:
    """How far the efficiency of the whole time range is above its objective; below 0 it is missed."""
    return f"{efficiency(RANGE)} - $objective"


def drift() -> str:
    """How far each model's efficiency is from its own mean over as long a time as the board shows, up to then."""
    return f"({efficiency(of=OF_MODEL)}) - ({efficiency(RANGE, of=OF_MODEL)})"


def from_cache(window: str = STEP) -> str:
    """The share of all input tokens that was read from the cache."""
    return share(promql.rate(CACHED, window, *HERE), promql.rate(INPUT, window, *HERE))


def avoidable_lost_cost(window: str = STEP) -> str:
    """Dollars a second that were lost avoidably; 0 where money is counted and none was lost."""
    lost = promql.rate(LOST_COST, window, *HERE, *AVOIDABLE)
    return or_zero(lost, promql.rate(SAVED_COST, window, *HERE))


def worst_reason() -> str:
    """The reason to which most tokens were lost avoidably over the board's time range."""
    return f"topk(1, {total(LOST, *AVOIDABLE, of=OF_REASON)} > 0)"


def quantile(share_below: float, histogram: names.Histogram, *matchers: str, window: str = STEP) -> str:
    """The value that so many of all calls stay below, as far as the buckets tell."""
    buckets = promql.rate(f"{metric(histogram)}_bucket", window, *HERE, *matchers, of=("le",))
    return f"histogram_quantile({share_below}, {buckets})"


def mean(histogram: names.Histogram, *matchers: str) -> str:
    """The mean of what a histogram recorded."""
    stem = metric(histogram)
    return f"{rate(f'{stem}_sum', *matchers)} / ({rate(f'{stem}_count', *matchers)} > 0)"


def cold_minus_warm(histogram: names.Histogram, *matchers: str) -> str:
    """What a cold call's median takes longer than a warm one's, over the board's time range."""
    cold, warm = (
        quantile(0.5, histogram, is_(names.XAI_CACHE_WARM, warm), *matchers, window=RANGE) for warm in ("false", "true")
    )
    return f"{cold} - {warm}"


def failed_share(window: str = STEP) -> str:
    """The share of calls that failed."""
    return share(promql.rate(CALLS, window, *HERE, FAILED), promql.rate(CALLS, window, *HERE))


def failed_share_by_type() -> str:
    """The share of calls that failed, for each kind of error."""
    return share_of_each(rate(CALLS, FAILED, of=(label(names.ERROR_TYPE),)), rate(CALLS))


def output_speed(window: str = STEP, of: Iterable[str] = ()) -> str:
    """Output tokens for each second that calls took, waiting included."""
    took = promql.rate(f"{metric(names.OPERATION_DURATION)}_sum", window, *HERE, of=of)
    return f"{promql.rate(OUTPUT, window, *HERE, of=of)} / ({took} > 0)"


def cost_per_thousand_calls(window: str = STEP, of: Iterable[str] = ()) -> str:
    """Dollars for a thousand answered calls."""
    answered = promql.rate(ANSWERED, window, *HERE, of=of)
    return f"1000 * {promql.rate(COST, window, *HERE, of=of)} / ({answered} > 0)"


_FOLLOW_UPS: Final = is_not(names.XAI_CACHE_REASON, names.FIRST_REQUEST)


def id_coverage(window: str = STEP, of: Iterable[str] = ()) -> str:
    """Of the calls that continue a conversation, the share that carries its id."""
    return share(
        promql.rate(
            ANSWERED, window, *HERE, _FOLLOW_UPS, is_(names.XAI_CONVERSATION_ID_PRESENCE, names.PRESENT), of=of
        ),
        promql.rate(ANSWERED, window, *HERE, _FOLLOW_UPS, of=of),
    )


_BLIND: Final = is_any(names.XAI_CACHE_REASON, names.NO_BASELINE, names.UNREPORTED)


def telemetry_coverage(window: str = STEP) -> str:
    """Of the answered calls, the share of which it could be told what the cache did."""
    blind = share(promql.rate(ANSWERED, window, *HERE, _BLIND), promql.rate(ANSWERED, window, *HERE))
    return f"1 - {blind}"


def share_of_answers(*matchers: str, of: Iterable[str] = ()) -> str:
    """Of the answered calls, the share that matches."""
    if of:
        return share_of_each(rate(ANSWERED, *matchers, of=of), rate(ANSWERED))
    return share(rate(ANSWERED, *matchers), rate(ANSWERED))


def appeared(series: str, ago: str = "5m") -> str:
    """The versions among ``series`` that were not there some time ago: a deployment, as a rule."""
    return f"group by (service_version) ({series}) unless group by (service_version) ({series} offset {ago})"


def deployments_in_target_info() -> str:
    """Deployments where the resource is a metric of its own."""
    return appeared(promql.selector("target_info", JOB, 'service_version!=""'))


def deployments_in_labels() -> str:
    """Deployments where ``service.version`` is a label of every metric."""
    return appeared(promql.selector(CALLS, *HERE, 'service_version!=""'))

"""The series that alerts share. They are named as Prometheus' practice has it: level, metric, operation.

Short windows read the counters; long ones sum what was recorded, since six hours of every counter of every process is
more than a rule should read each minute.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from .. import conventions as names
from .. import promql
from ..promql import GROUP, by, increase, label, loss, metric, rate
from .thresholds import Thresholds

REASON: Final = label(names.XAI_CACHE_REASON)
_CAUSE: Final = label(names.XAI_CACHE_CAUSE)
_BY_REASON: Final = (*GROUP, REASON)
_BY_TOKEN: Final = (*GROUP, label(names.XAI_TOKEN_KIND))
_LOST: Final = metric(names.CACHE_LOST_TOKENS)
_LOST_COST: Final = metric(names.CACHE_LOST_COST)
_POTENTIAL: Final = metric(names.CACHE_POTENTIAL_TOKENS)
_REQUESTS: Final = metric(names.CACHE_REQUESTS)
_OUTCOME: Final = label(names.XAI_CACHE_OUTCOME)
_PRESENCE: Final = label(names.XAI_CONVERSATION_ID_PRESENCE)
_FOLLOW_UPS: Final = f'{REASON}!~"{names.FIRST_REQUEST}|{names.UNREPORTED}"'


def loss_over(window: str) -> str:
    """The recorded part of the potential that was lost avoidably over ``window``."""
    return f"job_model:xai_cache_loss:ratio_rate{window}"


def eligible_over(window: str) -> str:
    """How many calls had something to reuse within ``window``."""
    return f"job_model:xai_cache_eligible_requests:increase{window}"


def broken_over(window: str) -> str:
    """The part of the potential that conversations lost for a reason of the client's that they lost for before."""
    return f"job_model_reason:xai_cache_repeated_loss:ratio_rate{window}"


def broken_requests_over(window: str) -> str:
    """How many calls lost tokens for that reason, repeated or not."""
    return f"job_model_reason:xai_cache_broken_requests:increase{window}"


POTENTIAL: Final = "job_model:xai_cache_potential_tokens:rate5m"
LOST_TOKENS: Final = "job_model_reason:xai_cache_lost_tokens:rate15m"
LOST_COST: Final = "job_model_reason:xai_cache_lost_cost_usd:rate15m"
LOST_MONEY: Final = "job_model:xai_cache_lost_cost_usd:rate15m"
FIRST_TOKEN: Final = "job_model_kind:xai_warm_time_to_first_token_seconds:p90_30m"
FIRST_TOKEN_CALLS: Final = "job_model_kind:xai_warm_time_to_first_token_seconds:increase1h"
UNIDENTIFIED: Final = "job_model:xai_conversation_id_absent:ratio_rate1h"
FOLLOW_UPS: Final = "job_model:xai_follow_up_requests:increase1h"
UNREPORTED: Final = "job_model:xai_cache_unreported:ratio_rate1h"
ANSWERS: Final = "job_model:xai_cache_requests:increase1h"


class Record(NamedTuple):
    """A recorded series and what it is computed by."""

    name: str
    expression: str


def records(thresholds: Thresholds) -> Iterator[Record]:
    """All recorded series, each before those that need it."""
    accept = thresholds.accept
    counted = promql.avoidable(accept)
    broken = (f'{_CAUSE}="{names.CAUSE_CLIENT}"', *counted[1:])
    repeated = f'{label(names.XAI_CACHE_REPEATED)}="true"'
    lost = "job_model:xai_cache_lost_tokens:rate5m"

    yield Record(POTENTIAL, rate(_POTENTIAL, "5m", of=GROUP))
    yield Record(lost, f"{rate(_LOST, '5m', *counted, of=GROUP)} or 0 * {POTENTIAL}")
    for window in ("10m", "15m", "30m", "1h"):
        yield Record(loss_over(window), loss(window, of=GROUP, accept=accept))
    yield Record(loss_over("6h"), f"sum_over_time({lost}[6h]) / (sum_over_time({POTENTIAL}[6h]) > 0)")
    yield Record(eligible_over("1h"), increase(_REQUESTS, "1h", promql.ELIGIBLE, of=GROUP))
    yield Record(eligible_over("6h"), f"sum_over_time({eligible_over('1h')}[6h:1h])")

    for window in ("15m", "2h"):
        total = rate(_POTENTIAL, window, of=GROUP)
        share = rate(_LOST, window, *broken, repeated, of=_BY_REASON)
        yield Record(broken_over(window), f"{share} / on ({', '.join(GROUP)}) group_left () ({total} > 0)")
        yield Record(broken_requests_over(window), increase(_REQUESTS, window, *broken, of=_BY_REASON))

    yield Record(LOST_TOKENS, rate(_LOST, "15m", *counted, of=_BY_REASON))
    yield Record(LOST_COST, rate(_LOST_COST, "15m", *counted, of=_BY_REASON))
    yield Record(LOST_MONEY, f"{by(GROUP)}({LOST_COST})")

    warm = f'{label(names.XAI_CACHE_WARM)}="true"'
    stem = metric(names.CLIENT_TIME_TO_FIRST_TOKEN)
    buckets = rate(f"{stem}_bucket", "30m", warm, of=(*_BY_TOKEN, "le"))
    yield Record(FIRST_TOKEN, f"histogram_quantile(0.9, {buckets})")
    yield Record(FIRST_TOKEN_CALLS, increase(f"{stem}_count", "1h", warm, of=_BY_TOKEN))

    follow_ups = rate(_REQUESTS, "1h", _FOLLOW_UPS, of=GROUP)
    absent = rate(_REQUESTS, "1h", _FOLLOW_UPS, f'{_PRESENCE}="{names.ABSENT}"', of=GROUP)
    yield Record(UNIDENTIFIED, f"{absent} / ({follow_ups} > 0)")
    yield Record(FOLLOW_UPS, increase(_REQUESTS, "1h", _FOLLOW_UPS, of=GROUP))
    answers = rate(_REQUESTS, "1h", of=GROUP)
    unreported = rate(_REQUESTS, "1h", f'{_OUTCOME}="{names.UNREPORTED}"', of=GROUP)
    yield Record(UNREPORTED, f"{unreported} / ({answers} > 0)")
    yield Record(ANSWERS, increase(_REQUESTS, "1h", of=GROUP))

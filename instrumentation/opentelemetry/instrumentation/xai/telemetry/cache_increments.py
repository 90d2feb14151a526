"""What a verdict adds to the counters of the cache: in one go, so that reused + lost = potential in every export."""

from collections.abc import Sequence
from functools import cache

from .. import conventions as names
from ..observation import CacheVerdict, Observation
from .counters import Attributes, Increment


@cache  # of enumerated values only
def _request_attributes(outcome: str, reason: str | None, cause: str | None, present: bool) -> Attributes:
    attributes = [(names.XAI_CACHE_OUTCOME, outcome)]
    if reason is not None and cause is not None:
        attributes += [(names.XAI_CACHE_REASON, reason), (names.XAI_CACHE_CAUSE, cause)]
    attributes.append((names.XAI_CONVERSATION_ID_PRESENCE, names.PRESENT if present else names.ABSENT))
    return tuple(attributes)


@cache
def _loss_attributes(reason: str | None, cause: str | None, repeated: bool) -> Attributes:
    return (
        (names.XAI_CACHE_REASON, reason or ""),
        (names.XAI_CACHE_CAUSE, cause or ""),
        (names.XAI_CACHE_REPEATED, repeated),
    )


_LOSSES = (names.COMPACTED, names.UNSUPPORTED, *names.LOSSES)
"""The reasons for which tokens are lost, helped or not."""
_NONE_TO_LOSE = [
    names.FIRST_REQUEST,
    names.NO_BASELINE,
    names.CONCURRENT,
    names.COMPACTED,
    names.BELOW_MINIMUM,
]
_ALL_LOSSES = [
    _loss_attributes(reason, names.REASONS[reason][0], repeated) for reason in _LOSSES for repeated in (False, True)
]
NO_COST: Sequence[Increment] = [
    (names.CACHE_SAVED_COST, (), 0),
    *((names.CACHE_LOST_COST, attributes, 0) for attributes in _ALL_LOSSES),
]
"""What exists from the moment on at which a model's price is known."""


@cache
def beginning() -> Sequence[Increment]:
    """What exists of a model from its first answer on, all at 0."""
    outcomes = [(names.REUSED, None), (names.UNREPORTED, names.UNREPORTED)]
    outcomes += [(outcome, reason) for outcome in (names.PARTIAL, names.MISSED) for reason in _LOSSES]
    outcomes += [(names.NOT_APPLICABLE, reason) for reason in _NONE_TO_LOSE]
    requests = [
        _request_attributes(outcome, reason, reason and names.REASONS[reason][0], present)
        for outcome, reason in outcomes
        for present in (True, False)
    ]
    return [
        (names.CACHE_POTENTIAL_TOKENS, (), 0),
        (names.CACHE_REUSED_TOKENS, (), 0),
        *((names.CACHE_LOST_TOKENS, attributes, 0) for attributes in _ALL_LOSSES),
        *((names.CACHE_REQUESTS, attributes, 0) for attributes in requests),
    ]


def increments_of(observation: Observation, verdict: CacheVerdict) -> list[Increment]:
    """The increments of one answered exchange."""
    present = observation.request.conversation_id is not None
    increments: list[Increment] = [
        (names.CACHE_REQUESTS, _request_attributes(verdict.outcome, verdict.reason, verdict.cause, present), 1)
    ]
    if verdict.potential is not None:
        increments.append((names.CACHE_POTENTIAL_TOKENS, (), verdict.potential))
        increments.append((names.CACHE_REUSED_TOKENS, (), verdict.potential - verdict.lost))
        if verdict.lost:
            increments.append((names.CACHE_LOST_TOKENS, loss_attributes(verdict), verdict.lost))
    return increments


def loss_attributes(verdict: CacheVerdict) -> Attributes:
    """What tells losses apart."""
    return _loss_attributes(verdict.reason, verdict.cause, verdict.repeated)

"""What a verdict adds to the counters of the cache: in one go, so that reused + lost = potential in every export."""

from functools import cache

from .. import conventions as names
from ..observation import CacheVerdict, Observation
from .counters import Attributes, Increment


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

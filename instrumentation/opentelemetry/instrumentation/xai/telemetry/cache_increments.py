"""What a verdict adds to the counters of the cache: in one go, so that reused + lost = potential in every export."""

from collections.abc import Sequence
from functools import cache

from .. import conventions as names
from ..observation import CacheVerdict, Observation
from .counters import Increment, Series, series

_POTENTIAL, _REUSED = series(names.CACHE_POTENTIAL_TOKENS), series(names.CACHE_REUSED_TOKENS)
SAVED_COST = series(names.CACHE_SAVED_COST)


@cache  # of enumerated values only
def _requests(outcome: str, reason: str | None, cause: str | None, present: bool) -> Series:
    attributes = [(names.XAI_CACHE_OUTCOME, outcome)]
    if reason is not None and cause is not None:
        attributes += [(names.XAI_CACHE_REASON, reason), (names.XAI_CACHE_CAUSE, cause)]
    attributes.append((names.XAI_CONVERSATION_ID_PRESENCE, names.PRESENT if present else names.ABSENT))
    return series(names.CACHE_REQUESTS, tuple(attributes))


@cache
def _loss(counter: names.Counter, reason: str | None, cause: str | None, repeated: bool) -> Series:
    return series(
        counter,
        (
            (names.XAI_CACHE_REASON, reason or ""),
            (names.XAI_CACHE_CAUSE, cause or ""),
            (names.XAI_CACHE_REPEATED, repeated),
        ),
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


def _no_losses(counter: names.Counter) -> list[Increment]:
    """A counter of losses at 0, for each reason that there may be."""
    return [
        (_loss(counter, reason, names.REASONS[reason][0], repeated), 0)
        for reason in _LOSSES
        for repeated in (False, True)
    ]


NO_COST: Sequence[Increment] = [(SAVED_COST, 0), *_no_losses(names.CACHE_LOST_COST)]
"""What exists from the moment on at which a model's price is known."""


@cache
def beginning() -> Sequence[Increment]:
    """What exists of a model from its first answer on, all at 0."""
    outcomes = [(names.REUSED, None), (names.UNREPORTED, names.UNREPORTED)]
    outcomes += [(outcome, reason) for outcome in (names.PARTIAL, names.MISSED) for reason in _LOSSES]
    outcomes += [(names.NOT_APPLICABLE, reason) for reason in _NONE_TO_LOSE]
    requests = [
        (_requests(outcome, reason, reason and names.REASONS[reason][0], present), 0)
        for outcome, reason in outcomes
        for present in (True, False)
    ]
    return [(_POTENTIAL, 0), (_REUSED, 0), *_no_losses(names.CACHE_LOST_TOKENS), *requests]


def increments_of(observation: Observation, verdict: CacheVerdict) -> list[Increment]:
    """The increments of one answered exchange."""
    present = observation.request.conversation_id is not None
    increments: list[Increment] = [(_requests(verdict.outcome, verdict.reason, verdict.cause, present), 1)]
    if verdict.potential is not None:
        increments.append((_POTENTIAL, verdict.potential))
        increments.append((_REUSED, verdict.potential - verdict.lost))
        if verdict.lost:
            increments.append((loss(names.CACHE_LOST_TOKENS, verdict), verdict.lost))
    return increments


def loss(counter: names.Counter, verdict: CacheVerdict) -> Series:
    """A counter of losses with what tells them apart."""
    return _loss(counter, verdict.reason, verdict.cause, verdict.repeated)

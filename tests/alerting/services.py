"""A healthy service, and what may happen to one: the phases that the trials are put together from."""

from dataclasses import replace
from typing import Final

from alerting.traffic import HOUR, Loss, Phase
from opentelemetry.instrumentation.xai import conventions as names

HEALTHY: Final = Phase(
    minutes=HOUR,
    excluded={names.CONCURRENT: 0.005, names.NO_BASELINE: 0.02},
    losses={
        names.PROVIDER_MISS: Loss(0.03, repeated=0.1),
        names.IDLE: Loss(0.02, part=0.5),
        names.COMPACTED: Loss(0.02, part=0.8, repeated=0.2),
        names.HISTORY_EDITED: Loss(0.015, part=0.5, repeated=0.2),
    },
    first_token_s=0.5,
)
"""A busy service with long prompts: a cache that breaks for good costs it more than the budget within the hour."""


def healthy(minutes: int) -> Phase:
    """So many minutes in which nothing happens."""
    return replace(HEALTHY, minutes=minutes)


def losing(minutes: int, reason: str, calls: float, *, part: float = 1.0, repeated: float = 0.0) -> Phase:
    """The healthy service, of whose calls so many lose to a reason beside the usual ones."""
    return replace(HEALTHY, minutes=minutes, losses={**HEALTHY.losses, reason: Loss(calls, part, repeated)})


def excluding(minutes: int, **calls: float) -> Phase:
    """The healthy service, of whose calls so many have nothing to reuse, by the reason."""
    return replace(HEALTHY, minutes=minutes, excluded={**HEALTHY.excluded, **calls})


def release(reason: str) -> tuple[Phase, ...]:
    """Each live conversation breaks once, on its next turn: most within minutes, some after a pause."""
    return (losing(3, reason, 0.9), losing(7, reason, 0.35), losing(20, reason, 0.08), losing(HOUR, reason, 0.01))


def broken(minutes: int, reason: str = names.SYSTEM_CHANGED) -> Phase:
    """The application breaks the cache of most conversations on most turns."""
    return losing(minutes, reason, 0.7, repeated=0.8)

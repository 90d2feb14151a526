"""How many tokens could have been reused, how many were, and why not the rest: arithmetic, and one order of reasons."""

from msgspec import Struct

from .. import conventions as names
from ..observation import CacheVerdict, Usage
from ..wire.fingerprint import Setting
from .comparison import Change, changed_parameters
from .conversations import Baseline
from .support import Support

_BLOCK = 128
"""Tokens that xAI caches or does not as one: figures of current models are multiples of it."""
_LEAST = 1024
"""Tokens of a predecessor below which xAI was never seen to cache."""
_FLOOR = 256
"""Tokens that are reported as cached by a call that found nothing: a hidden start that all prompts share."""
_IDLE_S = 600.0
_NANOSECONDS = 1_000_000_000


class Standing(Struct, frozen=True, gc=False):
    """What is known of a request before its answer."""

    setting: Setting
    issued: int
    continues: bool
    """Whether its prompt has earlier turns."""
    baseline: Baseline | None
    reason: str | None
    """Why there is no baseline."""
    change: Change | None


def verdict(standing: Standing, usage: Usage | None, support: Support) -> CacheVerdict:
    """What an answer's usage means for a request of that standing. ``repeated`` is for the ledger to say."""
    baseline = standing.baseline
    idle_s = None if baseline is None else max(standing.issued - baseline.ended, 0) / _NANOSECONDS
    if usage is None or usage.cached_tokens is None:
        return _without_tokens(names.UNREPORTED, names.UNREPORTED, idle_s, known=False)
    if baseline is None:
        return _without_tokens(names.NOT_APPLICABLE, standing.reason or names.NO_BASELINE, idle_s)
    cached = usage.cached_tokens
    potential = 0 if baseline.tokens < _LEAST and cached <= _FLOOR else baseline.tokens // _BLOCK * _BLOCK
    if not potential:
        return _without_tokens(names.NOT_APPLICABLE, names.BELOW_MINIMUM, idle_s)
    lost = potential - min(cached, potential)
    if lost <= _BLOCK:
        return CacheVerdict(names.REUSED, potential=potential, idle_s=idle_s)
    identity = standing.setting.identity
    if not standing.continues and not (identity and identity == baseline.setting.identity):
        return _without_tokens(names.NOT_APPLICABLE, names.FIRST_REQUEST, None)
    outcome = names.MISSED if cached <= _FLOOR else names.PARTIAL
    if support.is_absent(standing.setting.endpoint, standing.setting.model):
        reason, change = names.UNSUPPORTED, None
    else:
        reason, change = _reason(standing, baseline, potential, lost, idle_s or 0.0)
    cause, confidence = names.REASONS[reason]
    return CacheVerdict(
        outcome,
        reason,
        cause,
        confidence,
        section=names.SECTION_PARAMETERS if reason == names.PARAMETERS_CHANGED else change.section if change else None,
        index=change.position if change else None,
        potential=potential,
        lost=lost,
        idle_s=idle_s,
    )


def _without_tokens(outcome: str, reason: str, idle_s: float | None, *, known: bool = True) -> CacheVerdict:
    cause, confidence = names.REASONS[reason]
    return CacheVerdict(outcome, reason, cause, confidence, potential=0 if known else None, idle_s=idle_s)


def _reason(
    standing: Standing, baseline: Baseline, potential: int, lost: int, idle_s: float
) -> tuple[str, Change | None]:
    """Why tokens were lost, and the change in the prompt if it is that."""
    otherwise = _reason_outside(standing.setting, baseline.setting, idle_s)
    change = standing.change
    if change is None:
        return otherwise, None
    if names.REASONS[otherwise][0] == names.CAUSE_PROVIDER:
        intact = int(potential * change.kept) // _BLOCK * _BLOCK
        by_client = min(lost, potential - intact)
        if lost - by_client > by_client + _BLOCK:  # within a block the estimate by bytes is no evidence
            return otherwise, None
    return change.reason, change


def _reason_outside(new: Setting, old: Setting, idle_s: float) -> str:
    """What else than the prompt's content may be the reason, the client's own doing first."""
    if changed_parameters(old, new):
        return names.PARAMETERS_CHANGED
    if not new.route:
        return names.CONVERSATION_ID_MISSING
    if new.route != old.route:
        return names.CONVERSATION_ID_CHANGED
    if new.credentials != old.credentials:
        return names.CREDENTIALS_CHANGED
    if new.endpoint != old.endpoint:
        return names.ENDPOINT_CHANGED
    return names.IDLE if idle_s > _IDLE_S else names.PROVIDER_MISS

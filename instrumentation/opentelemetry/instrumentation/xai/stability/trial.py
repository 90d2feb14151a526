"""The ledger, asked without real answers: what if each had read from the cache all that the client left of it?"""

from typing import Final

from msgspec import structs

from ..cache_ledger import CacheLedger, Inquiry
from ..observation import CacheVerdict, Ending, Observation, Usage
from ..wire.fingerprint import Entry, Fingerprint

_TOKENS: Final = 1 << 30
"""So many that no rounding and no minimum matters; the ledger has room for twice as many."""
_NEARLY: Final = 1 - 2**-20


class _Thorough(Fingerprint):
    """A fingerprint that spares no time."""

    __slots__ = ()

    def tail(self, start: int) -> list[Entry]:
        """The entries from ``start`` on, all read closely."""
        return [self.entry(index) for index in range(start, len(self))]


class TrialLedger(CacheLedger):
    """A ledger for which every response is a whole and long answer: those that tests make up seldom are."""

    def __init__(self) -> None:
        super().__init__()
        self.verdicts: dict[Inquiry, CacheVerdict] = {}
        self.ended: dict[int, Inquiry] = {}
        """Answered requests by the moments at which they ended, which baselines know."""

    def issued(self, fingerprint: Fingerprint, moment: int) -> Inquiry:
        """Note a request, every entry of which may be looked at."""
        fingerprint.__class__ = _Thorough
        return super().issued(fingerprint, moment)

    def _answered(self, inquiry: Inquiry, observation: Observation) -> CacheVerdict | None:
        if observation.status_code is None or observation.status_code >= 400:
            return super()._answered(inquiry, observation)
        usage = Usage(input_tokens=_TOKENS, cached_tokens=_intact(inquiry))
        found = super()._answered(inquiry, structs.replace(observation, ending=Ending.COMPLETE, usage=usage))
        if found is not None:
            self.verdicts[inquiry] = found
        self.ended[observation.timeline.ended] = inquiry
        return found


def _intact(inquiry: Inquiry) -> int:
    """Tokens that the provider finds: none, if the prompt is intact, so that the ledger says what else there may be."""
    standing = inquiry.standing
    if standing.baseline is None:
        return _TOKENS
    kept = 0.0 if standing.change is None else min(standing.change.kept, _NEARLY)
    return max(int(_TOKENS * kept), 1)  # a server that never reads anything would be one that cannot

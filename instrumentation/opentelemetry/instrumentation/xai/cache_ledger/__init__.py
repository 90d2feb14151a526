"""The ledger: what each conversation has sent and what of it could have been read from the cache.

``CacheLedger.issued`` fixes the predecessor of a request before it is sent; what it returns explains the answer when
there is one. It knows digests, sizes, token counts and moments, and no content. Nothing in it speaks of spans.

One lock, held for the look-up and the entry of one request, or of one answer. In a forked child both are made anew: a
conversation that goes on in the child has no baseline there, since the parent may go on with it too.
"""

import threading

from .. import conventions as names
from ..forking import after_fork
from ..observation import COMPLETE, CacheVerdict, Observation
from ..wire.fingerprint import Fingerprint, digest_of_text
from .accounting import Standing, verdict
from .comparison import change
from .conversations import Baseline, Conversation, Conversations, Flight, Losses
from .predecessor import Predecessor, find
from .support import Support

_DAY_NS = 86_400_000_000_000
_MOST_CONVERSATIONS = 10_000
_MOST_BYTES = 64 * 1024 * 1024
_MOST_TOKENS = (1 << 31) - 1


class CacheLedger:
    """The memory of one process: bounded in conversations, bytes and age."""

    def __init__(
        self,
        most_conversations: int = _MOST_CONVERSATIONS,
        most_bytes: int = _MOST_BYTES,
        lifetime_ns: int = _DAY_NS,
    ) -> None:
        self._bounds = (most_conversations, most_bytes, lifetime_ns)
        self.forked()
        after_fork(self)

    def forked(self) -> None:
        """Begin anew, with a lock of our own."""
        self._lock = threading.Lock()
        self._conversations = Conversations(*self._bounds)
        self._support = Support()

    def __len__(self) -> int:
        return len(self._conversations)

    @property
    def bytes(self) -> int:
        """About how much memory it takes."""
        return self._conversations.bytes

    def issued(self, fingerprint: Fingerprint, moment: int) -> "Inquiry":
        """Note a request that is about to be sent, and fix what it continues; ``moment``: monotonic nanoseconds."""
        with self._lock:
            predecessor = find(self._conversations, fingerprint)
            baseline, reason = predecessor.baseline, predecessor.reason
            if baseline is None and reason in _UNKNOWN and fingerprint.has_compaction():
                reason = names.COMPACTED
            difference = None if baseline is None else change(predecessor, baseline, fingerprint)
            standing = Standing(fingerprint.setting, moment, fingerprint.continues, baseline, reason, difference)
            conversation = self._enter(fingerprint, predecessor, moment)
            inquiry = Inquiry(self, standing, fingerprint, conversation)
        fingerprint.forget()
        return inquiry

    def _enter(self, fingerprint: Fingerprint, predecessor: Predecessor, moment: int) -> Conversation | None:
        if fingerprint.previous or not fingerprint.raws:
            return None  # the rest of the prompt is on the server
        match, shared = predecessor.match, predecessor.shared
        continues = predecessor.edited or (match is not None and shared == len(match.conversation.raws))
        return self._conversations.enter(fingerprint, match, shared, moment, continues=continues)

    def _answered(self, inquiry: "Inquiry", observation: Observation) -> CacheVerdict | None:
        usage, setting, ended = observation.usage, inquiry.standing.setting, observation.timeline.ended
        complete = observation.ending is COMPLETE and (usage is not None or observation.answered)
        found = None
        with self._lock:
            if (usage is not None and usage.cached_tokens is not None) or complete:
                found = verdict(inquiry.standing, usage, self._support)
                if found.lost and found.reason is not None:
                    found = found.repeated_as(inquiry.losses.again(found.reason))
                if usage is not None and usage.cached_tokens is not None:
                    self._support.learn(setting.endpoint, setting.model, usage.cached_tokens, bool(found.potential))
            tokens = -1 if usage is None or usage.prompt_tokens is None else min(usage.prompt_tokens, _MOST_TOKENS)
            for conversation in inquiry.conversations:
                if complete and len(conversation.in_flight) == 1:
                    conversation.in_flight = ()  # none but this one
                else:
                    conversation.done(inquiry, answered=complete)
                if complete:
                    if conversation.answered(inquiry.length, setting, tokens, ended, observation.reasoned):
                        self._conversations.weighed(conversation)
                    if inquiry.length == len(conversation.raws):
                        conversation.marks = observation.marks
            if complete and inquiry.may_be_continued_by_id and observation.response_id is not None:
                self._conversations.responded(
                    digest_of_text(observation.response_id),
                    Baseline(
                        setting, tokens, ended, inquiry.length, inquiry.size, inquiry.losses, observation.reasoned
                    ),
                )
        return found


_UNKNOWN = frozenset({names.NO_BASELINE, names.FIRST_REQUEST})


class Inquiry(Flight):
    """One request in the ledger: explains its answer once there is one."""

    __slots__ = ("_ledger", "losses", "may_be_continued_by_id", "size", "standing")

    def __init__(
        self, ledger: CacheLedger, standing: Standing, fingerprint: Fingerprint, conversation: Conversation | None
    ) -> None:
        self.length = len(fingerprint.raws)  # Flight's own two, in place: each call of the hot path is counted
        self.conversations = []
        self._ledger = ledger
        self.standing = standing
        self.size = fingerprint.size(0)
        self.may_be_continued_by_id = fingerprint.is_of_items
        if conversation is not None:
            self.belongs_to(conversation)
            self.losses = conversation.losses
        else:
            self.losses = Losses() if standing.baseline is None else standing.baseline.losses

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.length} entries>"

    def explain(self, observation: Observation) -> CacheVerdict | None:
        """Why the cache was or was not used; ``None`` for an exchange that broke off before it told. Called once."""
        return self._ledger._answered(self, observation)  # noqa: SLF001  the two are one thing


__all__ = ["CacheLedger", "Inquiry"]

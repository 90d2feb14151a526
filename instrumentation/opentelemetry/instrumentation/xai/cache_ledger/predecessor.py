"""Which request a new one continues: the predecessor, fixed when the request is issued.

The longest chain of equal entries decides. Model, tools and system are only compared, never searched by, since all
conversations of an application may share them. A chain that diverges is an edited one if something returns after
the divergence that only this conversation can have put there (an answer, a tool call's id), or if the id is the same
and a turn of the model follows; else it is a fork, which continues the deepest answered request in the shared part. In
doubt between an edit and a fork, a fork; in doubt about a baseline, none.
"""

from msgspec import Struct

from .. import conventions as names
from ..wire.fingerprint import Fingerprint
from ..wire.prompt import COMPACTION, RESULT
from .conversations import MOST_ALIKE, Baseline, Conversation, Conversations, Match, Tail, is_output

_ONE_TURN = 2
"""Entries that a question and the answer before it take."""
_SHORT = 64
"""Bytes of an entry below which several conversations may well have the same one."""
_LONG = 112
"""Bytes of an entry, the key's included, from which on it is hardly a phrase that others have as well."""


class Predecessor(Struct, frozen=True, gc=False):
    """What is known of the request before."""

    baseline: Baseline | None
    """The answered request that the new one continues, if there is one that can be relied on."""
    reason: str | None = None
    """Why there is no baseline."""
    match: Match | None = None
    """The conversation that the new request belongs to, or beside."""
    edited: bool = False
    """Whether the new request has other entries in the place of some of the baseline's."""
    shared: int = 0
    """How many of the first entries mean the same."""


def find(conversations: Conversations, fingerprint: Fingerprint) -> Predecessor:
    """Find what a request continues."""
    if fingerprint.previous:
        baseline = conversations.by_response(fingerprint.previous)
        known = baseline is not None and baseline.tokens >= 0
        return Predecessor(baseline, None) if known else Predecessor(None, names.NO_BASELINE)
    absent = names.NO_BASELINE if fingerprint.continues else names.FIRST_REQUEST
    matches = conversations.by_chain(fingerprint)
    match: Match | None
    if len(matches) == 1 and _is_plainly_continued(matches[0], fingerprint.setting.identity):
        match = matches[0]
    else:
        match = _best_match(conversations, matches, fingerprint)
        if match is None:
            return Predecessor(None, absent)
    conversation = match.conversation
    shared = match.shared
    if shared < len(conversation.raws):
        shared = _shared_meaning(match, fingerprint)
    if conversation.last_length > shared and _is_edited(conversation, shared, fingerprint):
        last = conversation.last()
        rounds = _rounds(fingerprint, 0) - _rounds_of(conversation, conversation.last_length)
        if last is None or last.tokens < 0 or (rounds > 1 and not conversation.unread):
            return Predecessor(None, absent, match, shared=shared)
        return Predecessor(last, None, match, True, shared)
    baseline = conversation.deepest(shared, fingerprint.setting)
    depth = 0 if baseline is None else baseline.length
    if conversation.in_flight and any(depth < flight.length <= shared for flight in conversation.in_flight):
        return Predecessor(None, names.CONCURRENT, match, shared=shared)
    old, new = None if baseline is None else baseline.setting, fingerprint.setting
    if old is not None and (old.identity != new.identity or old.system.raw != new.system.raw):
        own = conversation.deepest_like(shared, fingerprint.setting)
        if own is not None and _rounds(fingerprint, own.length) <= 1:
            baseline, depth = own, own.length  # another conversation has said the same, and more
    if baseline is not None and len(fingerprint.raws) - depth > _ONE_TURN:
        rounds = _rounds(fingerprint, depth)
        if rounds > 1 and rounds - conversation.asked_between(depth, shared) > 1:
            baseline = None
    return Predecessor(baseline, None if baseline is not None else absent, match, False, shared)


def _is_plainly_continued(match: Match, identity: int) -> bool:
    """Whether a request goes on where a conversation of the same id ends: so nearly every one does."""
    conversation = match.conversation
    if match.shared != len(conversation.raws):
        return False
    return not identity or (bool(conversation.identities) and conversation.identities[-1] == identity)


def _best_match(conversations: Conversations, matches: list[Match], fingerprint: Fingerprint) -> Match | None:
    identity, system = fingerprint.setting.identity, fingerprint.setting.system.raw
    of_identity = conversations.by_identity(fingerprint) if identity else []
    own = [match for match in of_identity if match.shared and match.shared == len(match.conversation)]
    if own:  # goes on where a conversation of this id ends, though others may have said the same and more
        longest = max(own, key=lambda match: match.shared)
        if _rounds(fingerprint, longest.shared) <= 1:
            return longest

    def preference(match: Match) -> tuple[int, bool, bool, int]:
        setting = match.conversation.setting
        return (
            _shared_meaning(match, fingerprint),
            bool(identity) and identity in match.conversation.identities,
            setting is not None and setting.system.raw == system,
            match.conversation.touched,
        )

    candidates = {id(match.conversation): match for match in matches}
    candidates.update({id(match.conversation): match for match in of_identity if match.shared})
    best = max(candidates.values(), key=preference, default=None)
    if best is None or best.shared < len(best.conversation):
        tail = conversations.by_tail(fingerprint)
        if tail is not None and _is_telling(tail, fingerprint, best):
            score = max(_shared_meaning(tail.match, fingerprint), tail.run + min(tail.match.shared, tail.start))
            if best is None or score > preference(best)[0]:
                return tail.match
    if best is not None:
        return _unambiguous(best, matches, fingerprint)
    if fingerprint.continues and of_identity:
        return max(
            of_identity, key=lambda match: (_returning(match.conversation, 0, fingerprint), match.conversation.touched)
        )
    return None


def _unambiguous(best: Match, alike: list[Match], fingerprint: Fingerprint) -> Match | None:
    """The best match, unless several conversations began alike, and nothing tells which a request belongs to."""
    setting, identity = best.conversation.setting, fingerprint.setting.identity
    if setting is None or identity in best.conversation.identities or len(alike) < 2 or not fingerprint.continues:
        return best
    if not identity or not best.conversation.identities:
        overfull = len(alike) >= MOST_ALIKE
        return None if overfull and setting.system.raw != fingerprint.setting.system.raw else best
    baselines = [match.conversation.deepest(match.shared, fingerprint.setting) for match in alike]
    if len({baseline and (baseline.ended, baseline.length) for baseline in baselines}) == 1:
        return best  # forks of one
    said = fingerprint.marks(best.shared)
    answered = [match for match in alike if not said.isdisjoint(match.conversation.marks)]
    return max(answered, key=lambda match: match.conversation.touched, default=None)


def _is_telling(tail: Tail, fingerprint: Fingerprint, best: Match | None) -> bool:
    """Whether what returns of a conversation's end can have been said in this one only, which has gone on since."""
    conversation, identity = tail.match.conversation, fingerprint.setting.identity
    if tail.start == 0 and tail.run == len(conversation):
        return True  # all of it returns, in other bytes
    if identity and identity in conversation.identities:
        return True
    if (identity and conversation.identities) or (best is not None and identity in best.conversation.identities):
        return False
    stop = tail.start + tail.run
    goes_on = any(is_output(fingerprint.kind(place)) for place in range(stop, len(fingerprint)))
    length = len(conversation)
    return goes_on and any(
        is_output(conversation.kind(place)) and conversation.size(place, place + 1) >= _LONG
        for place in range(length - tail.run, length)
    )


def _shared_meaning(match: Match, fingerprint: Fingerprint) -> int:
    """How many of the first entries mean the same, whatever their bytes."""
    conversation, shared = match.conversation, match.shared
    most = min(len(conversation), len(fingerprint))
    while shared < most:
        entry = fingerprint.entry(shared)
        if (
            not entry.canonical
            or entry.canonical != conversation.canonicals[shared]
            or entry.kind != conversation.kind(shared)
        ):
            break
        shared += 1
    return shared


def _is_edited(conversation: Conversation, shared: int, fingerprint: Fingerprint) -> bool:
    """Whether a request that diverges after ``shared`` entries is the same conversation, edited, and no fork of it."""
    identity = fingerprint.setting.identity
    same = bool(identity) and identity in conversation.identities
    place, length = shared, len(fingerprint)
    if place < length and fingerprint.kind(place) == COMPACTION and (same or not identity):
        return True
    if same:
        while place < length and is_output(fingerprint.kind(place)):
            place += 1
        if any(is_output(fingerprint.kind(later)) for later in range(place + 1, length)):
            return True
    elsewhere = bool(identity) and bool(conversation.identities) and not same
    if _returning(conversation, shared, fingerprint, _SHORT if elsewhere else 0):
        return True
    return bool(conversation.marks) and not fingerprint.marks(shared).isdisjoint(conversation.marks)


def _returning(conversation: Conversation, shared: int, fingerprint: Fingerprint, least: int = 0) -> int:
    """How many of the model's and the tools' entries after the first ``shared`` a request has after these too."""
    places = [
        place
        for place in range(shared, len(conversation))
        if conversation.kind(place) >= RESULT and conversation.size(place, place + 1) >= least
    ]
    same_bytes = {conversation.raws[place] for place in places}.intersection(fingerprint.raws[shared:])
    if same_bytes or not places:
        return len(same_bytes)
    known = {conversation.canonicals[place] for place in places} - {0}
    return len(known.intersection([entry.canonical for entry in fingerprint.tail(shared) if entry.kind >= RESULT]))


def _rounds(fingerprint: Fingerprint, start: int) -> int:
    """How often the model has spoken, from an entry on."""
    return _times([is_output(fingerprint.kind(place)) for place in range(start, len(fingerprint))])


def _rounds_of(conversation: Conversation, stop: int) -> int:
    return _times([is_output(conversation.kind(place)) for place in range(stop)])


def _times(outputs: list[bool]) -> int:
    return sum(1 for place, output in enumerate(outputs) if output and not (place and outputs[place - 1]))

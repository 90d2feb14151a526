"""The conversations that a process has had, as far as a later request may continue one: digests, sizes, token counts.

Theory. A conversation is one chain of entries that has only grown. What diverges from it is another conversation, which
shares its beginning. A request is looked for by the chain from its end: by the newest entry of each conversation and
by some earlier ones (1, 2, 4, 8, 16, ...), from where the shared part is counted out. Two further ways lead to
those that are not found so: by the conversation id, and by the meaning of their last two entries, which return also
where the beginning was edited or cut off.

Everything is kept in arrays, and the oldest conversations go when there are too many, they are too large, or too old.
Not thread-safe: the ledger has the lock.
"""

from array import array
from bisect import bisect_right
from collections import OrderedDict

from msgspec import Struct

from ..wire.fingerprint import MOST_READ, Fingerprint, Setting
from ..wire.prompt import OUTPUT, REASONING

MOST_ALIKE = 64
"""Conversations that are kept for one beginning, and looked through."""
_MOST_OF_ONE_ID = 8
_MOST_IDS = 4
_MOST_OF_ONE_LENGTH = 8
_MOST_READ_AGAIN = 4
_MOST_UNANSWERED = 8
_POSITIONS = tuple([1 << power for power in range(32)])
"""At how many entries from the beginning a conversation can be found, beside its end."""
_IS_POSITION = frozenset(_POSITIONS)
_BYTES_OF_CONVERSATION = 1900  # of an empty one, its places in the tables included; all four are measured by a test
_BYTES_OF_ENTRY = 22
_BYTES_OF_TURN = 24
_BYTES_OF_KEY = 150
_BYTES_OF_RESPONSE = 480
_REASONED = 8  # beside the kind of an entry


def is_output(kind: int) -> bool:
    """Whether an entry of this kind was put out by the model."""
    return kind in (OUTPUT, REASONING)


class Losses:
    """For which reasons a conversation has lost tokens already."""

    __slots__ = ("reasons",)

    def __init__(self) -> None:
        self.reasons: frozenset[str] = frozenset()

    def again(self, reason: str) -> bool:
        """Note a loss; says whether there was one for the same reason."""
        if reason in self.reasons:
            return True
        self.reasons |= {reason}
        return False


class Flight:
    """One request that is being answered, and the conversations that begin with it."""

    __slots__ = ("conversations", "length")

    def __init__(self, length: int) -> None:
        self.length = length
        self.conversations: list[Conversation] = []

    def belongs_to(self, conversation: "Conversation") -> None:
        """Note a conversation that begins with it."""
        if len(self.conversations) < MOST_ALIKE:
            self.conversations.append(conversation)
            conversation.in_flight += (self,)


class Baseline(Struct, frozen=True, gc=False):
    """An answered request that another one continues."""

    setting: Setting
    tokens: int
    """What the next request could read of it at least; negative where the answer did not say."""
    ended: int
    length: int
    """Entries of its chain."""
    size: int
    """Bytes of its chain."""
    losses: Losses
    reasoned: bool = False
    """Whether reasoning came back with its answer."""


class Conversation:
    """One chain that has grown, and its answered requests."""

    __slots__ = (
        "_counts",
        "_ended",
        "_flags",
        "_settings",
        "_tokens",
        "canonicals",
        "cost",
        "ends",
        "identities",
        "in_flight",
        "keys",
        "kinds",
        "last_length",
        "losses",
        "marks",
        "raws",
        "tail_key",
        "touched",
        "unanswered",
        "unread",
    )

    def __init__(self) -> None:
        self.raws = array("q")
        self.canonicals = array("I")
        self.ends = array("Q")
        """How many bytes there are up to the end of each entry."""
        self.kinds = bytearray()
        self._counts = array("I")
        self._tokens = array("i")
        self._ended = array("q")
        self._flags = bytearray()
        self._settings: list[Setting] = []
        self.marks: tuple[int, ...] = ()
        """By what the last answer is known when it is sent back."""
        self.losses = Losses()
        self.in_flight: tuple[Flight, ...] = ()
        self.unanswered: tuple[int, ...] = ()
        """Lengths of the requests that got no answer."""
        self.keys: list[int] = []
        self.identities: list[int] = []
        """The last conversation ids that it had, by their digests."""
        self.last_length = 0
        """Entries of the longest answered request."""
        self.tail_key = 0
        self.unread = 0
        """Of how many of the first entries, at the most, the meaning is not known yet."""
        self.touched = 0
        self.cost = 0

    def __len__(self) -> int:
        return len(self.raws)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} entries>"

    @property
    def setting(self) -> Setting | None:
        """Of the last answered request."""
        return self._settings[-1] if self._settings else None

    def size(self, start: int, stop: int) -> int:
        """Bytes of the entries from one to before another."""
        ends = self.ends
        return (ends[stop - 1] if stop else 0) - (ends[start - 1] if start else 0)

    def kind(self, index: int) -> int:
        """Of which kind an entry is."""
        return self.kinds[index] & ~_REASONED

    def reasoned(self, index: int) -> bool:
        """Whether an entry held reasoning."""
        return bool(self.kinds[index] & _REASONED)

    def branch(self, shared: int, meaning: int) -> "Conversation":
        """Another conversation: the first ``shared`` entries are the same, and ``meaning`` mean the same."""
        other = Conversation()
        other.raws = self.raws[:shared]
        other.canonicals = self.canonicals[:shared]
        other.ends = self.ends[:shared]
        other.kinds = self.kinds[:shared]
        other.unread = min(self.unread, shared)
        turns = sum(1 for count in self._counts if count <= meaning)
        other._counts = self._counts[:turns]
        other._tokens = self._tokens[:turns]
        other._ended = self._ended[:turns]
        other._flags = self._flags[:turns]
        other.last_length = other._counts[-1] if turns else 0
        other._settings = self._settings[:turns]
        other.unanswered = tuple([count for count in self.unanswered if count <= meaning])
        for flight in self.in_flight:
            if flight.length <= meaning:
                flight.belongs_to(other)
        return other

    def grow(self, fingerprint: Fingerprint) -> None:
        """Append the entries that a request has beyond this chain."""
        start = len(self)
        self.raws.extend(fingerprint.raws[start:])
        self.ends.extend(fingerprint.ends[start:])
        if self.unread:
            self._read_more(fingerprint, min(start, self.unread))
        unread = len(fingerprint) - start - MOST_READ
        if unread > 0:
            self.canonicals.frombytes(bytes(unread * self.canonicals.itemsize))
            self.kinds.extend(bytes(unread))
            self.unread = start = start + unread
        for index in range(start, len(fingerprint)):
            entry = fingerprint.entry(index)
            self.canonicals.append(entry.canonical)
            self.kinds.append(entry.kind | _REASONED if entry.reasoned else entry.kind)

    def _read_more(self, fingerprint: Fingerprint, stop: int) -> None:
        """Read some of the entries that came when there were too many, now that they have come again."""
        start = max(stop - _MOST_READ_AGAIN, 0)
        for index in range(start, stop):
            entry = fingerprint.entry(index)
            self.canonicals[index] = entry.canonical
            self.kinds[index] = entry.kind | _REASONED if entry.reasoned else entry.kind
        self.unread = start

    def answered(self, count: int, setting: Setting, tokens: int, ended: int, reasoned: bool) -> bool:
        """Note that a request of that many entries has been answered; says whether it is a further one."""
        counts, settings = self._counts, self._settings
        place = len(counts)
        while place and counts[place - 1] > count:
            place -= 1
        if settings and settings[-1] == setting:
            setting = settings[-1]  # one object for all
        twin = place - 1
        if twin >= 0 and counts[twin] == count and settings[twin] == setting:  # answered again
            self._tokens[twin] = tokens
            self._ended[twin] = ended
            self._flags[twin] = reasoned
            return False
        first = place - _MOST_OF_ONE_LENGTH
        if first >= 0 and counts[first] == count:  # as when a prompt is tried with many settings
            for column in (counts, self._tokens, self._ended, self._flags, settings):
                del column[first]
            place -= 1
        counts.insert(place, count)
        self._tokens.insert(place, tokens)
        self._ended.insert(place, ended)
        self.last_length = counts[-1]
        self._flags.insert(place, reasoned)
        settings.insert(place, setting)
        return True

    def done(self, flight: Flight, *, answered: bool) -> None:
        """Note that a request is over."""
        self.in_flight = tuple([other for other in self.in_flight if other is not flight])
        if not answered and flight.length not in self.unanswered:
            self.unanswered = (*self.unanswered[-_MOST_UNANSWERED + 1 :], flight.length)

    def last(self) -> Baseline | None:
        """The answered request that is the longest."""
        return self._baseline(len(self._counts) - 1) if self._counts else None

    def deepest(self, shared: int, setting: Setting) -> Baseline | None:
        """The longest answered request within ``shared`` entries; of several, the one most like ``setting``."""
        counts = self._counts
        place = len(counts) - 1
        while place >= 0 and (counts[place] > shared or self._tokens[place] < 0):
            place -= 1
        if place < 0:
            return None
        best = place
        if not place or counts[place - 1] != counts[place]:
            return self._baseline(best)
        best_likeness = _likeness(self._settings[place], setting)
        while place and counts[place - 1] == counts[best]:
            place -= 1
            likeness = _likeness(self._settings[place], setting)
            if likeness > best_likeness and self._tokens[place] >= 0:
                best, best_likeness = place, likeness
        return self._baseline(best)

    def deepest_like(self, shared: int, setting: Setting) -> Baseline | None:
        """The longest answered request within ``shared`` entries that had the same id and system prompt."""
        for place in range(len(self._counts) - 1, -1, -1):
            if self._counts[place] <= shared and self._tokens[place] >= 0:
                known = self._settings[place]
                if known.identity == setting.identity and known.system.raw == setting.system.raw:
                    return self._baseline(place)
        return None

    def _baseline(self, place: int) -> Baseline:
        count = self._counts[place]
        return Baseline(
            self._settings[place],
            self._tokens[place],
            self._ended[place],
            count,
            self.ends[count - 1] if count else 0,
            self.losses,
            bool(self._flags[place]),
        )

    def asked_between(self, shorter: int, longer: int) -> int:
        """How many requests longer than one and not longer than another got no usable answer here."""
        known = {count for count in self.unanswered if shorter < count <= longer}
        known.update(
            count
            for count, tokens in zip(self._counts, self._tokens, strict=True)
            if tokens < 0 and shorter < count <= longer
        )
        return len(known)

    def weigh(self) -> int:
        """How many bytes it takes, and has taken since it was asked last: the difference."""
        cost = (
            _BYTES_OF_CONVERSATION
            + _BYTES_OF_ENTRY * len(self.raws)
            + _BYTES_OF_TURN * len(self._counts)
            + _BYTES_OF_KEY * len(self.keys)
        )
        difference, self.cost = cost - self.cost, cost
        return difference


def _likeness(one: Setting, other: Setting) -> tuple[bool, bool, bool]:
    return one.identity == other.identity, one.system.raw == other.system.raw, one.model == other.model


class Match(Struct, frozen=True, gc=False):
    """A conversation that a request may continue, and how many of the first entries of both are the same bytes."""

    conversation: Conversation
    shared: int


class Tail(Struct, frozen=True, gc=False):
    """A conversation whose end stands in a request."""

    match: Match
    start: int
    """Where in the request what returns begins."""
    run: int
    """How many entries return in a row, up to the conversation's last."""


class Conversations:
    """All of them, by their chains, ids, ends and responses."""

    def __init__(self, most: int, most_bytes: int, lifetime: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._lifetime = lifetime
        self._all: OrderedDict[int, Conversation] = OrderedDict()
        self._by_chain: dict[int, Conversation | list[Conversation]] = {}
        self._by_identity: dict[int, list[Conversation]] = {}
        self._by_tail: dict[int, Conversation] = {}
        self._by_response: OrderedDict[int, Baseline] = OrderedDict()
        self._tidied = 0
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._all)

    def by_chain(self, fingerprint: Fingerprint) -> list[Match]:
        """The conversations that share the most of their beginnings with a request, at least one entry."""
        chain, index = fingerprint.chain, self._by_chain
        for position in range(len(chain), 0, -1):
            found = index.get(chain[position - 1])
            if found is not None:
                if type(found) is Conversation:
                    whole = position == len(found.raws)
                    return [Match(found, position if whole else _shared(found, fingerprint, position))]
                matches = [Match(other, _shared(other, fingerprint, position)) for other in found]  # type: ignore[union-attr]
                most = max(match.shared for match in matches)
                return [match for match in matches if match.shared == most]
        return []

    def by_identity(self, fingerprint: Fingerprint) -> list[Match]:
        """The conversations that had the same id, the newest last."""
        found = self._by_identity.get(fingerprint.setting.identity, ())
        return [Match(conversation, _shared(conversation, fingerprint, 0)) for conversation in found]

    def by_tail(self, fingerprint: Fingerprint) -> Tail | None:
        """A conversation of which the last two entries, or the only one, stand in a request, whatever else does."""
        last = len(fingerprint) - 1
        for place in range(last, max(last - MOST_READ, -1), -1):
            canonical = fingerprint.entry(place).canonical
            before = fingerprint.entry(place - 1).canonical if place else 0
            conversation = self._by_tail.get(hash((before, canonical)))
            if conversation is not None and canonical:
                canonicals, run = conversation.canonicals, 0
                most = min(place + 1, len(canonicals))
                while run < most and canonicals[-1 - run] == fingerprint.entry(place - run).canonical:
                    run += 1
                return Tail(Match(conversation, _shared(conversation, fingerprint, 0)), place + 1 - run, run)
        return None

    def by_response(self, response: int) -> Baseline | None:
        """The request that a response answered, by the digest of its id."""
        return self._by_response.get(response)

    def responded(self, response: int, baseline: Baseline) -> None:
        """Note which request a response has answered."""
        if response not in self._by_response:
            self.bytes += _BYTES_OF_RESPONSE
        self._by_response[response] = baseline
        self._by_response.move_to_end(response)
        if len(self._by_response) > self._most or self.bytes > self._most_bytes:
            self.tidy(baseline.ended)

    def enter(
        self, fingerprint: Fingerprint, match: Match | None, meaning: int, moment: int, *, continues: bool
    ) -> Conversation:
        """Put a request in: at the end of a conversation, beside one, or as a new one. Says where it is.

        ``meaning`` entries mean what the match's mean; ``continues`` says that it is the same conversation.
        """
        if match is None:
            conversation, known = Conversation(), 0
        else:
            conversation, known = match.conversation, match.shared
            twin = known == len(fingerprint.raws) and _is_of_another_id(conversation, fingerprint)
            if twin or known < len(conversation.raws):
                losses = conversation.losses
                conversation, known = conversation.branch(known, meaning), 0
                if continues and not twin:
                    conversation.losses = losses
        if len(fingerprint.raws) > len(conversation.raws):
            conversation.grow(fingerprint)
        if len(conversation.raws) > known:
            self._index(conversation, fingerprint, known)
            self.bytes += conversation.weigh()
        identity = fingerprint.setting.identity
        if identity and (not conversation.identities or conversation.identities[-1] != identity):
            self._identify(conversation, identity)
        conversation.touched = moment
        key = id(conversation)
        self._all[key] = conversation
        self._all.move_to_end(key)
        if (
            len(self._all) > self._most
            or self.bytes > self._most_bytes
            or moment > self._tidied + self._lifetime // 100
        ):
            self.tidy(moment)
        return conversation

    def weighed(self, conversation: Conversation) -> None:
        """Note that a conversation has changed its size."""
        if id(conversation) in self._all:
            self.bytes += conversation.weigh()

    def tidy(self, moment: int) -> None:
        """Let go of what is too old or too much."""
        oldest, self._tidied = moment - self._lifetime, moment
        while self._all:
            conversation = next(iter(self._all.values()))
            if len(self._all) <= self._most and self.bytes <= self._most_bytes and conversation.touched > oldest:
                break
            if len(self._all) == 1 and len(self._all) <= self._most and conversation.touched > oldest:
                break  # one that is too large by itself stays until there is another
            self._drop(conversation)
        while self._by_response:
            ended = next(iter(self._by_response.values())).ended
            if len(self._by_response) <= self._most and self.bytes <= self._most_bytes and ended > oldest:
                break
            self._by_response.popitem(last=False)
            self.bytes -= _BYTES_OF_RESPONSE

    def _drop(self, conversation: Conversation) -> None:
        del self._all[id(conversation)]
        self.bytes -= conversation.cost
        conversation.cost = 0
        for key in conversation.keys:
            _leave(self._by_chain, key, conversation)
        conversation.keys = []
        if self._by_tail.get(conversation.tail_key) is conversation:
            del self._by_tail[conversation.tail_key]
        for identity in conversation.identities:
            _leave_identity(self._by_identity, identity, conversation)

    def _index(self, conversation: Conversation, fingerprint: Fingerprint, known: int) -> None:
        """Make a conversation that has grown from ``known`` entries findable."""
        chain, keys = fingerprint.chain, conversation.keys
        length = len(conversation)
        if known and known not in _IS_POSITION:
            _leave(self._by_chain, keys.pop(), conversation)  # where its end was
        for position in _POSITIONS[bisect_right(_POSITIONS, known) :]:
            if position > length:
                break
            keys.append(chain[position - 1])
            _join(self._by_chain, chain[position - 1], conversation)
        if length not in _IS_POSITION:
            keys.append(chain[length - 1])
            _join(self._by_chain, chain[length - 1], conversation)
        if self._by_tail.get(conversation.tail_key) is conversation:
            del self._by_tail[conversation.tail_key]
        canonicals = conversation.canonicals
        conversation.tail_key = hash((canonicals[-2] if length > 1 else 0, canonicals[-1]))
        self._by_tail[conversation.tail_key] = conversation

    def _identify(self, conversation: Conversation, identity: int) -> None:
        if identity in conversation.identities:
            conversation.identities.remove(identity)
            _leave_identity(self._by_identity, identity, conversation)
        elif len(conversation.identities) == _MOST_IDS:
            _leave_identity(self._by_identity, conversation.identities.pop(0), conversation)
        conversation.identities.append(identity)
        known = self._by_identity.setdefault(identity, [])
        known.append(conversation)
        if len(known) > _MOST_OF_ONE_ID:
            del known[0]


def _is_of_another_id(conversation: Conversation, fingerprint: Fingerprint) -> bool:
    """Whether a request with nothing new is no retry, but another chat that begins alike."""
    identity, identities = fingerprint.setting.identity, conversation.identities
    return bool(identity and identities) and identity not in identities


def _shared(conversation: Conversation, fingerprint: Fingerprint, known: int) -> int:
    """How many entries both have in common from their beginnings on, of which ``known`` are known to be."""
    raws, others = conversation.raws, fingerprint.raws
    most = min(len(raws), len(others))
    while known < most and raws[known] == others[known]:
        known += 1
    return known


def _join(table: dict[int, Conversation | list[Conversation]], key: int, conversation: Conversation) -> None:
    known = table.get(key)
    if known is None:
        table[key] = conversation
    elif type(known) is Conversation:
        table[key] = [known, conversation]
    elif type(known) is list:
        known.append(conversation)
        if len(known) > MOST_ALIKE:
            del known[0]


def _leave(table: dict[int, Conversation | list[Conversation]], key: int, conversation: Conversation) -> None:
    known = table.get(key)
    if known is conversation:
        del table[key]
    elif type(known) is list and conversation in known:
        known.remove(conversation)
        if len(known) == 1:
            table[key] = known[0]


def _leave_identity(table: dict[int, list[Conversation]], identity: int, conversation: Conversation) -> None:
    known = table.get(identity)
    if known is not None:
        if conversation in known:
            known.remove(conversation)
        if not known:
            del table[identity]

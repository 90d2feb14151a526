"""What differs between a request and the one that it continues: the first difference, in prompt order."""

from collections.abc import Sequence

from msgspec import Struct

from .. import conventions as names
from ..wire.fingerprint import Fingerprint, Part, Setting
from ..wire.prompt import COMPACTION, REASONING
from .conversations import Baseline, Conversation, is_output
from .predecessor import Predecessor

_SHRUNK = 0.5
"""What share of its bytes a conversation must have lost to count as compacted."""


class Change(Struct, frozen=True, gc=False):
    """One difference, and what it leaves of the earlier prompt."""

    reason: str
    section: str
    position: int | None
    kept: float
    """The share of the earlier prompt that stands before it, by bytes."""


def change(predecessor: Predecessor, baseline: Baseline, fingerprint: Fingerprint) -> Change | None:
    """The first difference between a request's prompt and its baseline's: model, tools, system, messages."""
    old, new = baseline.setting, fingerprint.setting
    if old.model != new.model:
        return Change(names.MODEL_CHANGED, names.SECTION_MODEL, None, 0.0)
    head = old.tools.size + (old.system.size if new.system.size else 0)
    whole = max(old.tools.size + old.system.size + baseline.size, 1)
    if old.tools.raw != new.tools.raw:
        reason, index = _change_of_tools(old.tools, new.tools)
        return Change(reason, names.SECTION_TOOLS, index, sum(old.tools.sizes[:index]) / whole)
    if old.system.raw != new.system.raw and not _is_left_to_the_server(fingerprint):
        same = bool(old.system.canonicals) and old.system.canonicals == new.system.canonicals
        reason = names.SERIALIZATION_CHANGED if same else names.SYSTEM_CHANGED
        return Change(reason, names.SECTION_SYSTEM, None, old.tools.size / whole)
    match = predecessor.match
    if match is not None and match.shared >= baseline.length and not predecessor.edited and not baseline.reasoned:
        return None  # as nearly always
    found = _change_of_messages(predecessor, baseline, fingerprint)
    if found is None:
        return None
    reason, place = found
    kept = 0.0
    if predecessor.match is not None and place < baseline.length and reason != names.REASONING_DROPPED:
        kept = (head + predecessor.match.conversation.size(0, place)) / whole
    return Change(reason, names.SECTION_MESSAGES, fingerprint.offset + place, kept)


def changed_parameters(old: Setting, new: Setting) -> bool:
    """Whether parameters changed that may stand before the conversation in the prompt."""
    return old.parameters != new.parameters


def _is_left_to_the_server(fingerprint: Fingerprint) -> bool:
    """Whether the system stays what it was: it may be on the server (with a response's id) or within a compaction."""
    if fingerprint.setting.system.size:
        return False
    return bool(fingerprint.previous) or (len(fingerprint) > 0 and fingerprint.kind(0) == COMPACTION)


def _change_of_tools(old: Part, new: Part) -> tuple[str, int]:
    if old.canonicals == new.canonicals and old.canonicals:
        return names.SERIALIZATION_CHANGED, _first_difference(old.raws, new.raws)
    index = _first_difference(old.canonicals, new.canonicals)
    if sorted(old.canonicals) == sorted(new.canonicals):
        return names.TOOLS_REORDERED, index
    return names.TOOLS_CHANGED, index


def _first_difference(old: Sequence[int], new: Sequence[int]) -> int:
    for index, (one, other) in enumerate(zip(old, new, strict=False)):
        if one != other:
            return index
    return min(len(old), len(new)) if len(old) != len(new) else 0


def _change_of_messages(
    predecessor: Predecessor, baseline: Baseline, fingerprint: Fingerprint
) -> tuple[str, int] | None:
    """Why and from which entry on the chain differs."""
    if predecessor.match is not None:
        conversation, same_bytes = predecessor.match.conversation, predecessor.match.shared
        if same_bytes < min(predecessor.shared, baseline.length):  # other bytes that mean the same
            return _rewritten(conversation, same_bytes, fingerprint), same_bytes
        if predecessor.edited:
            return _edited(conversation, predecessor.shared, baseline.length, fingerprint), predecessor.shared
    if baseline.reasoned and not fingerprint.previous:
        answer = []
        for entry in fingerprint.tail(baseline.length):
            if not is_output(entry.kind):
                break
            answer.append(entry)
        if answer and not any(entry.reasoned for entry in answer):
            return names.REASONING_DROPPED, baseline.length
    return None


def _rewritten(conversation: Conversation, place: int, fingerprint: Fingerprint) -> str:
    dropped = conversation.reasoned(place) and not fingerprint.entry(place).reasoned
    return names.REASONING_DROPPED if dropped else names.SERIALIZATION_CHANGED


def _edited(conversation: Conversation, place: int, count: int, fingerprint: Fingerprint) -> str:
    """What was done to a conversation that goes on with other entries from ``place`` on."""
    old = conversation.canonicals[place:count].tolist()
    entries = fingerprint.tail(place)
    new = [entry.canonical for entry in entries]
    if place < len(fingerprint):
        entries[0] = fingerprint.entry(place)
        new[0] = entries[0].canonical
    if any(entry.kind == COMPACTION and entry.canonical not in old for entry in entries):
        return names.COMPACTED
    if conversation.kind(place) == REASONING and entries and entries[0].kind != REASONING:
        without = [canonical for at, canonical in enumerate(old, place) if conversation.kind(at) != REASONING]
        if without[:1] == new[:1]:
            return names.REASONING_DROPPED
    sent, sends = conversation.raws[place:count].tolist(), fingerprint.raws[place:]
    cut = _cut(sent, sends) or _cut(old, new) or (count - place if _is_answer(conversation, fingerprint, place) else 0)
    if any(is_output(conversation.kind(gone)) for gone in range(place, place + cut)):
        return names.HISTORY_TRUNCATED
    if len(new) < len(old) and fingerprint.size(place) < _SHRUNK * conversation.size(place, count):
        return names.COMPACTED
    return names.HISTORY_EDITED


def _cut(old: list[int], new: list[int]) -> int:
    """How many of the old entries are gone, where the new ones begin with the rest of them."""
    for start in range(1, len(old)):
        if old[start:] == new[: len(old) - start]:
            return start
    return 0


def _is_answer(conversation: Conversation, fingerprint: Fingerprint, place: int) -> bool:
    """Whether the answer to the baseline stands at ``place``, and so all before it is gone."""
    return any(mark in conversation.marks for mark in fingerprint.marks_at(place))

"""A prompt as keyed digests, in prompt order: by them two prompts are compared, and nothing can be read from them.

Theory. A prompt is a *head* (model, tools, system), which all conversations of an application may share, and a *chain*
of entries, which is the conversation. The head's parts are digested whole and looked at closely once for each that is
new. Each entry has a digest of its bytes as sent (raw) and, read only where it decides something, one of what it
means (canonical): without white space, escapes, the order of keys, and reasoning. ``chain[i]`` stands for the entries
up to and with ``i``.

Digests are Python's own 64-bit SipHash over a random key and the content: keyed twice, and ten times as fast as what is
made to withstand more. They never leave the process, and whoever could read them here could read the prompts as well.
"""

import secrets
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

import msgspec
from msgspec import Struct

from .leniency import made_strict
from .prompt import COMPACTION, INPUT, OUTPUT, REASONING, kind, kind_of
from .request_body import ABSENT, RequestBody

_KEY = secrets.token_bytes(16)
MOST_READ = 12
"""Entries that are read closely at once. Of more, as when a process starts with a long conversation, the others are
when they come again."""
_MOST_PARTS = 512
_NOTHING = 0
_CANONICAL = 0xFFFFFFFF  # half a digest is enough to compare entries at one place, and half the memory
_REASONING = ("reasoning_content", "reasoning", "reasoning_details")
_OF_TEXT = frozenset({"type", "text"})
_THINKING = frozenset({"thinking", "redacted_thinking"})
_CHOICES_BY_DEFAULT = (None, "auto", {"type": "auto"})

_decode = msgspec.json.Decoder().decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_encode = msgspec.json.Encoder(order="deterministic").encode


def digest(content: bytes | msgspec.Raw) -> int:
    """The keyed digest of bytes."""
    return hash(_KEY + content)


def digest_of_text(text: str) -> int:
    """The keyed digest of a text."""
    return hash(_KEY + text.encode("utf-8", "surrogatepass"))


class Part(Struct, frozen=True, gc=False):
    """Tools or system of a prompt: digests of the whole, and of each element."""

    raw: int
    size: int
    """Bytes."""
    raws: tuple[int, ...]
    canonicals: tuple[int, ...]
    sizes: tuple[int, ...]


NO_PART = Part(_NOTHING, 0, (), (), ())


class Setting(Struct, frozen=True, gc=False):
    """All of a request that its conversation may share with others."""

    model: str | None
    tools: Part
    system: Part
    parameters: int
    identity: int
    """Digest of the conversation id; 0 where there is none."""
    route: int
    """The same, where it is in a carrier that routes the call."""
    credentials: int
    endpoint: tuple[str, int]


class _Plain(Struct, forbid_unknown_fields=True, gc=False):
    """What nearly all messages are."""

    role: str
    content: str


_decode_plain = msgspec.json.Decoder(_Plain).decode


class Entry(Struct, frozen=True, gc=False):
    """One entry, read closely."""

    canonical: int
    kind: int
    reasoned: bool
    """Whether it holds reasoning, which the canonical digest leaves out."""


_UNREAD = Entry(_NOTHING, _NOTHING, False)


class Fingerprint:
    """A request's prompt in digests. Keeps the body until ``forget``."""

    __slots__ = (
        "_entries",
        "_read",
        "chain",
        "continues",
        "ends",
        "is_of_items",
        "offset",
        "previous",
        "raws",
        "setting",
    )

    def __init__(
        self, body: RequestBody, entries: list[msgspec.Raw], setting: Setting, offset: int, *, continues: bool
    ) -> None:
        self.setting = setting
        self.continues = continues
        """Whether the prompt has earlier turns, or may have: it may be one that we cannot read."""
        self.offset = offset
        """How many entries of the system stand before the chain."""
        self.previous = digest_of_text(body.previous_response_id) if _is_text(body.previous_response_id) else _NOTHING
        """Digest of the id of the response that this one continues; 0 where there is none."""
        self._entries = entries[offset:] if offset else entries
        self._read: dict[int, Entry] = {}
        key = _KEY
        keyed = [key + entry for entry in self._entries]
        self.raws: list[int] = list(map(hash, keyed))
        self.ends: list[int] = list(accumulate(map(len, keyed)))
        """How many bytes there are up to the end of each entry, the key's before each included."""
        self.chain: list[int] = list(accumulate(self.raws, _linked))
        self.is_of_items = body.messages is None
        """Whether it is one of Responses, which a next request may continue by the response's id."""

    def __len__(self) -> int:
        return len(self.raws)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} entries>"

    def size(self, start: int) -> int:
        """Bytes of the entries from ``start`` on."""
        ends = self.ends
        return (ends[-1] if ends else 0) - (ends[start - 1] if start else 0)

    def entry(self, index: int) -> Entry:
        """One entry of the chain, read closely."""
        known = self._read.get(index)
        if known is None:
            known = self._read[index] = read_entry(self._entries[index])
        return known

    def tail(self, start: int) -> list[Entry]:
        """The entries from ``start`` on; of the many that a prompt unseen so far may have, the last read closely."""
        stop = len(self)
        bound = stop - MOST_READ
        if start >= bound:
            return [self.entry(index) for index in range(start, stop)]
        return [_UNREAD] * (bound - start) + [self.entry(index) for index in range(bound, stop)]

    def kind(self, index: int) -> int:
        """Of which kind an entry of the chain is."""
        known = self._read.get(index)
        return kind_of(self._entries[index]) if known is None else known.kind

    def marks(self, start: int) -> set[int]:
        """By what an answer would be known among the entries from ``start`` on."""
        found: set[int] = set()
        for entry in self._entries[start:][-MOST_READ:]:
            found.update(marks_of(_decoded(entry)))
        return found

    def marks_at(self, index: int) -> list[int]:
        """By what an answer would be known in one entry."""
        return marks_of(_decoded(self._entries[index])) if index < len(self) else []

    def has_compaction(self) -> bool:
        """Whether a compaction item stands at the beginning of the prompt, or not far behind it."""
        return self.is_of_items and any(kind_of(entry) == COMPACTION for entry in self._entries[:MOST_READ])

    def forget(self) -> None:
        """Let go of the body, of which only the digests are needed from here on."""
        self._entries = []


class Fingerprinter:
    """Makes the settings of fingerprints, and remembers the parts that it has met."""

    def __init__(self) -> None:
        self._parts: dict[int, Part] = {}

    def setting(
        self,
        body: RequestBody,
        leading: list[msgspec.Raw],
        identity: str | None,
        route: str | None,
        credentials: bytes,
        endpoint: tuple[str, int],
    ) -> Setting:
        """All of a request but its conversation; ``leading`` are the entries of the system that come first."""
        if body.system is not ABSENT or body.instructions is not ABSENT:
            leading = [part for part in (body.system, body.instructions) if _is_there(part)] + leading
        key = _KEY
        digest_of_id = hash(key + identity.encode()) if identity else _NOTHING
        return Setting(
            body.model if type(body.model) is str else None,
            self._tools(body.tools) if _is_there(body.tools) else NO_PART,
            self._part(leading) if leading else NO_PART,
            _parameters(body),
            digest_of_id,
            digest_of_id if route == identity else digest_of_text(route) if route else _NOTHING,
            hash(key + credentials) if credentials else _NOTHING,
            endpoint,
        )

    def _tools(self, tools: msgspec.Raw) -> Part:
        whole = digest(tools)
        part = self._parts.get(whole)
        if part is None:
            try:
                elements = _decode_list(tools)
            except (msgspec.MsgspecError, UnicodeError, RecursionError):
                elements = [tools]
            part = self._keep(whole, _part(whole, elements) if elements else NO_PART)
        return part

    def _part(self, elements: list[msgspec.Raw]) -> Part:
        whole = digest(elements[0]) if len(elements) == 1 else hash(tuple([digest(element) for element in elements]))
        part = self._parts.get(whole)
        return self._keep(whole, _part(whole, elements)) if part is None else part

    def _keep(self, whole: int, part: Part) -> Part:
        if len(self._parts) >= _MOST_PARTS:  # the oldest half goes, which is dearer than one and comes once in a while
            for old in list(self._parts)[: _MOST_PARTS // 2]:
                self._parts.pop(old, None)
        self._parts[whole] = part
        return part


def _part(whole: int, elements: list[msgspec.Raw]) -> Part:
    sizes = tuple([len(bytes(element)) for element in elements])
    return Part(
        whole,
        sum(sizes),
        tuple([digest(element) for element in elements]),
        tuple([_canonical(_decoded(element)) for element in elements]),
        sizes,
    )


def _linked(link: int, raw: int) -> int:
    return hash((link, raw))


def _is_there(part: msgspec.Raw) -> bool:
    return part is not ABSENT and bytes(part) != b"null"


def _is_text(value: Any) -> bool:
    return type(value) is str and bool(value)


def _parameters(body: RequestBody) -> int:
    """Digest of the fields that may stand before the conversation in the prompt; what is the default is absent."""
    text, reasoning = body.text, body.reasoning
    if (
        text is None
        and reasoning is None
        and body.response_format is None
        and body.reasoning_effort is None
        and body.tool_choice is None
    ):
        return _NOTHING  # as in most requests
    format_ = body.response_format or (text.get("format") if type(text) is dict else None)
    effort = body.reasoning_effort or (reasoning.get("effort") if type(reasoning) is dict else None)
    choice = body.tool_choice
    if format_ == {"type": "text"}:
        format_ = None
    if choice in _CHOICES_BY_DEFAULT:
        choice = None
    if format_ is None and effort is None and choice is None:
        return _NOTHING
    return digest(_encode((format_, effort, choice)))


def read_entry(entry: msgspec.Raw) -> Entry:
    """Read one entry closely."""
    try:
        plain = _decode_plain(entry)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        value = _decoded(entry)
    else:
        return Entry(_digest_of_message(plain.role, plain.content), kind(plain.role, None), False)
    if type(value) is not dict:
        return Entry(_canonical(value), INPUT, False)
    kind_ = kind(value.get("role"), value.get("type"))
    reasoned = kind_ == REASONING
    if kind_ == OUTPUT:
        for name in _REASONING:
            reasoned = bool(value.pop(name, None)) or reasoned
        content = value.get("content")
        if type(content) is list:
            kept = [block for block in content if type(block) is not dict or str(block.get("type")) not in _THINKING]
            reasoned = reasoned or len(kept) < len(content)
            value["content"] = kept
    return Entry(_canonical(value), kind_, reasoned)


def _digest_of_message(role: str, content: str) -> int:
    return hash((role, _KEY + content.encode("utf-8", "surrogatepass"))) & _CANONICAL


def _canonical(value: Any) -> int:
    """Digest of what a value means: whatever else has the same keys and values has the same."""
    if type(value) is dict:
        if value.get("type") == "message":
            del value["type"]
        arguments = value.get("arguments")
        if type(arguments) is str:
            value["arguments"] = _parsed(arguments)
        calls = value.get("tool_calls")
        if type(calls) is list:
            for call in calls:
                function = call.get("function") if type(call) is dict else None
                if type(function) is dict and type(function.get("arguments")) is str:
                    function["arguments"] = _parsed(function["arguments"])
        for name in [name for name, member in value.items() if member is None]:
            del value[name]  # null is as good as absent
        content = value.get("content")
        if type(content) is list and len(content) == 1 and type(content[0]) is dict:
            text = content[0].get("text")
            if type(text) is str and not content[0].keys() - _OF_TEXT:
                value["content"] = content = text  # a text alone, however it is wrapped
        if len(value) == 2 and type(content) is str and type(value.get("role")) is str:
            return _digest_of_message(value["role"], content)
    try:
        return digest(_encode(value)) & _CANONICAL
    except (TypeError, ValueError, UnicodeError, RecursionError):
        return _NOTHING


def _parsed(arguments: str) -> Any:
    """The arguments of a tool call, which are JSON within a string."""
    try:
        return _decode(arguments)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return arguments


def _decoded(entry: msgspec.Raw) -> Any:
    try:
        return _decode(entry)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        strict = made_strict(bytes(entry))
    try:
        return None if strict is None else _decode(strict)
    except (msgspec.MsgspecError, RecursionError):
        return None


def marks_of(value: Any) -> list[int]:
    """By what an answer is known when it is sent back: digests of its texts, and of the ids of its tool calls."""
    marks: list[int] = []
    if isinstance(value, Mapping):
        _mark(value.get("content"), marks)
        for name in ("call_id", "tool_call_id", "tool_use_id"):
            _mark(value.get(name), marks)
        calls = value.get("tool_calls")
        for call in calls if type(calls) is list else ():
            if isinstance(call, Mapping):
                _mark(call.get("id"), marks)
    return marks


def _mark(value: Any, marks: list[int]) -> None:
    if type(value) is str:
        if value:
            marks.append(digest_of_text(value))
    elif type(value) is list:
        for block in value:
            if isinstance(block, Mapping):
                _mark(block.get("text"), marks)
                if str(block.get("type")) in ("tool_use", "tool_result"):
                    _mark(block.get("id") or block.get("tool_use_id"), marks)

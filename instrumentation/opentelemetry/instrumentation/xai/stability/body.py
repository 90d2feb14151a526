"""A request body that may be looked at: read leniently, laid out in the parts of its prompt, and written anew.

Written anew, a message is the same bytes whichever way its JSON was put: white space, escapes and the order of keys do
not reach the model. Tools stay as they were sent, and so do the arguments of tool calls: there, such things may.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import msgspec

from .. import conventions as names
from ..wire.prompt import OUTPUT, REASONING, SYSTEM, kind

CHAT: Final = "/v1/chat/completions"
RESPONSES: Final = "/v1/responses"
MESSAGES: Final = "/v1/messages"
_OUTPUTS = frozenset({OUTPUT, REASONING})
_SYSTEMS = ("system", "instructions")
_FIRST = {
    name: place for place, name in enumerate(("type", "role", "id", "call_id", "tool_call_id", "name", "content"))
}
_scan = json.JSONDecoder().raw_decode


@dataclass(frozen=True)
class Part:
    """One part of a prompt: the model, a tool, a message, ..."""

    section: str
    name: str
    """Where it stands in the body: ``messages[3]``."""
    role: str
    text: str

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.text.encode("utf-8", "surrogatepass"))


@dataclass(frozen=True)
class Body:
    """A request's body, decoded."""

    content: bytes
    document: dict[str, Any]
    path: str

    @classmethod
    def read(cls, content: bytes, path: str | None = None) -> "Body":
        """Read a body; raises ``ValueError`` for one without a prompt. The endpoint is guessed unless it is given."""
        try:
            text = content.decode(json.detect_encoding(content), "surrogatepass")
            document = json.loads(text, parse_constant=lambda _: None)
        except json.JSONDecodeError as error:
            raise ValueError(f"not JSON (line {error.lineno}, column {error.colno}: {error.msg})") from None
        except UnicodeDecodeError:
            raise ValueError("not JSON (and no text in UTF-8 either)") from None
        except RecursionError:
            raise ValueError("JSON that is nested too deeply") from None
        if not isinstance(document, dict):
            raise ValueError("not a request body, which is a JSON object")  # noqa: TRY004  its content, not its type
        has_prompt = isinstance(document.get("messages"), list) or isinstance(document.get("input"), (list, str))
        if not has_prompt:
            raise ValueError('not a request body: there is no prompt in it, neither "messages" nor "input"')
        if not (document.get("messages") or document.get("input")):
            raise ValueError("a request body whose prompt is empty")
        return cls(text.encode("utf-8", "surrogatepass"), document, path or _path_of(document))

    @property
    def array(self) -> str:
        """The field that has the conversation."""
        return "messages" if isinstance(self.document.get("messages"), list) else "input"

    @cached_property
    def entries(self) -> list[Any]:
        """The conversation's entries, written anew."""
        given = self.document[self.array]
        return [_entry(value) for value in ([{"role": "user", "content": given}] if isinstance(given, str) else given)]

    @cached_property
    def offset(self) -> int:
        """How many of the entries are the system prompt, which stands before the conversation."""
        return next((place for place, entry in enumerate(self.entries) if _kind(entry) != SYSTEM), len(self.entries))

    @property
    def rounds(self) -> int:
        """How often the model has spoken."""
        return sum(1 for place in range(len(self.entries)) if self._begins_round(place))

    def end_of(self, rounds: int) -> int:
        """How many entries there are before the model speaks once more than so often."""
        begun = [place for place in range(len(self.entries)) if self._begins_round(place)]
        return begun[rounds] if rounds < len(begun) else len(self.entries)

    @property
    def cache_key(self) -> str | None:
        """The conversation id that the body states."""
        key = self.document.get("prompt_cache_key")
        return key if isinstance(key, str) and key else None

    @property
    def identity(self) -> Part:
        """The same as a part, though it is not in the prompt."""
        return Part("", "prompt_cache_key", "", self.cache_key or "")

    @property
    def previous(self) -> str | None:
        """The id of the response that it continues."""
        previous = self.document.get("previous_response_id")
        return previous if isinstance(previous, str) and previous else None

    def written(self, without: Collection[str] = (), stop: int | None = None) -> bytes:
        """The body anew, without some fields, and with the conversation's first ``stop`` entries alone."""
        fields = {name: value for name, value in self.document.items() if name not in without}
        fields[self.array] = self.entries[:stop]
        fields.update({name: _normal(fields[name]) for name in _SYSTEMS if name in fields})
        raw = {name: msgspec.Raw(_bytes(value)) for name, value in fields.items()}
        if "tools" in raw:
            raw["tools"] = msgspec.Raw(self._sent["tools"].encode("utf-8", "replace"))
        return msgspec.json.encode(raw)

    @cached_property
    def parts(self) -> list[Part]:
        """All that counts for the cache, in the order of the prompt."""
        parts = [Part(names.SECTION_MODEL, "model", "", str(self.document.get("model", "")))]
        parts += [
            Part(names.SECTION_TOOLS, f"tools[{place}]", _name_of(text), text)
            for place, text in enumerate(self._texts_of_tools)
        ]
        parts += [
            Part(names.SECTION_SYSTEM, name, "", _text(_normal(self.document[name])))
            for name in _SYSTEMS
            if self.document.get(name) is not None
        ]
        parts += [
            Part(
                names.SECTION_SYSTEM if place < self.offset else names.SECTION_MESSAGES,
                f"{self.array}[{place}]",
                _role_of(entry),
                _text(entry),
            )
            for place, entry in enumerate(self.entries)
        ]
        return parts

    def section(self, name: str) -> list[Part]:
        """The parts of one section."""
        return [part for part in self.parts if part.section == name]

    @property
    def parameters(self) -> Part:
        """The parameters that may stand before the conversation in the prompt."""
        document = self.document
        text, reasoning = document.get("text"), document.get("reasoning")
        found = {
            "response_format": document.get("response_format"),
            "text.format": text.get("format") if isinstance(text, dict) else None,
            "tool_choice": document.get("tool_choice"),
            "reasoning_effort": document.get("reasoning_effort"),
            "reasoning.effort": reasoning.get("effort") if isinstance(reasoning, dict) else None,
        }
        given = {name: value for name, value in found.items() if value is not None}
        return Part(names.SECTION_PARAMETERS, "parameters", "", _text(given))

    def first_rewritten(self, earlier: "Body") -> str | None:
        """The first entry that an earlier body has in other bytes that mean the same, if there is one."""
        pairs = zip(self._sent_entries, earlier._sent_entries, strict=False)  # noqa: SLF001  of the same class
        place = next((place for place, (mine, other) in enumerate(pairs) if mine != other), None)
        if place is None or self.entries[place] != earlier.entries[place]:
            return None
        return f"{self.array}[{place}]"

    @cached_property
    def _sent(self) -> dict[str, str]:
        """The fields as they were sent."""
        spans = _spans(self.content.decode("utf-8", "surrogatepass"))
        return {json.loads(name): value for name, value in zip(spans[::2], spans[1::2], strict=True)}

    @cached_property
    def _sent_entries(self) -> list[str]:
        return _spans(self._sent[self.array])

    @cached_property
    def _texts_of_tools(self) -> list[str]:
        return _spans(self._sent["tools"]) if isinstance(self.document.get("tools"), list) else []

    def _begins_round(self, place: int) -> bool:
        entries = self.entries
        return _kind(entries[place]) in _OUTPUTS and not (place and _kind(entries[place - 1]) in _OUTPUTS)


def _spans(text: str) -> list[str]:
    """What stands in a JSON array, or the names and values in an object, each as it is written; nothing for others."""
    text = text.strip()
    if text[:1] not in ("[", "{"):
        return []
    spans = []
    place = _after_gap(text, 1)
    while place < len(text) - 1:
        _, end = _scan(text, place)
        spans.append(text[place:end])
        place = _after_gap(text, end)
    return spans


def _after_gap(text: str, place: int) -> int:
    """Where the next value begins, behind white space, a comma or a colon."""
    while text[place] in " \t\r\n,:":
        place += 1
    return place


def _path_of(document: Mapping[str, Any]) -> str:
    """The endpoint that a body is most probably for."""
    if not isinstance(document.get("messages"), list):
        return RESPONSES
    return MESSAGES if "system" in document or "anthropic_version" in document else CHAT


def _kind(entry: Any) -> int:
    return kind(entry.get("role"), entry.get("type")) if isinstance(entry, dict) else kind(None, None)


def _role_of(entry: Any) -> str:
    found = (entry.get("role") or entry.get("type")) if isinstance(entry, dict) else None
    return found if isinstance(found, str) else ""


def _name_of(tool: str) -> str:
    """The name of a tool, or its type where it has none."""
    found = json.loads(tool)
    if not isinstance(found, dict):
        return ""
    function = found.get("function")
    name = function.get("name") if isinstance(function, dict) else found.get("name")
    return str(name or found.get("type") or "")


def _entry(value: Any) -> Any:
    """A message or item, written anew: what is null is as good as absent, and a message need not say that it is one."""
    if not isinstance(value, dict):
        return value
    kept = {name: member for name, member in value.items() if member is not None}
    if kept.get("type") == "message":
        del kept["type"]
    return _normal(kept)


def _normal(value: Any) -> Any:
    """A value with its keys in one order, but for the arguments of tool calls."""
    if isinstance(value, dict):
        sent = "input" if value.get("type") == "tool_use" else "arguments"
        ordered = sorted(value, key=lambda name: (_FIRST.get(name, len(_FIRST)), name))
        return {name: value[name] if name == sent else _normal(value[name]) for name in ordered}
    if isinstance(value, list):
        return [_normal(element) for element in value]
    return value


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _bytes(value: Any) -> bytes:
    return _text(value).encode("utf-8", "replace")  # half of a surrogate pair is no text, though JSON may have it

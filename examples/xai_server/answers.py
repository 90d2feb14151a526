"""What the model says: reasoning, text and tool calls, made from the prompt alone.

The same prompt always gets the same answer. Some words are not ASCII, so that
a chunk border can fall inside a character. How answers travel is not known here.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any

from xai_server.prompt import Prompt, answer_pieces
from xai_server.settings import ServerSettings
from xai_server.tokens import count_tokens, tokenize
from xai_server.trouble import Trouble

_WORDS = (
    "the cache keeps what it has seen and a prompt that begins alike is read faster than one "
    "which was changed near its start so café naïve 漢字 東京 🚀 ✨ stay whole on their way through "
    "every small chunk of this long stream"
).split()


@dataclass(frozen=True)
class ToolCall:
    """One call of a function that the client offered."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Answer:
    """One turn of the model, cut into the deltas in which it is streamed."""

    reasoning: tuple[str, ...]
    text: tuple[str, ...]
    call: ToolCall | None
    cut_short: bool

    @cached_property
    def reasoning_tokens(self) -> int:
        """Count the tokens of the reasoning."""
        return count_tokens("".join(self.reasoning))

    @cached_property
    def visible_tokens(self) -> int:
        """Count the tokens of everything but the reasoning."""
        call = count_tokens(self.call.name + self.call.arguments) if self.call else 0
        return count_tokens("".join(self.text)) + call

    def pieces(self) -> tuple[str, ...]:
        """Write the turn as part of the next prompt."""
        calls = [(self.call.name, self.call.arguments)] if self.call else []
        return answer_pieces("".join(self.reasoning), "".join(self.text), calls)


def is_reasoning(model: str) -> bool:
    """Tell whether a model thinks aloud first; all do, unless their name says otherwise."""
    return "non-reasoning" not in model


def make_answer(
    prompt: Prompt,
    model: str,
    tools: object,
    limit: int | None,
    settings: ServerSettings,
    trouble: Trouble,
) -> Answer:
    """Answer a prompt with at most `limit` visible tokens."""
    digest = blake2b("\x1f".join(prompt.pieces).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    chooser = random.Random(digest)
    thoughts = _sentence(chooser, settings.reasoning_words) if is_reasoning(model) else ""
    call = None
    text = ""
    if "use a tool" in prompt.last_user_text.lower():
        call = _call(tools, chooser)
    if call is None:
        text = _text(chooser, settings, trouble)
    deltas = tokenize(text) if trouble.events is None else _regroup(text, trouble.events)
    cut_short = trouble.incomplete
    if limit is not None and count_tokens(text) > limit:
        deltas = tokenize(text)[:limit]
        cut_short = True
    return Answer(tuple(tokenize(thoughts)), tuple(deltas), call, cut_short)


def _text(chooser: random.Random, settings: ServerSettings, trouble: Trouble) -> str:
    if trouble.answer_bytes is not None:
        return _exactly(_sentence(chooser, len(_WORDS)) + " ", trouble.answer_bytes)
    words = settings.answer_words
    if trouble.events is not None:
        words = max(words, trouble.events)
    return _sentence(chooser, words)


def _sentence(chooser: random.Random, words: int) -> str:
    # The second word is always one that takes more than one byte a character.
    chosen = chooser.choices(_WORDS, k=words)
    if words > 1:
        chosen[1] = chooser.choice(("café", "漢字", "🚀"))
    return " ".join(chosen)


def _exactly(pattern: str, size: int) -> str:
    repeated = pattern * (size // len(pattern.encode()) + 1)
    text = repeated.encode()[:size].decode(errors="ignore")
    return text + "." * (size - len(text.encode()))


def _regroup(text: str, parts: int) -> list[str]:
    # An empty delta would not count as one, hence the fill-in for texts that are too short.
    text += "." * (parts - len(text))
    size, longer = divmod(len(text), parts)
    deltas = []
    start = 0
    for part in range(parts):
        end = start + size + (part < longer)
        deltas.append(text[start:end])
        start = end
    return deltas


def _call(tools: object, chooser: random.Random) -> ToolCall | None:
    for tool in tools if isinstance(tools, list) else []:
        if not isinstance(tool, dict) or tool.get("type", "function") not in ("function", "custom"):
            continue
        # Chat nests the function, Responses and Messages do not.
        function: dict[str, Any] = tool.get("function") or tool
        schema = function.get("parameters") or function.get("input_schema") or {}
        names = list(schema.get("properties") or {})[:1]
        arguments = json.dumps(dict.fromkeys(names, "café 漢字"), ensure_ascii=False, separators=(",", ":"))
        return ToolCall(f"call_{chooser.getrandbits(64):016x}", str(function.get("name")), arguments)
    return None

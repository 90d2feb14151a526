"""One generation: the facts about it that every API reports in its own words.

Also here: the troubles with usage, which are the same for all of them.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

from xai_server.answers import Answer
from xai_server.prices import cost_in_usd_ticks
from xai_server.prompt import JSON, Prompt
from xai_server.trouble import Trouble


def new_id() -> str:
    """Make an id; xAI's are bare UUIDs."""
    return str(uuid.uuid4())


@dataclass(frozen=True)
class Generation:
    """What went in, what came out, and what it cost."""

    model: str
    prompt: Prompt
    answer: Answer
    input_tokens: int
    cached_tokens: int
    trouble: Trouble
    choices: int = 1
    id: str = field(default_factory=new_id)
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def reasoning_tokens(self) -> int:
        """Count the reasoning of all choices."""
        return self.choices * self.answer.reasoning_tokens

    @property
    def visible_tokens(self) -> int:
        """Count what the user gets to see, in all choices."""
        return self.choices * self.answer.visible_tokens

    @property
    def ticks(self) -> int:
        """Give the cost of the request."""
        output = self.visible_tokens + self.reasoning_tokens
        return cost_in_usd_ticks(self.model, self.input_tokens, self.cached_tokens, output)


@dataclass(frozen=True)
class RecordedAnswer:
    """An answer as it was given: where, in which conversation, and whether usage was to go with it."""

    path: str
    conversation: str
    generation: Generation
    usage_sent: bool


def usage_field(usage: JSON, trouble: Trouble) -> JSON:
    """Make the `usage` field of an object, or whatever is to stand in its place."""
    if trouble.usage == "none":
        return {}
    if trouble.usage == "null":
        return {"usage": None}
    if trouble.usage == "wrong_types":
        return {"usage": _mistyped(usage, cycle(("many", None, 1.5, [7], {"n": 1}, True, -1)))}
    return {"usage": usage}


def _mistyped(usage: JSON, odd: Iterator[Any]) -> JSON:
    return {key: _mistyped(value, odd) if isinstance(value, dict) else next(odd) for key, value in usage.items()}

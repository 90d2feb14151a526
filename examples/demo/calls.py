"""The calls: what a span says about one call to xAI, as far as the screen wants to know.

Everything comes from the span's attributes, by the names under which a tracing backend would find them too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor


@dataclass(frozen=True)
class Call:
    """One call; ``None`` where the span does not say."""

    ended: datetime
    model: str
    conversation: str | None
    input_tokens: int | None
    cached_tokens: int | None
    first_token_s: float | None
    first_answer_s: float | None
    cost_usd: float | None
    problems: tuple[str, ...]
    lost_tokens: int | None
    reason: str | None
    cause: str | None
    error: str | None

    @property
    def why(self) -> str:
        """Give the reason for which tokens were lost, else what is wrong with the conversation id."""
        return (self.reason or "") if self.lost_tokens else ", ".join(self.problems)

    @property
    def cached_share(self) -> float | None:
        """Give the part of the input that came from the cache."""
        if self.cached_tokens is None or not self.input_tokens:
            return None
        return self.cached_tokens / self.input_tokens


def call_of(span: ReadableSpan) -> Call:
    """Read a span that has ended."""
    said: Mapping[str, Any] = span.attributes or {}
    return Call(
        ended=datetime.fromtimestamp((span.end_time or 0) / 1e9, tz=timezone.utc).astimezone(),
        model=said.get("gen_ai.response.model") or said.get("gen_ai.request.model", ""),
        conversation=said.get("gen_ai.conversation.id"),
        input_tokens=said.get("gen_ai.usage.input_tokens"),
        cached_tokens=said.get("gen_ai.usage.cache_read.input_tokens"),
        first_token_s=said.get("xai.response.time_to_first_token"),
        first_answer_s=said.get("xai.response.time_to_first_answer_token"),
        cost_usd=said.get("xai.response.cost_usd"),
        problems=tuple(said.get("xai.conversation.id.problems", ())),
        lost_tokens=said.get("xai.cache.lost_tokens"),
        reason=said.get("xai.cache.reason"),
        cause=said.get("xai.cache.cause"),
        error=said.get("error.type"),
    )


class Calls(SpanProcessor):
    """Hands each call to ``seen`` as its span ends: where your application has an exporter."""

    def __init__(self, seen: Callable[[Call], None]) -> None:
        self._seen = seen

    def on_end(self, span: ReadableSpan) -> None:
        if (span.attributes or {}).get("gen_ai.provider.name") == "x_ai":
            self._seen(call_of(span))

"""What can be set about the server: one frozen dataclass, nothing else.

How each value is used is the business of the file that reads it.
"""

from __future__ import annotations

from dataclasses import dataclass

from xai_server.trouble import parse_trouble


@dataclass(frozen=True)
class ServerSettings:
    """Everything that can be chosen before the server starts."""

    servers: int = 4
    """Virtual servers behind the address; each has a prompt cache of its own."""

    block: int = 128
    """Tokens to a cache block; only whole blocks are ever found again."""

    minimum_tokens: int = 1024
    """A shorter match than this counts as none."""

    capacity: int = 100_000
    """Blocks that one virtual server remembers; the least recently used go first."""

    noise: bool = False
    """Let a cold call report 0 or one block of cached tokens, as has been seen."""

    seed: int = 0
    """Seed of the balancer, which matters to requests without a conversation id."""

    answer_words: int = 20
    reasoning_words: int = 10

    prefill_s_per_1k_tokens: float = 0.0
    """Seconds spent on a thousand prompt tokens that were not cached."""

    event_gap_s: float = 0.0
    """Seconds before each piece of reasoning or answer."""

    messages_input_includes_cached: bool = False
    """Whether `input_tokens` of /v1/messages holds the cached ones; xAI does not say."""

    trouble: str = ""
    """Switches for every request, written like the `x-trouble` header."""

    stored_responses: int = 1000
    recorded_requests: int = 1000
    body_limit: int = 64 * 1024 * 1024

    def __post_init__(self) -> None:
        """Refuse values that could only fail later, and further from their cause."""
        if min(self.servers, self.block, self.capacity) < 1:
            raise ValueError("servers, block and capacity must be at least 1")
        if min(self.stored_responses, self.recorded_requests, self.body_limit) < 1:
            raise ValueError("stored_responses, recorded_requests and body_limit must be at least 1")
        if min(self.minimum_tokens, self.answer_words, self.reasoning_words) < 0:
            raise ValueError("minimum_tokens, answer_words and reasoning_words must not be negative")
        if min(self.prefill_s_per_1k_tokens, self.event_gap_s) < 0:
            raise ValueError("prefill_s_per_1k_tokens and event_gap_s must not be negative")
        parse_trouble(self.trouble)

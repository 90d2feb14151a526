"""The nouns that all floors share: what is known of one exchange with xAI, and nothing that is secret.

Frozen throughout. They are ``msgspec`` structs because those are built in C: a frozen dataclass of this
size costs more than the rest of the bookkeeping of a call.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TypeAlias

from msgspec import Struct, structs

AttributeValue: TypeAlias = str | bool | int | float | Sequence[str]


class Ending(Enum):
    """How an exchange came to its end."""

    COMPLETE = "complete"
    HTTP_ERROR = "http_error"
    ERROR_EVENT = "error_event"
    FAILED = "failed"
    ABANDONED = "abandoned"

    @property
    def is_failure(self) -> bool:
        """Whether it is nobody's wish."""
        return self in {Ending.HTTP_ERROR, Ending.ERROR_EVENT, Ending.FAILED}


COMPLETE, HTTP_ERROR = Ending.COMPLETE, Ending.HTTP_ERROR
"""What is asked of every exchange: before Python 3.12 each look-up of a member costs a call."""


class Request(Struct, frozen=True):
    """What is known of a request when it is issued.

    ``parameters`` maps attribute names of the conventions to values; ``problems`` names what is wrong with
    the way the conversation id is sent.
    """

    operation: str
    host: str
    port: int
    model: str | None = None
    stream: bool = False
    parameters: Mapping[str, AttributeValue] = {}
    conversation_id: str | None = None
    conversation_id_source: str | None = None
    problems: tuple[str, ...] = ()
    resend_count: int = 0
    usage_unasked: bool = False
    """Whether it is a stream that reports usage only if asked to, and did not ask."""

    @property
    def title(self) -> str:
        """What a span of it is named."""
        return self.operation if self.model is None else f"{self.operation} {self.model}"


class Usage(Struct, frozen=True):
    """Tokens as the conventions count them: input includes cached, output includes reasoning.

    ``None`` means that xAI did not say; 0 means that it said 0. ``modalities`` splits the input by kind where
    xAI does. ``cost_ticks`` are ten-billionths of a US dollar.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost_ticks: int | None = None
    modalities: tuple[tuple[str, int], ...] = ()
    tools_on_server: bool = False
    """Whether tools ran on xAI's side: then input and cached are sums over several turns there."""
    context_tokens: int | None = None
    """Input of the last of those turns."""

    @property
    def prompt_tokens(self) -> int | None:
        """The prompt as a next request continues it."""
        return self.context_tokens if self.tools_on_server else self.input_tokens


class Timeline(Struct, frozen=True):
    """The moments of an exchange, in nanoseconds of one monotonic clock; ``None`` where one never came."""

    issued: int
    ended: int
    first_chunk: int | None = None
    first_reasoning_token: int | None = None
    first_answer_token: int | None = None


class Observation(Struct, frozen=True):
    """One exchange, whole: the request, how it ended, when, and what the answer said of itself."""

    request: Request
    timeline: Timeline
    ending: Ending
    streamed: bool = False
    error_type: str | None = None
    status_code: int | None = None
    usage: Usage | None = None
    response_id: str | None = None
    response_model: str | None = None
    finish_reasons: tuple[str, ...] = ()
    conversation_id: str | None = None
    request_id: str | None = None
    server_time_to_first_token: float | None = None
    unreadable: str | None = None
    reasoned: bool = False
    """Whether reasoning came with the answer, which a next request is to send back."""
    marks: tuple[int, ...] = ()
    """By what the answer is known when it is sent back: keyed digests."""
    is_final: bool = False
    """Whether nobody tries again: over gRPC, that is done within the call."""

    @property
    def answered(self) -> bool:
        """Whether the exchange brought an answer, whatever it said of its usage."""
        return bool(self.finish_reasons) or self.response_id is not None


class CacheVerdict(Struct, frozen=True):
    """Why the cache was used or not, of one exchange; ``lost`` and what was reused add up to ``potential``."""

    outcome: str
    reason: str | None = None
    cause: str | None = None
    confidence: str | None = None
    section: str | None = None
    index: int | None = None
    potential: int | None = None
    """Tokens that could have been read; ``None`` where the answer did not tell."""
    lost: int = 0
    repeated: bool = False
    idle_s: float | None = None
    """Seconds since the predecessor ended, where there is one."""

    def repeated_as(self, repeated: bool) -> "CacheVerdict":
        """The same, with whether its reason came before in the conversation."""
        return structs.replace(self, repeated=repeated)

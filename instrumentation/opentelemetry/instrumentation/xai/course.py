"""The course of an exchange, whatever carries it: when it was issued, what its answer said and when, how it ended.

It has no clock (moments are passed in, nanoseconds of any monotonic clock), no client library and no idea of spans.
What the answer says is taken as it comes; why it ended is decided once, in ``end``.
"""

from . import conventions as names
from .observation import HTTP_ERROR, Ending, Observation, Request, Timeline
from .wire.answer import Answer


class Course:
    """What the state machines of all exchanges have in common. Not thread-safe: one reader at a time."""

    __slots__ = (
        "_answer",
        "_first_answer_token",
        "_first_chunk",
        "_first_reasoning_token",
        "_issued",
        "_request",
        "_request_id",
        "_server_time_to_first_token",
        "_status_code",
        "_unreadable",
    )

    is_final = False
    """Whether an SDK would not try again."""

    def __init__(self, request: Request, issued: int) -> None:
        self._request = request
        self._issued = issued
        self._answer = Answer()
        self._status_code: int | None = None
        self._first_chunk: int | None = None
        self._first_reasoning_token: int | None = None
        self._first_answer_token: int | None = None
        self._request_id: str | None = None
        self._server_time_to_first_token: float | None = None
        self._unreadable: str | None = None

    @property
    def in_body(self) -> bool:
        """Whether the answer has begun."""
        raise NotImplementedError

    @property
    def streamed(self) -> bool:
        """Whether the answer is a stream."""
        raise NotImplementedError

    @property
    def terminated(self) -> bool:
        """Whether the stream's terminal event has come: nothing that follows matters."""
        return self._answer.terminal

    def give_up(self, reason: str) -> None:
        """Look at the answer no more: ``reason`` says in one word why it cannot be read."""
        self._unreadable = reason

    def end(self, ending: Ending, moment: int, error_type: str | None = None) -> Observation:
        """The whole exchange, now that it is over; ``error_type`` names the failure of a ``FAILED`` one."""
        answer = self._answer
        self._close(ending, moment)
        ending, error_type = self._judged(ending, error_type)
        return Observation(  # by position, which is far cheaper with so many
            self._request,
            Timeline(self._issued, moment, self._first_chunk, self._first_reasoning_token, self._first_answer_token),
            ending,
            self.streamed,
            error_type,
            self._status_code,
            answer.usage,
            answer.id,
            answer.model,
            self._finish_reasons(ending),
            answer.conversation_id,
            self._request_id,
            self._server_time_to_first_token,
            self._unread(),
            answer.returned_reasoning,
            tuple(answer.marks),
            self.is_final,
        )

    def _close(self, ending: Ending, moment: int) -> None:
        """Read what has not been read of an answer that is over."""

    def _unread(self) -> str | None:
        """Why the answer, or a part of it, was not read."""
        return self._unreadable

    def _judged(self, ending: Ending, error_type: str | None) -> tuple[Ending, str | None]:
        """How the exchange ended by the table of endings, now that all is known of it."""
        if self._answer.error:
            return Ending.ERROR_EVENT, names.ERROR_EVENT
        return ending, error_type

    def _note_tokens(self, moment: int) -> None:
        """Note that this is when first tokens came, if they just have."""
        answer = self._answer
        if answer.reasoned and self._first_reasoning_token is None:
            self._first_reasoning_token = moment
        if answer.answered and self._first_answer_token is None:
            self._first_answer_token = moment

    def _finish_reasons(self, ending: Ending) -> tuple[str, ...]:
        """What was sent, each at the index of its choice; ``error`` for a choice whose finish never came."""
        reasons = self._answer.finish_reasons
        if ending is HTTP_ERROR or not (any(reasons.values()) or self._is_broken(ending)):
            return ()
        last = max(reasons) if reasons else 0
        return tuple([reasons.get(index) or names.FINISH_ERROR for index in range(last + 1)])

    def _is_broken(self, ending: Ending) -> bool:
        """Whether an answer that had begun was broken off."""
        return ending in (Ending.ERROR_EVENT, Ending.ABANDONED) or (ending is Ending.FAILED and self.in_body)

"""One exchange over gRPC: messages, a status and moments in, an ``Observation`` out.

A message is whole and readable as it comes. A stream is over when its status says so, whether or not every choice has
told its finish: where tools run at xAI, the outputs on the way have none. How a call ended is what the status says.
"""

from typing import Any

from . import conventions as names
from .course import Course
from .observation import Ending, Request
from .wire.grpc_chat import GrpcMethod, settle_usage

_DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
_OF_TRANSPORT = frozenset({"CANCELLED", "UNKNOWN", "ABORTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})
"""Statuses of a stream that broke, beside those by which a server refuses to go on with it."""


class MessageExchange(Course):
    """The state machine of one exchange over gRPC."""

    __slots__ = ("_method",)

    is_final = True

    def __init__(self, request: Request, method: GrpcMethod, issued: int) -> None:
        super().__init__(request, issued)
        self._method = method

    @property
    def in_body(self) -> bool:
        """Whether a message has come."""
        return self._first_chunk is not None

    @property
    def streamed(self) -> bool:
        """Whether the method streams."""
        return self._method.streamed

    def message_received(self, message: Any, moment: int) -> None:
        """Take one message of the answer."""
        if self._unreadable is not None:
            return
        answer = self._answer
        if self._first_chunk is None:
            self._first_chunk = moment
        answer.news = False
        self._method.read_message(message, answer)
        if answer.news:
            self._note_tokens(moment)

    def refused(self) -> None:
        """Note that xAI gave a generation up which it had accepted."""
        self._answer.failed()

    def broken_by(self, status: str) -> str:
        """The name of the failure that a call with this status has."""
        if status == _DEADLINE_EXCEEDED:
            return names.TIMEOUT
        return names.STREAM_INTERRUPTED if self.in_body and status in _OF_TRANSPORT else status

    def _close(self, _ending: Ending, _moment: int) -> None:
        settle_usage(self._answer)

    def _finish_reasons(self, ending: Ending) -> tuple[str, ...]:
        if ending is not Ending.COMPLETE:
            return super()._finish_reasons(ending)
        return tuple([reason for _, reason in sorted(self._answer.finish_reasons.items()) if reason])

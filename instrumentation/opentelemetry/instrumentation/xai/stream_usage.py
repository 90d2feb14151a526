"""Usage on chat streams that do not ask for it: asked for in the application's stead, and hidden from it again.

With ``stream_usage=request`` the adapter sends another body than the application's (``Question.put``), and the event
that comes of it is taken out of the answer (``Hiding``) after we have seen it. Nothing is ever sent again: what a
server makes of the question shows in its answer, and is remembered for each server.

* An answer that is no stream of plain bytes has nothing to hide. A server that compresses though it was asked not to
  would show the application an event that it did not ask for, so that server is not asked again.
* A server that refuses (400 or 422) may mean the question or the request: the next such stream is not asked. If that is
  answered, it was the question, and the server is never asked again, which is logged; if not, it was the request.
* A server that once took the question does not lose that by a refusal.

A request with a digest or signature of its body is left alone.
"""

import logging
from collections.abc import Mapping
from enum import Enum
from typing import TypeAlias

from .guard import fault
from .observation import Request
from .wire.headers import Headers
from .wire.usage_event import UsageEvents
from .wire.usage_request import asking_for_usage

_logger = logging.getLogger(__name__)
_Server: TypeAlias = "tuple[str, int]"

_REFUSALS = (400, 422)
_MOST_SERVERS = 256
_SEALS = frozenset(
    (b"content-digest", b"content-md5", b"digest", b"repr-digest", b"signature", b"x-amz-content-sha256")
)


class _Attitude(Enum):
    """What a server made of the question, where that is known."""

    TAKES = "takes it"
    MAY_REFUSE = "refused one that was asked"
    REFUSES = "is not to be asked"


class Questions:
    """Whether and how to ask, by what is known of each server. One for each ``instrument()``."""

    def __init__(self) -> None:
        self._attitudes: dict[_Server, _Attitude] = {}

    def of(self, request: Request, headers: Headers, body: bytes | None) -> "Question | None":
        """The question of a request; ``None`` where there is none."""
        if not (request.usage_unasked and body) or any(name in _SEALS for name, _ in headers):
            return None
        return Question(self, (request.host, request.port), body)

    def attitude(self, server: _Server) -> _Attitude | None:
        """What is known of a server."""
        return self._attitudes.get(server)

    def learn(self, server: _Server, attitude: _Attitude | None) -> None:
        """Remember what a server made of the question; ``None`` forgets it."""
        if attitude is None:
            self._attitudes.pop(server, None)
        elif server in self._attitudes or len(self._attitudes) < _MOST_SERVERS:
            self._attitudes[server] = attitude


class Question:
    """The question for one stream's usage."""

    __slots__ = ("_asked", "_body", "_questions", "_server")

    def __init__(self, questions: Questions, server: _Server, body: bytes) -> None:
        self._questions = questions
        self._server = server
        self._body = body
        self._asked = False

    def put(self) -> bytes | None:
        """The body to send in place of the application's, or ``None`` if that is to be sent."""
        attitude = self._questions.attitude(self._server)
        if attitude in (None, _Attitude.TAKES):
            body = asking_for_usage(self._body)
            self._asked = body is not None
            return body
        return None

    def answered(self, status_code: int, headers: Mapping[bytes, bytes], *, may_stream: bool) -> "Hiding | None":
        """What is to hide the event from the application, if it may come."""
        self._learn(status_code)
        if not (self._asked and may_stream and status_code == 200):
            return None
        if headers.get(b"content-encoding", b"identity").strip().lower() not in (b"", b"identity"):
            self._give_up("compresses its streams though it was asked not to, so their usage cannot be hidden again")
            return None
        return Hiding()

    def _learn(self, status_code: int) -> None:
        attitude = self._questions.attitude(self._server)
        accepted, refused = status_code == 200, status_code in _REFUSALS
        if self._asked:
            if accepted and attitude is None:
                self._questions.learn(self._server, _Attitude.TAKES)
            elif refused and attitude is None:
                self._questions.learn(self._server, _Attitude.MAY_REFUSE)
        elif attitude is _Attitude.MAY_REFUSE:
            if accepted:
                self._give_up("answers chat streams, but refused one that was made to ask for usage")
            elif refused:
                self._questions.learn(self._server, None)

    def _give_up(self, why: str) -> None:
        self._questions.learn(self._server, _Attitude.REFUSES)
        _logger.warning("%s:%d %s: it is asked for usage no more (stream_usage=request).", *self._server, why)


class Hiding:
    """Hides the event that came of the question from the application. Never raises, and is idle after a fault.

    Adapters whose bodies do not pass a tap feed it what they have told the call, and hand on what it gives. They must
    not hand on nothing, which may look like the end: then they read on.
    """

    __slots__ = ("_events",)

    def __init__(self) -> None:
        self._events: UsageEvents | None = UsageEvents()

    def feed(self, chunk: bytes) -> bytes:
        """What the application gets of a chunk, and of what was held back before it; perhaps nothing."""
        events = self._events
        if events is None:
            return chunk
        held = events.held
        try:
            return events.feed(chunk)
        except Exception as error:
            self._events = None
            fault("Hiding.feed", error)
            return held + bytes(chunk)

    def close(self) -> bytes:
        """What the application still gets, now that the body is over or broken off; mostly nothing."""
        events, self._events = self._events, None
        if events is None:
            return b""
        held = events.held
        try:
            return events.close()
        except Exception as error:
            fault("Hiding.close", error)
            return held

    def whole(self, content: bytes) -> bytes:
        """What the application gets of a body that is there whole."""
        kept = self.feed(content)
        rest = self.close()
        return kept + rest if rest else kept

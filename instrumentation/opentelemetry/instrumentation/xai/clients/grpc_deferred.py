"""Deferred completions: started by one call, fetched by another, one exchange.

It lasts from the start to the poll that says it is done. Who stops polling tells nobody; so the SDK's own ``defer`` is
watched, and of those that are polled otherwise as many are kept as anybody may have under way.
"""

import inspect
from collections import OrderedDict
from contextvars import ContextVar
from typing import Any

from ..guard import guarded
from ..observer import ObservedMessages
from ..wire.grpc_chat import DONE, PENDING

_MOST = 1024


class Deferred:
    """The deferred completions that are under way."""

    def __init__(self) -> None:
        self._calls: OrderedDict[str, ObservedMessages] = OrderedDict()
        self._awaited: ContextVar[list[tuple[str, ObservedMessages]] | None] = ContextVar("xai-deferred", default=None)

    def start(self, call: ObservedMessages) -> "_Start":
        """Whom to tell of the call that starts one."""
        return _Start(self, call)

    def poll(self, request_id: str) -> "_Poll | None":
        """Whom to tell of a call that asks for one; ``None`` if we do not know it."""
        return _Poll(self, request_id) if request_id in self._calls else None

    @guarded
    def started(self, request_id: str, call: ObservedMessages) -> None:
        """A completion is under way."""
        call.sent()
        if not request_id:
            call.closed()
            return
        self._calls[request_id] = call
        awaited = self._awaited.get()
        if awaited is not None:
            awaited.append((request_id, call))
        while len(self._calls) > _MOST:
            self._calls.popitem(last=False)[1].closed()

    @guarded
    def polled(self, request_id: str, message: Any) -> None:
        """A poll was answered."""
        if message.status == PENDING:
            return
        call = self._calls.pop(request_id, None)
        if call is None:
            return
        if message.status == DONE:
            call.finished(message.response)
        else:
            call.refused()

    def end(self) -> None:
        """See none of them any more."""
        while self._calls:
            self._calls.popitem()[1].closed()

    def around_defer(self, original: Any) -> Any:
        """The wrapper of the SDK's methods that start one and poll until it is done, or until they give up."""
        if inspect.iscoroutinefunction(original):

            async def defer_async(*args: Any, **kwargs: Any) -> Any:
                awaited: list[tuple[str, ObservedMessages]] = []
                token = self._awaited.set(awaited)
                try:
                    return await original(*args, **kwargs)
                except BaseException as error:
                    self._gave_up(awaited, error)
                    raise
                finally:
                    self._awaited.reset(token)

            return defer_async

        def defer(*args: Any, **kwargs: Any) -> Any:
            awaited: list[tuple[str, ObservedMessages]] = []
            token = self._awaited.set(awaited)
            try:
                return original(*args, **kwargs)
            except BaseException as error:
                self._gave_up(awaited, error)
                raise
            finally:
                self._awaited.reset(token)

        return defer

    @guarded
    def _gave_up(self, awaited: list[tuple[str, ObservedMessages]], error: BaseException) -> None:
        for request_id, call in awaited:
            self._calls.pop(request_id, None)
            call.failed(error)


class _Start:
    """The call that starts a completion."""

    def __init__(self, deferred: Deferred, call: ObservedMessages) -> None:
        self._deferred = deferred
        self._call = call
        self._is_answered = False
        self.sent, self.failed = call.sent, call.failed

    def finished(self, message: Any = None) -> None:
        """It is under way."""
        self._is_answered = True
        self._deferred.started(getattr(message, "request_id", ""), self._call)

    def closed(self) -> None:
        """It was cancelled, unless it was answered before."""
        if not self._is_answered:
            self._call.closed()

    def forgotten(self) -> None:
        """Nobody awaits it any more, as when it was answered."""
        if not self._is_answered:
            self._call.forgotten()


class _Poll:
    """A call that asks for a completion. That it fails is no ending: it may be asked for again."""

    def __init__(self, deferred: Deferred, request_id: str) -> None:
        self._deferred = deferred
        self._request_id = request_id

    def sent(self) -> None:
        """Is of no interest."""

    closed = forgotten = sent

    def failed(self, error: BaseException) -> None:
        """Is of no interest either."""

    def finished(self, message: Any = None) -> None:
        """It was answered."""
        self._deferred.polled(self._request_id, message)

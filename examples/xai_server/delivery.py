"""How an answer gets onto the socket: its pace, its portions, and how it may break off.

Everything is written through ASGI messages. An answer that is cut returns without
its last message, which makes the server close the connection. What the bytes
mean is not known here.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from xai_server.coding import coder_for
from xai_server.sse import Event, Moment, frame
from xai_server.trouble import Trouble


class _BrokenOffError(Exception):
    """The answer ends here, incomplete."""


@dataclass(frozen=True)
class Pace:
    """When things happen, in seconds on the event loop's clock."""

    arrived: float
    prefill_s: float
    gap_s: float
    trouble: Trouble

    def empty(self) -> float:
        """Give the end of prefill: the moment of the first, empty event."""
        chosen = self.trouble.empty_at
        return self.arrived + (self.prefill_s if chosen is None else chosen / 1000)

    def following(self, event: Event, previous: float) -> float:
        """Give the moment of an event that comes after one at `previous`."""
        if not event.is_delta:
            return previous
        chosen = self.trouble.reasoning_at if event.moment is Moment.REASONING else self.trouble.answer_at
        # Only the first delta of its kind is held back by this; later ones are past it anyway.
        return max(previous + self.gap_s, self.arrived + (chosen or 0) / 1000)

    def whole(self, events: Sequence[Event]) -> tuple[float, float]:
        """Give the moments of the first delta and of the end, for an answer sent at once."""
        first, now = None, self.empty()
        for event in events:
            now = self.following(event, now)
            if first is None and event.is_delta:
                first = now
        return (now if first is None else first), now


class _Line:
    """The connection of one request: writes portions, and notices when the client leaves."""

    def __init__(self, receive: Receive, send: Send, split: int | None) -> None:
        self._receive = receive
        self._send = send
        self._split = split
        self._gone = asyncio.Event()
        self._watch = asyncio.ensure_future(self._watch_for_the_end())

    async def _watch_for_the_end(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone.set()

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def write(self, data: bytes) -> None:
        size = self._split or max(1, len(data))
        for start in range(0, len(data), size):
            await self._send({"type": "http.response.body", "body": data[start : start + size], "more_body": True})
            # Without a pause a long answer would keep all others waiting.
            await asyncio.sleep(0)
            if self._gone.is_set():
                raise _BrokenOffError

    async def finish(self) -> None:
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def sleep_until(self, moment: float) -> None:
        """Wait, but not for a client that has left."""
        seconds = moment - asyncio.get_running_loop().time()
        if seconds > 0:
            try:
                await asyncio.wait_for(self._gone.wait(), None if math.isinf(seconds) else seconds)
            except asyncio.TimeoutError:
                return
            raise _BrokenOffError

    async def hang(self) -> None:
        """Say nothing more until the client leaves."""
        await self.sleep_until(math.inf)

    def close(self) -> None:
        self._watch.cancel()


class Delivery(Response):
    """One answer under way; subclasses know whether it is a stream or a body."""

    def __init__(self, status: int, headers: Mapping[str, str], content_type: str, trouble: Trouble) -> None:
        super().__init__(status_code=status)
        self.trouble = trouble
        self.coder = coder_for(trouble.encoding)
        self.sent_headers = {**headers, "content-type": content_type}
        if trouble.encoding:
            self.sent_headers["content-encoding"] = trouble.encoding

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer, or as much of it as there is to be."""
        line = _Line(receive, send, self.trouble.split)
        try:
            if self.trouble.stall is not None:
                await line.sleep_until(asyncio.get_running_loop().time() + self.trouble.stall)
            await self.deliver(line)
            await line.finish()
        except _BrokenOffError:
            pass
        finally:
            line.close()

    async def deliver(self, line: _Line) -> None:
        """Send headers and body."""
        raise NotImplementedError


class BodyDelivery(Delivery):
    """An answer in one piece: errors, lists, and generations that are not streamed."""

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        content_type: str,
        body: bytes,
        trouble: Trouble,
        *,
        prefilled_at: float = 0.0,
        ready_at: float = 0.0,
        on_prefilled: Callable[[], None] = lambda: None,
        timing: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        super().__init__(status, headers, content_type, trouble)
        self._bytes = self.coder.encode(body, last=True) if body else b""
        self._prefilled_at = prefilled_at
        self._ready_at = ready_at
        self._on_prefilled = on_prefilled
        self._timing = timing

    async def deliver(self, line: _Line) -> None:
        """Wait until the answer is complete, then send all of it."""
        trouble = self.trouble
        await line.sleep_until(self._prefilled_at)
        self._on_prefilled()
        await line.sleep_until(self._ready_at)
        headers = {**self.sent_headers, **self._timing()}
        if trouble.split is None:
            # With a length, HTTP libraries would join the portions that `split` is for.
            headers["content-length"] = str(len(self._bytes))
        await line.start(self.status_code, headers)
        if trouble.cut is None and trouble.stall_after is None:
            await line.write(self._bytes)
            return
        await line.write(self._bytes[: len(self._bytes) // 2])
        if trouble.cut is None:
            await line.hang()
        raise _BrokenOffError


class StreamDelivery(Delivery):
    """An answer as server-sent events; headers leave at once, events when they are due."""

    def __init__(
        self,
        headers: Mapping[str, str],
        events: Sequence[Event],
        pace: Pace,
        trouble: Trouble,
        *,
        on_prefilled: Callable[[], None],
        event_lines: bool = False,
    ) -> None:
        super().__init__(200, headers, "text/event-stream", trouble)
        self._events = events
        self._pace = pace
        self._on_prefilled = on_prefilled
        self._event_lines = event_lines

    async def deliver(self, line: _Line) -> None:
        """Send event by event, or as many as there will be at once with `join`."""
        trouble = self.trouble
        await line.start(200, self.sent_headers)
        moment = self._pace.empty()
        await line.sleep_until(moment)
        self._on_prefilled()
        held = bytearray()
        for number, event in enumerate(self._events):
            if number in (trouble.cut, trouble.stall_after):
                break
            moment = self._pace.following(event, moment)
            await line.sleep_until(moment)
            held += frame(event, trouble, event_lines=self._event_lines, first=number == 0)
            if not trouble.join:
                await line.write(self.coder.encode(bytes(held), last=False))
                held.clear()
        else:
            await line.write(self.coder.encode(bytes(held), last=True))
            return
        await line.write(self.coder.encode(bytes(held), last=False))
        if number != trouble.cut:
            await line.hang()
        raise _BrokenOffError

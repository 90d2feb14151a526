"""A server in a thread of this process, on a free port of the loopback interface."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn

from xai_server.app import XAIServer, create_app
from xai_server.arrivals import RecordedRequest
from xai_server.generation import RecordedAnswer
from xai_server.settings import ServerSettings

_PATIENCE_S = 10


@dataclass(frozen=True)
class RunningServer:
    """A server that is listening."""

    url: str
    app: XAIServer

    @property
    def requests(self) -> list[RecordedRequest]:
        """Give what has arrived so far, oldest first; the list may be cleared."""
        return self.app.requests

    @property
    def answers(self) -> list[RecordedAnswer]:
        """Give what was answered so far, oldest first; the list may be cleared."""
        return self.app.answers


class _Quick(uvicorn.Server):
    """uvicorn, but it leaves at once, whatever is still under way."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._leave = asyncio.Event()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        self._loop = asyncio.get_running_loop()
        self.listening.set()
        await self._leave.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()
        # Let the handlers hear that their clients are gone.
        tasks = list(self.server_state.tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=1)

    def leave(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._leave.set)


@contextmanager
def running(settings: ServerSettings | None = None) -> Iterator[RunningServer]:
    """Run a server for as long as the block lasts."""
    app = create_app(settings)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        config = uvicorn.Config(
            app,
            http="h11",
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            server_header=False,
        )
        server = _Quick(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="xai-server", daemon=True)
        thread.start()
        try:
            if not server.listening.wait(_PATIENCE_S):
                raise RuntimeError("the server did not start")
            yield RunningServer(f"http://127.0.0.1:{listener.getsockname()[1]}", app)
        finally:
            server.leave()
            thread.join(_PATIENCE_S)

"""One small class for each client library and colour: how an application would make, break off or lose a call.

The contract suite (``test_contract.py``) runs every promise for every driver. A driver knows its library, and nothing of
telemetry.
"""

import asyncio
import gc
import importlib
import importlib.util
import json
import warnings
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

_Result = TypeVar("_Result")
KEY = "key-of-the-application"


@dataclass
class Call:
    """What the application asks for."""

    url: str
    path: str
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)
    timeout: float = 5.0

    @property
    def streamed(self) -> bool:
        """Whether it asks for a stream."""
        return bool(self.body.get("stream"))


@dataclass
class Seen:
    """What the application saw: the pieces of the answer, or the exception that it got."""

    pieces: list[Any] = field(default_factory=list)
    error: BaseException | None = None

    @property
    def raw(self) -> bytes:
        """The body, where pieces are bytes."""
        return b"".join(self.pieces)


def _run(work: Coroutine[Any, Any, _Result]) -> _Result:
    return asyncio.run(work)


def _seen(work: Callable[[list[Any]], Any]) -> Seen:
    """Run work that appends to a list of pieces, and keep what it raises."""
    seen = Seen()
    try:
        work(seen.pieces)
    except BaseException as error:
        error.__traceback__ = None  # a traceback would keep the response alive
        seen.error = error
    return seen


class Raw:
    """httpx or httpx2, synchronous."""

    asynchronous = False

    def __init__(self, module: str) -> None:
        self.name = f"{module}-sync"
        self.module = module
        self.needs = (module,)

    @property
    def library(self) -> Any:
        """The library's module."""
        return importlib.import_module(self.module)

    def _client(self, call: Call) -> Any:
        headers = {"authorization": f"Bearer {KEY}", **call.headers}
        return self.library.Client(base_url=call.url, headers=headers, timeout=call.timeout)

    @property
    def codings(self) -> str:
        """The content codings that the library can undo."""
        with self.library.Client() as client:
            return str(client.headers["accept-encoding"])

    def lines(self, call: Call) -> Iterator[str]:
        """The lines of a stream, as they come."""
        with self._client(call) as client, client.stream("POST", call.path, json=call.body) as response:
            yield from response.iter_lines()

    def read(self, call: Call) -> Seen:
        """Read the answer to its end."""

        def work(pieces: list[Any]) -> None:
            with self._client(call) as client:
                if call.streamed:
                    with client.stream("POST", call.path, json=call.body) as response:
                        pieces.extend(response.iter_bytes())
                else:
                    pieces.append(client.post(call.path, json=call.body).content)

        return _seen(work)

    def leave(self, call: Call, take: int, *, close: bool) -> Seen:
        """Take some pieces of a stream, then close it, or forget it."""

        def work(pieces: list[Any]) -> None:
            client = self._client(call)
            response = client.send(client.build_request("POST", call.path, json=call.body), stream=True)
            chunks = response.iter_bytes()
            for _ in range(take):
                pieces.append(next(chunks))
            if close:
                response.close()
            else:
                del chunks, response
                gc.collect()
            client.close()

        return _seen(work)


class _Cancels:
    """What asynchronous drivers can do beside."""

    _read: Callable[[Call, list[Any]], Coroutine[Any, Any, None]]

    def cancel(self, call: Call, after: float) -> Seen:
        """Cancel the task that makes the call."""

        async def work(pieces: list[Any]) -> None:
            task = asyncio.create_task(self._read(call, pieces))
            await asyncio.sleep(after)
            task.cancel()
            await task

        return _seen(lambda pieces: _run(work(pieces)))


class AsyncRaw(_Cancels, Raw):
    """httpx or httpx2, asynchronous."""

    asynchronous = True

    def __init__(self, module: str) -> None:
        super().__init__(module)
        self.name = f"{module}-async"

    def _client(self, call: Call) -> Any:
        headers = {"authorization": f"Bearer {KEY}", **call.headers}
        return self.library.AsyncClient(base_url=call.url, headers=headers, timeout=call.timeout)

    async def _read(self, call: Call, pieces: list[Any]) -> None:
        async with self._client(call) as client:
            if call.streamed:
                async with client.stream("POST", call.path, json=call.body) as response:
                    async for piece in response.aiter_bytes():
                        pieces.append(piece)
            else:
                pieces.append((await client.post(call.path, json=call.body)).content)

    def read(self, call: Call) -> Seen:
        return _seen(lambda pieces: _run(self._read(call, pieces)))

    def leave(self, call: Call, take: int, *, close: bool) -> Seen:
        async def work(pieces: list[Any]) -> None:
            client = self._client(call)
            response = await client.send(client.build_request("POST", call.path, json=call.body), stream=True)
            chunks = response.aiter_bytes()
            for _ in range(take):
                pieces.append(await chunks.__anext__())
            if close:
                await response.aclose()
            else:
                del chunks, response
                await asyncio.sleep(0)  # lets the event loop finalise the generators
                gc.collect()
                await asyncio.sleep(0)
            await client.aclose()

        return _seen(lambda pieces: _run(work(pieces)))


def _openai_call(client: Any, call: Call, stream_type: Any) -> Any:
    """Call the method of the openai SDK that belongs to the path."""
    if call.path.endswith("/chat/completions"):
        return client.chat.completions.create(**call.body, extra_headers=call.headers)
    if call.path.endswith("/responses"):
        return client.responses.create(**call.body, extra_headers=call.headers)
    return client.post(  # the SDK has no method for /v1/messages: the generic one
        call.path.removeprefix("/v1"),
        cast_to=object,
        body=call.body,
        options={"headers": call.headers},
        stream=call.streamed,
        stream_cls=stream_type[object] if call.streamed else None,
    )


def _plain(item: Any) -> Any:
    return json.loads(item.model_dump_json()) if hasattr(item, "model_dump_json") else item


class OpenAI:
    """The openai SDK, synchronous."""

    asynchronous = False
    name = "openai-sync"
    needs = ("openai",)

    def _client(self, call: Call) -> Any:
        import openai

        return openai.OpenAI(base_url=f"{call.url}/v1", api_key=KEY, timeout=call.timeout, max_retries=0)

    def read(self, call: Call) -> Seen:
        """Read the answer to its end."""
        import openai

        def work(pieces: list[Any]) -> None:
            with self._client(call) as client:
                answer = _openai_call(client, call, openai.Stream)
                pieces.extend(_plain(item) for item in (answer if call.streamed else [answer]))

        return _seen(work)

    def leave(self, call: Call, take: int, *, close: bool) -> Seen:
        """Take some events of a stream, then close it, or forget it."""
        import openai

        def work(pieces: list[Any]) -> None:
            client = self._client(call)
            stream = _openai_call(client, call, openai.Stream)
            for _ in range(take):
                pieces.append(_plain(next(stream)))
            if close:
                stream.close()
            else:
                del stream
                gc.collect()
            client.close()

        return _seen(work)


class AsyncOpenAI(_Cancels, OpenAI):
    """The openai SDK, asynchronous."""

    asynchronous = True
    name = "openai-async"

    def _client(self, call: Call) -> Any:
        import openai

        return openai.AsyncOpenAI(base_url=f"{call.url}/v1", api_key=KEY, timeout=call.timeout, max_retries=0)

    async def _read(self, call: Call, pieces: list[Any]) -> None:
        import openai

        async with self._client(call) as client:
            answer = await _openai_call(client, call, openai.AsyncStream)
            if call.streamed:
                async for item in answer:
                    pieces.append(_plain(item))
            else:
                pieces.append(_plain(answer))

    def read(self, call: Call) -> Seen:
        return _seen(lambda pieces: _run(self._read(call, pieces)))

    def leave(self, call: Call, take: int, *, close: bool) -> Seen:
        import openai

        async def work(pieces: list[Any]) -> None:
            client = self._client(call)
            stream = await _openai_call(client, call, openai.AsyncStream)
            for _ in range(take):
                pieces.append(_plain(await stream.__anext__()))
            if close:
                await stream.close()
            else:
                del stream
                await asyncio.sleep(0)
                gc.collect()
                await asyncio.sleep(0)
            await client.close()

        return _seen(lambda pieces: _run(work(pieces)))


class AiohttpOpenAI(AsyncOpenAI):
    """The openai SDK on its aiohttp transport (``openai[aiohttp]``)."""

    name = "openai-aiohttp"
    needs = ("openai", "aiohttp")

    def _client(self, call: Call) -> Any:
        import openai

        return openai.AsyncOpenAI(
            base_url=f"{call.url}/v1",
            api_key=KEY,
            max_retries=0,
            timeout=call.timeout,
            http_client=openai.DefaultAioHttpClient(timeout=call.timeout),
        )


class Aiohttp(_Cancels):
    """aiohttp, asynchronous as it is."""

    asynchronous = True
    name = "aiohttp"
    needs = ("aiohttp",)

    @property
    def codings(self) -> str:
        """What the library says that it accepts."""
        import aiohttp

        return aiohttp.ClientRequest.DEFAULT_HEADERS["Accept-Encoding"]

    def _client(self, call: Call) -> Any:
        import aiohttp

        headers = {"authorization": f"Bearer {KEY}", **call.headers}
        return aiohttp.ClientSession(call.url, headers=headers, timeout=aiohttp.ClientTimeout(call.timeout))

    async def _read(self, call: Call, pieces: list[Any]) -> None:
        async with self._client(call) as client, client.post(call.path, json=call.body) as response:
            if call.streamed:
                async for line in response.content:  # pieces that no two runs share would come of other ways
                    pieces.append(line)
            else:
                pieces.append(await response.read())

    def read(self, call: Call) -> Seen:
        """Read the answer to its end."""
        return _seen(lambda pieces: _run(self._read(call, pieces)))

    def leave(self, call: Call, take: int, *, close: bool) -> Seen:
        """Take some lines of a stream, then close it, or forget it."""

        async def work(pieces: list[Any]) -> None:
            client = self._client(call)
            response = await client.post(call.path, json=call.body)
            for _ in range(take):
                pieces.append(await response.content.readline())
            if close:
                response.close()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)  # what aiohttp says of a response left open
                del response
                await client.close()
                await asyncio.sleep(0)  # lets the event loop tell the connection that it is closed
                gc.collect()

        return _seen(lambda pieces: _run(work(pieces)))


class Requests:
    """requests, or niquests with the same API."""

    asynchronous = False

    def __init__(self, module: str) -> None:
        self.name = f"{module}-sync" if module == "niquests" else module
        self.module = module
        self.needs = (module,)

    @property
    def library(self) -> Any:
        """The library's module."""
        return importlib.import_module(self.module)

    @property
    def codings(self) -> str:
        """The content codings that the library can undo."""
        return str(self.library.utils.default_headers()["accept-encoding"])

    @property
    def notices_cuts(self) -> bool:
        """Whether a body that is shorter than it should be is an error: urllib3 1.26 leaves that to its callers."""
        return int(self.library.packages.urllib3.__version__.partition(".")[0]) >= 2

    def _session(self, call: Call) -> Any:
        session = self.library.Session()
        session.headers.update({"authorization": f"Bearer {KEY}", **call.headers})
        return session

    def _post(self, session: Any, call: Call) -> Any:
        return session.post(f"{call.url}{call.path}", json=call.body, stream=call.streamed, timeout=call.timeout)

    def lines(self, call: Call) -> Iterator[str]:
        """The lines of a stream, as they come."""
        with self._session(call) as session, self._post(session, call) as response:
            for line in response.iter_lines():
                yield line.decode()

    def read(self, call: Call) -> Seen:
        """Read the answer to its end."""

        def work(pieces: list[Any]) -> None:
            with self._session(call) as session, self._post(session, call) as response:
                if call.streamed:
                    pieces.extend(response.iter_content(None))
                else:
                    pieces.append(response.content)

        return _seen(work)

    def leave(self, call: Call, take: int, *, close: bool) -> Seen:
        """Take some pieces of a stream, then close it, or forget it."""

        def work(pieces: list[Any]) -> None:
            session = self._session(call)
            response = self._post(session, call)
            chunks = response.iter_content(64)
            for _ in range(take):
                pieces.append(next(chunks))
            if close:
                response.close()
            else:
                del chunks, response
                gc.collect()
            session.close()

        return _seen(work)


class AsyncNiquests(_Cancels, Requests):
    """niquests, asynchronous."""

    asynchronous = True

    def __init__(self) -> None:
        super().__init__("niquests")
        self.name = "niquests-async"

    def _session(self, call: Call) -> Any:
        session = self.library.AsyncSession()
        session.headers.update({"authorization": f"Bearer {KEY}", **call.headers})
        return session

    async def _read(self, call: Call, pieces: list[Any]) -> None:
        async with self._session(call) as session:
            response = await self._post(session, call)
            if call.streamed:
                async for piece in await response.iter_content():
                    pieces.append(piece)
            else:
                pieces.append(response.content)

    def read(self, call: Call) -> Seen:
        return _seen(lambda pieces: _run(self._read(call, pieces)))

    def leave(self, call: Call, take: int, *, close: bool) -> Seen:
        async def work(pieces: list[Any]) -> None:
            session = self._session(call)
            response = await self._post(session, call)
            chunks = await response.iter_content(64)
            for _ in range(take):
                pieces.append(await chunks.__anext__())
            if close:
                await response.close()
            else:
                del chunks, response
                await asyncio.sleep(0)
                gc.collect()
                await asyncio.sleep(0.05)  # the loop closes what the collector found
            await session.close()

        return _seen(lambda pieces: _run(work(pieces)))


class Urllib3:
    """urllib3 without a library on top; what is streamed is not preloaded."""

    asynchronous = False
    name = module = "urllib3"
    needs = ("urllib3",)

    @property
    def library(self) -> Any:
        """The library's module."""
        return importlib.import_module(self.module)

    @property
    def codings(self) -> str:
        """The content codings that the library can undo."""
        return ", ".join(self.library.HTTPResponse.CONTENT_DECODERS)

    def _manager(self) -> Any:
        return self.library.PoolManager(retries=False)

    def _post(self, manager: Any, call: Call) -> Any:
        return manager.request(
            "POST",
            f"{call.url}{call.path}",
            body=json.dumps(call.body),
            headers={"authorization": f"Bearer {KEY}", "content-type": "application/json", **call.headers},
            timeout=call.timeout,
            preload_content=not call.streamed,
        )

    def lines(self, call: Call) -> Iterator[str]:
        """The lines of a stream, as they come."""
        with self._manager() as manager, self._post(manager, call) as response:
            for line in response:
                yield line.decode()

    def read(self, call: Call) -> Seen:
        """Read the answer to its end."""

        def work(pieces: list[Any]) -> None:
            with self._manager() as manager:
                response = self._post(manager, call)
                pieces.extend(response.stream() if call.streamed else [response.data])

        return _seen(work)

    def leave(self, call: Call, take: int, *, close: bool) -> Seen:
        """Take some pieces of a stream, then close it, or forget it."""

        def work(pieces: list[Any]) -> None:
            with self._manager() as manager:
                response = self._post(manager, call)
                chunks = response.stream(64)
                for _ in range(take):
                    pieces.append(next(chunks))
                if close:
                    response.close()
                else:
                    del chunks, response
                    gc.collect()

        return _seen(work)


ALL = [
    Raw("httpx"),
    AsyncRaw("httpx"),
    Raw("httpx2"),
    AsyncRaw("httpx2"),
    OpenAI(),
    AsyncOpenAI(),
    AiohttpOpenAI(),
    Aiohttp(),
    Requests("requests"),
    Requests("niquests"),
    AsyncNiquests(),
    Urllib3(),
]
DRIVERS = [driver for driver in ALL if all(importlib.util.find_spec(module) for module in driver.needs)]
"""The drivers whose libraries are installed."""

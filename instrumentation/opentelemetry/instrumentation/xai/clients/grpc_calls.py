"""Calls over gRPC, observed: the methods of a stub, and the call objects that they give.

What a method gives depends on its channel: a message, or an object that stands for the call and is awaited or iterated.
Messages are handed on as they are. Call objects are handed on in proxies that have all that they have, and are
instances of what they are; an error is raised as it was. Nothing is held across an await or a yield but the call.
"""

import functools
import weakref
from collections.abc import AsyncIterator, Callable, Generator
from contextvars import Context, copy_context
from importlib import import_module
from types import GeneratorType
from typing import Any, Protocol, TypeAlias

import wrapt

from ..guard import fault, guarded
from ..tap import AsyncTap

_Proxy: Any = wrapt.ObjectProxy  # generic to type checkers in some versions, and never when it runs
_METADATA = 2  # where a method takes them by position: request, timeout, metadata
_OWN_DOING = ("Locally cancelled", "Channel closed", "Cancelled upon garbage")


class Listener(Protocol):
    """Whom a call is told of."""

    def sent(self) -> None:
        """The call is on its way."""

    def finished(self, message: Any = None) -> None:
        """The answer is whole; ``message`` is it, unless it was streamed."""

    def failed(self, error: BaseException) -> None:
        """The call raised ``error``."""

    def closed(self) -> None:
        """The application cancelled the call."""

    def forgotten(self) -> None:
        """Nobody is left who could read the answer."""


Arguments: TypeAlias = "tuple[tuple[Any, ...], dict[str, Any]]"
Begin: TypeAlias = Callable[[tuple[Any, ...], dict[str, Any]], "tuple[Any, Arguments] | None"]
"""Begins to observe a call with these arguments; returns whom to tell of it, and the arguments to call with."""


class ObservedMethod(_Proxy):  # type: ignore[misc]
    """A method of a stub."""

    def __init__(self, wrapped: Any, begin: Begin) -> None:
        super().__init__(wrapped)
        self._self_begin = begin

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the method."""
        return self._self_call(self.__wrapped__, _handed_on, args, kwargs)

    def with_call(self, *args: Any, **kwargs: Any) -> Any:
        """Call the method; gives the message together with the call."""
        return self._self_call(self.__wrapped__.with_call, _first_of, args, kwargs)

    def future(self, *args: Any, **kwargs: Any) -> Any:
        """Call the method; gives a future at once."""
        return self._self_call(self.__wrapped__.future, _promised, args, kwargs)

    def _self_call(
        self, method: Any, hand_on: Callable[[Any, Listener], Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        begun = self._self_begin(args, kwargs)
        if begun is None:
            return method(*args, **kwargs)
        listener, (args, kwargs) = begun
        try:
            result = method(*args, **kwargs)
        except BaseException as error:
            listener.failed(error)
            raise
        try:
            return hand_on(result, listener)
        except Exception as error:  # the answer must be right whatever happens
            fault("ObservedMethod", error)
            listener.closed()
            return result


def _handed_on(result: Any, listener: Any) -> Any:
    kind = type(result)
    if hasattr(kind, "__await__"):
        listener.sent()
        return AwaitedCall(result, listener)
    if hasattr(kind, "__aiter__"):
        listener.sent()
        return AsyncStream(result, listener)
    if kind is GeneratorType:
        within = copy_context()
        listener.sent()
        return GeneratedStream(result, listener, within)
    if hasattr(kind, "__next__"):
        listener.sent()
        return Stream(result, listener)
    listener.finished(result)
    return result


def _first_of(result: Any, listener: Listener) -> Any:
    listener.finished(result[0])
    return result


def _promised(result: Any, listener: Listener) -> Any:
    listener.sent()
    result.add_done_callback(functools.partial(_kept, listener))
    return result


@guarded
def _kept(listener: Listener, future: Any) -> None:
    if future.cancelled():
        listener.closed()
        return
    error = future.exception()
    if error is None:
        listener.finished(future.result())
    else:
        listener.failed(error)


class _Call(_Proxy):  # type: ignore[misc]
    """A call object."""

    def __init__(self, wrapped: Any, listener: Any) -> None:
        super().__init__(wrapped)
        self._self_listener = listener
        self._self_forgotten: weakref.finalize[..., Any] = weakref.finalize(self, listener.forgotten)

    def cancel(self, *args: Any) -> Any:
        """Cancel the call."""
        self._self_listener.closed()
        return self.__wrapped__.cancel(*args)


class AwaitedCall(_Call):
    """A call whose one message is awaited."""

    def __await__(self) -> Generator[Any, Any, Any]:
        try:
            message = yield from self.__wrapped__.__await__()
        except BaseException as error:
            self._self_listener.failed(error)
            raise
        self._self_listener.finished(message)
        return message


class Stream(_Call):
    """A call whose messages are iterated over."""

    def _self_next(self) -> Any:
        return next(self.__wrapped__)

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        listener = self._self_listener
        try:
            message = self._self_next()
        except StopIteration:
            listener.finished()
            raise
        except BaseException as error:
            listener.failed(error)
            raise
        listener.bytes_received(message)
        return message

    def next(self) -> Any:
        """The next message."""
        return self.__next__()


class GeneratedStream(Stream):
    """The same where an interceptor has made a generator of it, which makes the call only when it is iterated over.

    So it runs in the context of the call, always: what it makes current would else be left to the application.
    """

    def __init__(self, wrapped: Any, listener: Any, within: Context) -> None:
        super().__init__(wrapped, listener)
        self._self_within = within
        self._self_forgotten.detach()
        self._self_forgotten = weakref.finalize(self, _closed_within, within, wrapped, listener)

    def _self_next(self) -> Any:
        return self._self_within.run(next, self.__wrapped__)

    def close(self) -> None:
        """Close the generator."""
        self._self_listener.closed()
        self._self_within.run(self.__wrapped__.close)


def _closed_within(within: Context, generator: Any, listener: Listener) -> None:
    try:
        within.run(generator.close)
    finally:
        listener.forgotten()


class AsyncStream(_Call):
    """A call whose messages are iterated over asynchronously, or read."""

    def __init__(self, wrapped: Any, listener: Any) -> None:
        super().__init__(wrapped, listener)
        self._self_messages: AsyncTap | None = None

    def __aiter__(self) -> AsyncIterator[Any]:
        if self._self_messages is None:  # one for all loops: an application may leave one and go on in another
            self._self_messages = AsyncTap(self._self_listener, self.__wrapped__)
            self._self_forgotten.detach()  # it is not forgotten while a loop has its messages
        return self._self_messages

    async def read(self) -> Any:
        """Read the next message."""
        listener = self._self_listener
        try:
            message = await self.__wrapped__.read()
        except BaseException as error:
            listener.failed(error)
            raise
        if message is import_module("grpc.aio").EOF:
            listener.finished()
        else:
            listener.bytes_received(message)
        return message


def status_of(error: BaseException) -> str | None:
    """The name of the gRPC status that an error stands for; empty where the application itself cancelled the call."""
    if not isinstance(error, import_module("grpc").RpcError):
        return None
    code: Any = getattr(error, "code", None)
    status = str(getattr(code() if callable(code) else None, "name", "")) or None
    if status == "CANCELLED":
        details: Any = getattr(error, "details", None)
        if str(details() if callable(details) else "").startswith(_OWN_DOING):
            return ""
    return status


def metadata_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The metadata that a call is made with, if any."""
    return args[_METADATA] if len(args) > _METADATA else kwargs.get("metadata")


def with_metadata(args: tuple[Any, ...], kwargs: dict[str, Any], further: dict[str, str]) -> Arguments:
    """The arguments of a call with further metadata, as far as gRPC lets such pass and they are not there already."""
    given = tuple(metadata_of(args, kwargs) or ())
    names = {name for name, _ in given}
    added = [
        (name.lower(), value)
        for name, value in further.items()
        if name.lower() not in names and name.replace("-", "").replace("_", "").replace(".", "").isalnum()
        if name.isascii() and value.isascii() and value.isprintable() and not name.lower().endswith("-bin")
    ]
    if not added:
        return args, kwargs
    if len(args) > _METADATA:
        return (*args[:_METADATA], (*given, *added), *args[_METADATA + 1 :]), kwargs
    return args, {**kwargs, "metadata": (*given, *added)}

"""The SDK's generators around its streams, and who breaks them off.

A generator that is closed leaves its ``with`` before it lets go of what it holds: the SDK's own span of a stream that
was broken off ends before the call is dropped. So the call is told first, and who adds to that span finds it open.
"""

import inspect
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from typing import Any

from ..observer import ObservedMessages


class Generators:
    """The generators that are being read."""

    def __init__(self) -> None:
        self._starting: ContextVar[list[ObservedMessages] | None] = ContextVar("xai-generator", default=None)

    def began(self, call: ObservedMessages) -> None:
        """A call was begun; if by a generator that makes its first step, it is the generator's."""
        calls = self._starting.get()
        if calls is not None:
            calls.append(call)

    def around(self, original: Any) -> Any:
        """The wrapper of a method that is a generator of either colour."""
        if inspect.isasyncgenfunction(original):

            async def stream_async(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
                generator, calls = original(*args, **kwargs), list[ObservedMessages]()
                token = self._starting.set(calls)
                try:
                    item = await generator.__anext__()
                except StopAsyncIteration:
                    return
                finally:
                    self._starting.reset(token)
                while True:
                    try:
                        yield item
                    except GeneratorExit:
                        _forgotten(calls)
                        await generator.aclose()
                        raise
                    except BaseException as error:
                        step = generator.athrow(error)
                    else:
                        step = generator.__anext__()
                    try:
                        item = await step
                    except StopAsyncIteration:
                        return

            return stream_async

        def stream(*args: Any, **kwargs: Any) -> Iterator[Any]:
            generator, calls = original(*args, **kwargs), list[ObservedMessages]()
            token = self._starting.set(calls)
            try:
                item = next(generator)
            except StopIteration:
                return
            finally:
                self._starting.reset(token)
            while True:
                try:
                    yield item
                except GeneratorExit:
                    _forgotten(calls)
                    generator.close()
                    raise
                except BaseException as error:
                    thrown: BaseException | None = error
                else:
                    thrown = None
                try:
                    item = next(generator) if thrown is None else generator.throw(thrown)
                except StopIteration:
                    return

        return stream


def _forgotten(calls: list[ObservedMessages]) -> None:
    for call in calls:
        call.forgotten()

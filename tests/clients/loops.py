"""Event loops that end while generators are open: what they complain of, in an order that can be repeated."""

import asyncio
import gc
import random
from collections.abc import Callable, Coroutine
from typing import Any

import pytest


def complaints(main: Callable[[], Coroutine[Any, Any, None]], times: int = 10) -> list[str]:
    """Run a program that leaves generators open, and give what came of closing each when its loop ended.

    A loop closes them side by side in the order of their addresses, which no two runs share, and whether they get in
    each other's way depends on that order. So it is drawn here, alike for each call of this function.
    """
    order, results = random.Random(7), []

    async def shut_down(loop: Any) -> None:
        generators = sorted(loop._asyncgens, key=lambda generator: generator.__qualname__)
        order.shuffle(generators)
        loop._asyncgens.clear()
        results.extend(await asyncio.gather(*(each.aclose() for each in generators), return_exceptions=True))

    gc.collect()
    gc.disable()  # which would close some of them earlier, now and then
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(asyncio.BaseEventLoop, "shutdown_asyncgens", shut_down)
            for _ in range(times):
                asyncio.run(main())
    finally:
        gc.enable()
    return [repr(result) for result in results]

"""Streams that an application leaves in the middle, through each SDK: one span, no error, the application goes on."""

import asyncio
import gc
import itertools
import time
from typing import Any

import pytest
from opentelemetry.trace import StatusCode

from conftest import Telemetry
from sdks.cells import Ask
from sdks.drivers.langchain_xai import _model as chat_xai
from sdks.drivers.litellm import USAGE, _chat, _close, _library

pytestmark = pytest.mark.filterwarnings("default")


def _left(observed: Telemetry) -> None:
    until = time.monotonic() + 5
    while not observed.spans and time.monotonic() < until:  # a thread of litellm's own may still look at it
        gc.collect()
        time.sleep(0.05)
    assert observed.span.status.status_code is StatusCode.UNSET
    assert observed.attributes()["gen_ai.response.finish_reasons"] == ("error",)
    assert "error.type" not in observed.attributes()


def test_litellm_never_closes_a_stream_and_it_ends_all_the_same(xai: Any, observed: Telemetry) -> None:
    """litellm has no way to close a stream, so that it ends when it is forgotten."""
    pytest.importorskip("litellm")
    stream = _library().completion(**_chat(Ask(xai.url, trouble="events=400")), **USAGE)
    for _ in itertools.islice(stream, 2):
        pass
    assert not observed.spans
    del stream
    _left(observed)


def test_an_asynchronous_stream_of_litellm_that_is_left(xai: Any, observed: Telemetry) -> None:
    """The same, on httpx over aiohttp: the span ends with the clients at the latest."""
    pytest.importorskip("litellm")

    async def main() -> None:
        stream = await _library().acompletion(**_chat(Ask(xai.url, trouble="events=400")), **USAGE)
        async for _ in stream:
            break
        del stream
        await _close()

    asyncio.run(main())
    _left(observed)


def test_a_stream_of_langchain_that_is_left(xai: Any, observed: Telemetry) -> None:
    """A generator of langchain's that is closed closes what is under it."""
    pytest.importorskip("langchain_xai")
    stream = chat_xai(Ask(xai.url, trouble="events=400")).stream("Name a river.")
    next(stream)
    stream.close()
    _left(observed)

"""litellm, which has a client of its own for xAI: httpx, and aiohttp under httpx where it is asynchronous."""

from typing import Any

from sdks.cells import KEY, Ask, Driver


def _options(ask: Ask) -> dict[str, Any]:
    return {
        "model": f"xai/{ask.model}",
        "api_base": f"{ask.url}/v1",
        "api_key": KEY,
        "extra_headers": ask.headers,
        "max_retries": 0,
        "num_retries": 0,
    }


def _chat(ask: Ask) -> dict[str, Any]:
    return {**_options(ask), "messages": ask.messages}


def _response(ask: Ask) -> dict[str, Any]:
    return {**_options(ask), "instructions": ask.system, "input": ask.conversation_so_far}


USAGE = {"stream": True, "stream_options": {"include_usage": True}}


def _library() -> Any:
    import litellm

    litellm.suppress_debug_info = True
    litellm.in_memory_llm_clients_cache.flush_cache()  # no client outlives the loop that it was made in
    return litellm


async def _close() -> None:
    import litellm

    await litellm.close_litellm_async_clients()


class LiteLLM(Driver):
    """``completion`` and ``responses``, for ``xai/`` models."""

    name = package = "litellm"
    needs = ("litellm",)

    def chat(self, ask: Ask, pieces: list[Any]) -> None:
        pieces.append(_library().completion(**_chat(ask)))

    def chat_stream(self, ask: Ask, pieces: list[Any]) -> None:
        pieces.extend(_library().completion(**_chat(ask), **USAGE))

    def responses(self, ask: Ask, pieces: list[Any]) -> None:
        pieces.append(_library().responses(**_response(ask)))

    def responses_stream(self, ask: Ask, pieces: list[Any]) -> None:
        pieces.extend(_library().responses(**_response(ask), stream=True))

    async def async_chat(self, ask: Ask, pieces: list[Any]) -> None:
        try:
            pieces.append(await _library().acompletion(**_chat(ask)))
        finally:
            await _close()

    async def async_chat_stream(self, ask: Ask, pieces: list[Any]) -> None:
        try:
            async for chunk in await _library().acompletion(**_chat(ask), **USAGE):
                pieces.append(chunk)
        finally:
            await _close()

    async def async_responses(self, ask: Ask, pieces: list[Any]) -> None:
        try:
            pieces.append(await _library().aresponses(**_response(ask)))
        finally:
            await _close()

    async def async_responses_stream(self, ask: Ask, pieces: list[Any]) -> None:
        try:
            async for event in await _library().aresponses(**_response(ask), stream=True):
                pieces.append(event)
        finally:
            await _close()

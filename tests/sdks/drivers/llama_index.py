"""llama-index's OpenAILike: ``chat``, and ``complete``, which is the same endpoint with one message."""

from typing import Any

from sdks.cells import KEY, Ask, Driver


def _model(ask: Ask, clients: dict[str, Any]) -> Any:
    from llama_index.llms.openai_like import OpenAILike

    return OpenAILike(
        model=ask.model,
        api_base=f"{ask.url}/v1",
        api_key=KEY,
        is_chat_model=True,
        max_retries=0,
        default_headers=ask.headers,
        **clients,
    )


def _messages(ask: Ask) -> list[Any]:
    from llama_index.core.llms import ChatMessage

    return [ChatMessage(role=role, content=text) for role, text in ask.turns]


class _Asked:
    """A model with clients that are closed when the work is done."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def __enter__(self) -> Any:
        import httpx

        self._client = httpx.Client()
        return _model(self._ask, {"http_client": self._client})

    def __exit__(self, *_: object) -> None:
        self._client.close()

    async def __aenter__(self) -> Any:
        import httpx

        self._client = httpx.AsyncClient()
        return _model(self._ask, {"async_http_client": self._client})

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()


class Chat(Driver):
    """``chat`` and its kin."""

    name = "llama-index OpenAILike"
    package = "llama-index-llms-openai-like"
    needs = ("llama_index.llms.openai_like",)

    def chat(self, ask: Ask, pieces: list[Any]) -> None:
        with _Asked(ask) as model:
            pieces.append(model.chat(_messages(ask)))

    def chat_stream(self, ask: Ask, pieces: list[Any]) -> None:
        with _Asked(ask) as model:
            pieces.extend(model.stream_chat(_messages(ask)))

    async def async_chat(self, ask: Ask, pieces: list[Any]) -> None:
        async with _Asked(ask) as model:
            pieces.append(await model.achat(_messages(ask)))

    async def async_chat_stream(self, ask: Ask, pieces: list[Any]) -> None:
        async with _Asked(ask) as model:
            async for part in await model.astream_chat(_messages(ask)):
                pieces.append(part)


class Complete(Driver):
    """``complete`` and its kin."""

    name = "llama-index OpenAILike"
    variant = "complete"
    package = "llama-index-llms-openai-like"
    needs = ("llama_index.llms.openai_like",)
    keeps_turns = False

    def chat(self, ask: Ask, pieces: list[Any]) -> None:
        with _Asked(ask) as model:
            pieces.append(model.complete(ask.prompt))

    def chat_stream(self, ask: Ask, pieces: list[Any]) -> None:
        with _Asked(ask) as model:
            pieces.extend(model.stream_complete(ask.prompt))

    async def async_chat(self, ask: Ask, pieces: list[Any]) -> None:
        async with _Asked(ask) as model:
            pieces.append(await model.acomplete(ask.prompt))

    async def async_chat_stream(self, ask: Ask, pieces: list[Any]) -> None:
        async with _Asked(ask) as model:
            async for part in await model.astream_complete(ask.prompt):
                pieces.append(part)

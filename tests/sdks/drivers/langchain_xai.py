"""langchain's ChatXAI, which sits on the openai SDK."""

from typing import Any

from sdks.cells import KEY, Ask, Driver


def _model(ask: Ask, **more: Any) -> Any:
    from langchain_xai import ChatXAI

    return ChatXAI(
        model=ask.model,
        xai_api_base=f"{ask.url}/v1",
        api_key=KEY,
        default_headers=ask.headers,
        max_retries=0,
        **more,
    )


class ChatXAI(Driver):
    """Chat completions, and responses as an option."""

    name = package = "langchain-xai"
    needs = ("langchain_xai",)

    def chat(self, ask: Ask, pieces: list[Any]) -> None:
        pieces.append(_model(ask).invoke(list(ask.turns)))

    def chat_stream(self, ask: Ask, pieces: list[Any]) -> None:
        pieces.extend(_model(ask).stream(list(ask.turns)))

    async def async_chat(self, ask: Ask, pieces: list[Any]) -> None:
        pieces.append(await _model(ask).ainvoke(list(ask.turns)))

    async def async_chat_stream(self, ask: Ask, pieces: list[Any]) -> None:
        async for chunk in _model(ask).astream(list(ask.turns)):
            pieces.append(chunk)

    def responses(self, ask: Ask, pieces: list[Any]) -> None:
        pieces.append(_model(ask, use_responses_api=True).invoke(list(ask.turns)))

    def responses_stream(self, ask: Ask, pieces: list[Any]) -> None:
        pieces.extend(_model(ask, use_responses_api=True).stream(list(ask.turns)))

    async def async_responses(self, ask: Ask, pieces: list[Any]) -> None:
        pieces.append(await _model(ask, use_responses_api=True).ainvoke(list(ask.turns)))

    async def async_responses_stream(self, ask: Ask, pieces: list[Any]) -> None:
        async for chunk in _model(ask, use_responses_api=True).astream(list(ask.turns)):
            pieces.append(chunk)

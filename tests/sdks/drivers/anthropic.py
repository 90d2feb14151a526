"""The anthropic SDK, at xAI's compatible endpoint."""

from typing import Any

from sdks.cells import KEY, Ask, Driver


def _message(ask: Ask) -> dict[str, Any]:
    return {"model": ask.model, "max_tokens": 500, "system": ask.system, "messages": ask.conversation_so_far}


def _client(ask: Ask, kind: str) -> Any:
    import anthropic

    return getattr(anthropic, kind)(base_url=ask.url, api_key=KEY, max_retries=0, default_headers=ask.headers)


class Anthropic(Driver):
    """``create``."""

    name = package = "anthropic"
    needs = ("anthropic",)

    def messages(self, ask: Ask, pieces: list[Any]) -> None:
        with _client(ask, "Anthropic") as client:
            pieces.append(client.messages.create(**_message(ask)))

    def messages_stream(self, ask: Ask, pieces: list[Any]) -> None:
        with _client(ask, "Anthropic") as client:
            pieces.extend(client.messages.create(**_message(ask), stream=True))

    async def async_messages(self, ask: Ask, pieces: list[Any]) -> None:
        async with _client(ask, "AsyncAnthropic") as client:
            pieces.append(await client.messages.create(**_message(ask)))

    async def async_messages_stream(self, ask: Ask, pieces: list[Any]) -> None:
        async with _client(ask, "AsyncAnthropic") as client:
            async for event in await client.messages.create(**_message(ask), stream=True):
                pieces.append(event)


class AnthropicHelpers(Driver):
    """``stream()``, which puts the answer together."""

    name = package = "anthropic"
    variant = "helpers"
    needs = ("anthropic",)

    def messages_stream(self, ask: Ask, pieces: list[Any]) -> None:
        with _client(ask, "Anthropic") as client, client.messages.stream(**_message(ask)) as stream:
            pieces.extend(stream)
            pieces.append(stream.get_final_message())

    async def async_messages_stream(self, ask: Ask, pieces: list[Any]) -> None:
        async with _client(ask, "AsyncAnthropic") as client, client.messages.stream(**_message(ask)) as stream:
            async for event in stream:
                pieces.append(event)
            pieces.append(await stream.get_final_message())

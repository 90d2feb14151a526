"""pydantic-ai, both ways: over the openai SDK at xAI's address, and over xAI's own SDK."""

from collections.abc import Callable
from typing import Any

from sdks.cells import Ask, Driver
from sdks.drivers.openai import async_client
from sdks.drivers.xai_sdk import client


def _history(ask: Ask) -> list[Any]:
    from pydantic_ai import messages

    said = {
        "system": lambda text: messages.ModelRequest([messages.SystemPromptPart(text)]),
        "user": lambda text: messages.ModelRequest([messages.UserPromptPart(text)]),
        "assistant": lambda text: messages.ModelResponse([messages.TextPart(text)]),
    }
    return [said[role](text) for role, text in ask.turns[:-1]]


async def _run(model: Any, ask: Ask, pieces: list[Any]) -> None:
    from pydantic_ai import Agent

    run = await Agent(model).run(ask.prompt, message_history=_history(ask))
    pieces += [run.output, run.new_messages(), run.usage]


async def _stream(model: Any, ask: Ask, pieces: list[Any]) -> None:
    from pydantic_ai import Agent

    async with Agent(model).run_stream(ask.prompt, message_history=_history(ask)) as run:
        async for text in run.stream_text(debounce_by=None):
            pieces.append(text)
        pieces += [run.new_messages(), run.usage]


class OverOpenAI(Driver):
    """``OpenAIChatModel`` and ``OpenAIResponsesModel``."""

    name = "pydantic-ai"
    package = "pydantic-ai-slim"
    needs = ("pydantic_ai", "openai")

    @staticmethod
    async def _with(kind: str, work: Callable[..., Any], ask: Ask, pieces: list[Any]) -> None:
        from pydantic_ai.models import openai
        from pydantic_ai.providers.openai import OpenAIProvider

        async with async_client(ask) as openai_client:
            provider = OpenAIProvider(openai_client=openai_client)
            await work(getattr(openai, kind)(ask.model, provider=provider), ask, pieces)

    async def async_chat(self, ask: Ask, pieces: list[Any]) -> None:
        await self._with("OpenAIChatModel", _run, ask, pieces)

    async def async_chat_stream(self, ask: Ask, pieces: list[Any]) -> None:
        await self._with("OpenAIChatModel", _stream, ask, pieces)

    async def async_responses(self, ask: Ask, pieces: list[Any]) -> None:
        await self._with("OpenAIResponsesModel", _run, ask, pieces)

    async def async_responses_stream(self, ask: Ask, pieces: list[Any]) -> None:
        await self._with("OpenAIResponsesModel", _stream, ask, pieces)


class OverXAI(Driver):
    """``XaiModel``."""

    name = "pydantic-ai XaiModel"
    package = "pydantic-ai-slim"
    needs = ("pydantic_ai", "xai_sdk")

    @staticmethod
    async def _with(work: Callable[..., Any], ask: Ask, pieces: list[Any]) -> None:
        from pydantic_ai.models.xai import XaiModel
        from pydantic_ai.providers.xai import XaiProvider

        async with client(ask, "AsyncClient") as xai_client:
            await work(XaiModel(ask.model, provider=XaiProvider(xai_client=xai_client)), ask, pieces)

    async def async_grpc(self, ask: Ask, pieces: list[Any]) -> None:
        await self._with(_run, ask, pieces)

    async def async_grpc_stream(self, ask: Ask, pieces: list[Any]) -> None:
        await self._with(_stream, ask, pieces)

"""instructor, over the openai SDK and over xAI's: answers that are objects."""

from typing import Any

from sdks.cells import Ask, Driver
from sdks.drivers.openai import async_client, sync_client
from sdks.drivers.xai_sdk import client


def _create(ask: Ask) -> dict[str, Any]:
    from pydantic import create_model

    river = create_model("River", name=(str, ...))
    return {"model": ask.model, "messages": ask.messages, "response_model": river, "max_retries": 0}


class FromOpenAI(Driver):
    """``from_openai``; streams are partial objects."""

    name = package = "instructor"
    needs = ("instructor", "openai")

    def chat(self, ask: Ask, pieces: list[Any]) -> None:
        import instructor

        with sync_client(ask) as openai_client:
            pieces.append(instructor.from_openai(openai_client).chat.completions.create(**_create(ask)))

    def chat_stream(self, ask: Ask, pieces: list[Any]) -> None:
        import instructor

        with sync_client(ask) as openai_client:
            pieces.extend(instructor.from_openai(openai_client).chat.completions.create_partial(**_create(ask)))

    async def async_chat(self, ask: Ask, pieces: list[Any]) -> None:
        import instructor

        async with async_client(ask) as openai_client:
            pieces.append(await instructor.from_openai(openai_client).chat.completions.create(**_create(ask)))

    async def async_chat_stream(self, ask: Ask, pieces: list[Any]) -> None:
        import instructor

        async with async_client(ask) as openai_client:
            async for part in instructor.from_openai(openai_client).chat.completions.create_partial(**_create(ask)):
                pieces.append(part)


class FromXAI(Driver):
    """``from_xai``."""

    name = "instructor from_xai"
    package = "instructor"
    needs = ("instructor", "xai_sdk")

    def grpc(self, ask: Ask, pieces: list[Any]) -> None:
        import instructor

        with client(ask, "Client") as xai:
            patched = instructor.from_xai(xai, mode=instructor.Mode.TOOLS)
            pieces.append(patched.chat.completions.create(**_create(ask)))

    async def async_grpc(self, ask: Ask, pieces: list[Any]) -> None:
        import instructor

        async with client(ask, "AsyncClient") as xai:
            patched = instructor.from_xai(xai, mode=instructor.Mode.TOOLS)
            pieces.append(await patched.chat.completions.create(**_create(ask)))

"""The openai SDK: its calls, its helpers, and the answers under its answers."""

from typing import Any

from sdks.cells import KEY, Ask, Driver


def sync_client(ask: Ask) -> Any:
    """A client for the server, that does not repeat what failed."""
    import openai

    return openai.OpenAI(base_url=f"{ask.url}/v1", api_key=KEY, max_retries=0, default_headers=ask.headers)


def async_client(ask: Ask, **more: Any) -> Any:
    """The asynchronous one."""
    import openai

    return openai.AsyncOpenAI(base_url=f"{ask.url}/v1", api_key=KEY, max_retries=0, default_headers=ask.headers, **more)


def _chat(ask: Ask) -> dict[str, Any]:
    return {"model": ask.model, "messages": ask.messages}


def _response(ask: Ask) -> dict[str, Any]:
    return {"model": ask.model, "instructions": ask.system, "input": ask.conversation_so_far}


USAGE = {"stream": True, "stream_options": {"include_usage": True}}


class OpenAI(Driver):
    """``create``, of chat completions and responses."""

    name = "openai"
    package = "openai"
    needs = ("openai",)

    def chat(self, ask: Ask, pieces: list[Any]) -> None:
        with sync_client(ask) as client:
            pieces.append(client.chat.completions.create(**_chat(ask)))

    def chat_stream(self, ask: Ask, pieces: list[Any]) -> None:
        with sync_client(ask) as client:
            pieces.extend(client.chat.completions.create(**_chat(ask), **USAGE))

    def responses(self, ask: Ask, pieces: list[Any]) -> None:
        with sync_client(ask) as client:
            pieces.append(client.responses.create(**_response(ask)))

    def responses_stream(self, ask: Ask, pieces: list[Any]) -> None:
        with sync_client(ask) as client:
            pieces.extend(client.responses.create(**_response(ask), stream=True))

    def _client(self, ask: Ask) -> Any:
        return async_client(ask)

    async def async_chat(self, ask: Ask, pieces: list[Any]) -> None:
        async with self._client(ask) as client:
            pieces.append(await client.chat.completions.create(**_chat(ask)))

    async def async_chat_stream(self, ask: Ask, pieces: list[Any]) -> None:
        async with self._client(ask) as client:
            async for chunk in await client.chat.completions.create(**_chat(ask), **USAGE):
                pieces.append(chunk)

    async def async_responses(self, ask: Ask, pieces: list[Any]) -> None:
        async with self._client(ask) as client:
            pieces.append(await client.responses.create(**_response(ask)))

    async def async_responses_stream(self, ask: Ask, pieces: list[Any]) -> None:
        async with self._client(ask) as client:
            async for event in await client.responses.create(**_response(ask), stream=True):
                pieces.append(event)


class OpenAIHelpers(Driver):
    """``parse`` and ``stream()``, which put the answer together."""

    name = "openai"
    variant = "helpers"
    package = "openai"
    needs = ("openai",)

    def chat(self, ask: Ask, pieces: list[Any]) -> None:
        with sync_client(ask) as client:
            pieces.append(client.chat.completions.parse(**_chat(ask)))

    def chat_stream(self, ask: Ask, pieces: list[Any]) -> None:
        options = {"stream_options": {"include_usage": True}}
        with sync_client(ask) as client, client.chat.completions.stream(**_chat(ask), **options) as stream:
            pieces.extend(stream)
            pieces.append(stream.get_final_completion())

    def responses(self, ask: Ask, pieces: list[Any]) -> None:
        with sync_client(ask) as client:
            pieces.append(client.responses.parse(**_response(ask)))

    def responses_stream(self, ask: Ask, pieces: list[Any]) -> None:
        with sync_client(ask) as client, client.responses.stream(**_response(ask)) as stream:
            pieces.extend(stream)
            pieces.append(stream.get_final_response())

    async def async_chat(self, ask: Ask, pieces: list[Any]) -> None:
        async with async_client(ask) as client:
            pieces.append(await client.chat.completions.parse(**_chat(ask)))

    async def async_chat_stream(self, ask: Ask, pieces: list[Any]) -> None:
        options = {"stream_options": {"include_usage": True}}
        async with async_client(ask) as client, client.chat.completions.stream(**_chat(ask), **options) as stream:
            async for event in stream:
                pieces.append(event)
            pieces.append(await stream.get_final_completion())

    async def async_responses(self, ask: Ask, pieces: list[Any]) -> None:
        async with async_client(ask) as client:
            pieces.append(await client.responses.parse(**_response(ask)))

    async def async_responses_stream(self, ask: Ask, pieces: list[Any]) -> None:
        async with async_client(ask) as client, client.responses.stream(**_response(ask)) as stream:
            async for event in stream:
                pieces.append(event)
            pieces.append(await stream.get_final_response())


class OpenAIRaw(Driver):
    """``with_raw_response`` and ``with_streaming_response``: the HTTP answer itself."""

    name = "openai"
    variant = "raw"
    package = "openai"
    needs = ("openai",)

    def chat(self, ask: Ask, pieces: list[Any]) -> None:
        with sync_client(ask) as client:
            raw = client.chat.completions.with_raw_response.create(**_chat(ask))
            pieces += [raw, raw.status_code, raw.text if isinstance(raw.text, str) else raw.text(), raw.parse()]

    def chat_stream(self, ask: Ask, pieces: list[Any]) -> None:
        with sync_client(ask) as client:
            streaming = client.chat.completions.with_streaming_response.create(**_chat(ask), **USAGE)
            with streaming as response:
                pieces.extend(response.iter_lines())

    async def async_responses(self, ask: Ask, pieces: list[Any]) -> None:
        async with async_client(ask) as client:
            raw = await client.responses.with_raw_response.create(**_response(ask))
            pieces += [raw, raw.status_code, raw.parse()]

    async def async_responses_stream(self, ask: Ask, pieces: list[Any]) -> None:
        async with async_client(ask) as client:
            streaming = client.responses.with_streaming_response.create(**_response(ask), stream=True)
            async with streaming as response:
                async for line in response.iter_lines():
                    pieces.append(line)


class OpenAIOverAiohttp(OpenAI):
    """The extra ``openai[aiohttp]``, which is asynchronous only."""

    name = "openai[aiohttp]"
    needs = ("openai", "aiohttp")
    chat = chat_stream = responses = responses_stream = property()  # type: ignore[assignment]

    def _client(self, ask: Ask) -> Any:
        import openai

        return async_client(ask, http_client=openai.DefaultAioHttpClient())

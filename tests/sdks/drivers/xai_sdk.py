"""xAI's own SDK, which speaks gRPC."""

from typing import Any

from sdks.cells import KEY, Ask, Driver


def client(ask: Ask, kind: str) -> Any:
    """A client of the SDK (``Client`` or ``AsyncClient``) for the local server, with the metadata that headers would be."""
    import xai_sdk

    return getattr(xai_sdk, kind)(
        api_key=KEY,
        api_host=ask.grpc,
        metadata=tuple(ask.headers.items()),
        use_insecure_channel=True,
        channel_options=[("grpc.enable_retries", 0)],
    )


def _chat(client: Any, ask: Ask) -> Any:
    from xai_sdk import chat

    return client.chat.create(model=ask.model, messages=[getattr(chat, role)(text) for role, text in ask.turns])


class XAISDK(Driver):
    """``sample`` and ``stream``."""

    name = package = "xai-sdk"
    needs = ("xai_sdk",)

    def grpc(self, ask: Ask, pieces: list[Any]) -> None:
        with client(ask, "Client") as xai:
            response = _chat(xai, ask).sample()
            pieces += [response, response.proto]

    def grpc_stream(self, ask: Ask, pieces: list[Any]) -> None:
        with client(ask, "Client") as xai:
            for response, chunk in _chat(xai, ask).stream():
                pieces += [response, chunk, chunk.proto]
            pieces.append(response.proto)

    async def async_grpc(self, ask: Ask, pieces: list[Any]) -> None:
        async with client(ask, "AsyncClient") as xai:
            response = await _chat(xai, ask).sample()
            pieces += [response, response.proto]

    async def async_grpc_stream(self, ask: Ask, pieces: list[Any]) -> None:
        async with client(ask, "AsyncClient") as xai:
            async for response, chunk in _chat(xai, ask).stream():
                pieces += [response, chunk, chunk.proto]
            pieces.append(response.proto)

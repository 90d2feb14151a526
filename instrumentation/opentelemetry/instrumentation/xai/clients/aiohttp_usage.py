"""A request of aiohttp's that asks for usage in the stead of the application's own.

Another payload is handed on, with the type that the application's has. Middlewares and tracing see what is sent, since
they may sign it. Afterwards responses and exceptions say that the application's request was sent.
"""

from typing import Any

from ..guard import guarded
from ..observer import ObservedCall

_LENGTH, _CODINGS, _PLAIN = "Content-Length", "Accept-Encoding", "identity"


class Stead:
    """What is sent, and what it stands for."""

    __slots__ = ("_length", "_own_codings", "_own_length")

    def __init__(self, module: Any, kwargs: dict[str, Any], body: bytes) -> None:
        payload, headers = module.payload, kwargs["headers"]
        own = payload.PAYLOAD_REGISTRY.get(kwargs["data"], disposition=None)
        self._length = str(len(body))
        self._own_length = headers.get(_LENGTH, str(own.size))
        skipped = {str(name).lower() for name in kwargs.get("skip_auto_headers") or ()}
        default = None if _CODINGS.lower() in skipped else module.ClientRequest.DEFAULT_HEADERS[_CODINGS]
        self._own_codings = headers.get(_CODINGS, default)
        kwargs["data"] = payload.BytesPayload(body, headers=own.headers)
        headers[_CODINGS] = _PLAIN
        if _LENGTH in headers:
            headers[_LENGTH] = self._length

    @guarded
    def put_back(self, response: Any) -> None:
        """Let a response, and those before it, name the application's request."""
        for each in (*response.history, response):
            each._request_info = self._own_info(each._request_info)

    @guarded
    def put_back_in(self, error: BaseException) -> None:
        """Let an exception name the application's request."""
        if getattr(error, "request_info", None) is not None:
            error.request_info = self._own_info(error.request_info)  # type: ignore[attr-defined]
        for each in getattr(error, "history", ()):
            self.put_back(each)

    def _own_info(self, info: Any) -> Any:
        headers = info.headers.copy()
        if headers.get(_CODINGS) == _PLAIN:
            if self._own_codings is None:
                del headers[_CODINGS]
            else:
                headers[_CODINGS] = self._own_codings
        if headers.get(_LENGTH) == self._length:
            headers[_LENGTH] = self._own_length
        return type(info)(info.url, info.method, type(info.headers)(headers), info.real_url)


@guarded
def stead_of(module: Any, call: ObservedCall, kwargs: dict[str, Any]) -> Stead | None:
    """Ask in a request that is about to be sent, if that is to be; files are the application's to be read."""
    if not isinstance(kwargs.get("data"), (bytes, bytearray, memoryview, str, module.payload.BytesPayload)):
        return None
    body = call.ask()
    return None if body is None else Stead(module, kwargs, body)

"""A request of httpx or httpx2 in the stead of the application's own, which asks for usage.

It is another object, so the application's own stays as it was, and may be sent again. Hooks and authentication see the
one that is sent, since they may sign it; what they did to its headers is then done to the application's, as if that had
been sent. Afterwards responses and exceptions name the application's request, and redirects carry its body.
"""

from typing import Any

from ..guard import guarded

_LENGTH, _CODINGS, _PLAIN = "content-length", "accept-encoding", "identity"


class Stead:
    """The request that is sent, and what it stands for."""

    __slots__ = ("_own", "_sent", "request")

    def __init__(self, module: Any, own: Any, body: bytes) -> None:
        self._own = own
        self.request = request = object.__new__(type(own))
        """The request to send."""
        vars(request).update(vars(own))
        request.headers = module.Headers(own.headers)
        request.headers[_CODINGS] = _PLAIN
        if _LENGTH in request.headers:
            request.headers[_LENGTH] = str(len(body))
        request.stream = module.ByteStream(body)
        request._content = body  # where these libraries keep what was read
        self._sent = module.Headers(request.headers)

    @guarded
    def put_back(self, response: Any) -> None:
        """Let a response, and those before it, name the application's request."""
        self._put_back_headers()
        for each in (*response.history, response):
            if each.request is self.request:
                each.request = self._own
            else:
                self._restore(each.request)
            if each.next_request is not None:
                self._restore(each.next_request)

    @guarded
    def put_back_in(self, error: BaseException) -> None:
        """Let an exception name the application's request."""
        self._put_back_headers()
        if getattr(error, "_request", None) is self.request:
            error.request = self._own  # type: ignore[attr-defined]
        response = getattr(error, "response", None)
        if response is not None:
            self.put_back(response)

    def _put_back_headers(self) -> None:
        """Do to the application's headers what hooks and authentication did to those that were sent."""
        if self.request.headers.raw != self._sent.raw:
            headers = type(self._sent)(self.request.headers)
            self._plain_again(headers)
            self._own.headers = headers
            self._sent = type(self._sent)(self.request.headers)

    def _restore(self, request: Any) -> None:
        """Let a request that was made of ours, for a redirect, be one that was made of the application's."""
        if request.stream is self.request.stream:
            request.stream = self._own.stream
        self._plain_again(request.headers)

    def _plain_again(self, headers: Any) -> None:
        """Undo in headers what we changed, where that is what they have."""
        for name in (_LENGTH, _CODINGS):
            if name in headers and headers[name] == self._sent.get(name):
                if name in self._own.headers:
                    headers[name] = self._own.headers[name]
                else:
                    del headers[name]

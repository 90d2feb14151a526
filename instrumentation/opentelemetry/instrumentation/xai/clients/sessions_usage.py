"""A request of requests or niquests in the stead of the application's own, which asks for usage.

An adapter sends it, so redirects, authentication and hooks of the session only know the application's: that is the one
that its answer and its exceptions name. What an adapter did to the request that it sent is done to the application's.
"""

import copy
from typing import Any

from ..guard import guarded

_LENGTH, _CODINGS, _PLAIN = "Content-Length", "Accept-Encoding", "identity"
_OURS = ("body", "headers")


class Stead:
    """The request that is sent, and what it stands for."""

    __slots__ = ("_headers", "_state", "own", "request")

    def __init__(self, own: Any, body: bytes) -> None:
        self.own = own
        """The application's request."""
        self.request = request = copy.copy(own)
        """The request to send."""
        request.headers = own.headers.copy()
        request.headers[_CODINGS] = _PLAIN
        if _LENGTH in request.headers:
            request.headers[_LENGTH] = str(len(body))
        request.body = body
        self._headers = request.headers.copy()
        self._state = dict(vars(request))

    @guarded
    def put_back(self, response: Any) -> None:
        """Let an answer name the application's request."""
        self._put_back_changes()
        if vars(response).get("request") is self.request:
            response.request = self.own

    @guarded
    def put_back_in(self, error: BaseException) -> None:
        """Let an exception name the application's request."""
        self._put_back_changes()
        if getattr(error, "request", None) is self.request:
            error.request = self.own  # type: ignore[attr-defined]

    def _put_back_changes(self) -> None:
        own, sent = self.own, self.request
        for name, value in vars(sent).items():
            if name not in _OURS and value is not self._state.get(name):
                setattr(own, name, value)
        for name in (*self._headers, *sent.headers):
            value = sent.headers.get(name)
            if value == self._headers.get(name):
                continue
            if value is None:
                own.headers.pop(name, None)
            else:
                own.headers[name] = value

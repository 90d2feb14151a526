"""Whom the stubs of the official SDK talk to, and what their client sends with every call.

On a secure channel a client's metadata, and with it the conversation id, is added by the call's credentials, which no
interceptor sees. So it is taken from the client's own arguments while it is made, and kept for the stub that it makes,
as long as that lives. Of a client that was made before, address and metadata are looked for in its channel; what a
secure one sends is not to be seen there.
"""

import copy
import inspect
import os
import re
import weakref
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any, NamedTuple

from msgspec import structs

from .. import conventions as names
from ..guard import guarded
from ..limits import LONGEST_NAME
from ..wire.request import Carried

_HOST = "api.x.ai"
_PORT = 443
_CONVERSATION = "x-grok-conv-id"
_RESOLVER = re.compile(r"(?:dns|ipv4|ipv6|passthrough|xds|google-c2p):(?://[^/]*/)?")
_MOST_LAYERS = 16


class Peer(NamedTuple):
    """A server, and what goes to it with each call."""

    host: str
    port: int
    carried: Carried


def address_of(target: str) -> tuple[str, int]:
    """Host and port of a channel's target: ``localhost:50051``, ``dns:///api.x.ai``, ``[::1]:50051``."""
    rest = _RESOLVER.sub("", target, count=1).partition(",")[0]
    if rest.startswith("["):
        host, _, port = rest[1:].partition("]")
        port = port.removeprefix(":")
    elif rest.count(":") == 1:
        host, _, port = rest.partition(":")
    else:
        host, port = rest, ""
    return host.lower(), int(port) if port.isdecimal() and len(port) < 6 else _PORT


def identity_in(metadata: Iterable[tuple[Any, Any]] | None) -> str | None:
    """The conversation id in metadata."""
    for name, value in metadata or ():
        if str(name).lower() == _CONVERSATION and value:
            return (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value))[:LONGEST_NAME]
    return None


def _carried(metadata: Any, api_key: Any, *, is_known: bool = True) -> Carried:
    credentials = f"Bearer {api_key}".encode("utf-8", "replace") if api_key else b""
    return Carried(identity_in(metadata), names.SOURCE_METADATA, credentials, is_known)


class Peers:
    """The peers of all stubs."""

    def __init__(self) -> None:
        self._of: weakref.WeakKeyDictionary[Any, Peer] = weakref.WeakKeyDictionary()
        self._making: ContextVar[Peer | None] = ContextVar("xai-making", default=None)

    def of(self, stub: Any, method: str) -> Peer:
        """The peer of a stub; ``method`` is one that it has."""
        peer = self._of.get(stub)
        if peer is None:
            peer = self._of[stub] = _found(vars(stub)[method]) or Peer(
                _HOST, _PORT, _carried(None, None, is_known=False)
            )
        return peer

    def around_client(self, original: Any) -> Any:
        """The wrapper of the clients' ``__init__``."""
        signature = inspect.signature(original)

        @guarded
        def announced(client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Peer | None:
            try:
                bound = signature.bind(client, *args, **kwargs)
            except TypeError:  # the client itself will say so
                return None
            bound.apply_defaults()
            given = bound.arguments
            host, port = address_of(str(given.get("api_host") or _HOST))
            return Peer(host, port, _carried(given["metadata"], given["api_key"] or os.environ.get("XAI_API_KEY")))

        def __init__(client: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
            token = self._making.set(announced(client, args, kwargs))
            try:
                original(client, *args, **kwargs)
            finally:
                self._making.reset(token)

        return __init__

    def around_stub(self, original: Any) -> Any:
        """The wrapper of the stub's ``__init__``."""

        def __init__(stub: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
            original(stub, *args, **kwargs)
            peer = self._making.get()
            if peer is not None:
                self._of[stub] = peer

        return __init__

    def around_chat(self, stub_type: type) -> Callable[[Any], Any]:
        """The wrapper of the chats' ``__init__``, which may be given a conversation id that is never sent.

        Such a chat gets a stub of its own that is known by this id, so that its calls can say so.
        """

        @guarded
        def labelled(stub: Any, label: Any) -> Any:
            if not (isinstance(label, str) and label and isinstance(stub, stub_type)):
                return None
            peer = self.of(stub, next(name for name in vars(stub)))
            own = copy.copy(stub)
            self._of[own] = peer._replace(carried=structs.replace(peer.carried, label=label[:LONGEST_NAME]))
            return own

        def around(original: Any) -> Any:
            def __init__(chat: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
                label = args[1] if len(args) > 1 else kwargs.get("conversation_id")
                own = labelled(args[0], label) if args and label else None
                original(chat, *args, **kwargs) if own is None else original(chat, own, *args[1:], **kwargs)

            return __init__

        return around


@guarded
def _found(method: Any) -> Peer | None:
    """What the channel of a stub's method tells: known are the layers of gRPC, and the SDK's own interceptors."""
    authenticating: Any = None
    for _ in range(_MOST_LAYERS):
        for interceptor in (*(getattr(method, "_interceptors", None) or ()), getattr(method, "_interceptor", None)):
            if hasattr(interceptor, "_api_key") and hasattr(interceptor, "_metadata"):
                authenticating = interceptor
        thunk = getattr(method, "_thunk", None)
        if thunk is None:
            break
        method = thunk(method._method)  # noqa: SLF001
    target = getattr(getattr(method, "_channel", None), "target", None)
    name = target() if callable(target) else target  # of asynchronous channels it is an attribute
    if not isinstance(name, (bytes, str)):
        return None
    host, port = address_of(name.decode() if isinstance(name, bytes) else name)
    if authenticating is None:
        return Peer(host, port, _carried(None, None, is_known=False))
    return Peer(host, port, _carried(authenticating._metadata, authenticating._api_key))  # noqa: SLF001

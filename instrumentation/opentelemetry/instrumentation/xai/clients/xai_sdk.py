"""xai-sdk, the official SDK, which speaks gRPC; it lies under pydantic-ai's ``XaiModel`` and instructor's ``from_xai``.

Every call of a chat, of whichever colour, goes through a method of ``ChatStub``, the class that protobuf makes of the
service. The methods are attributes of each stub; a descriptor of the same name on the class stands before them. So
clients that were made before are observed too, and nothing of ours is left in any stub when the class has been given
back. The names are those of the service: no private one of gRPC's or of the SDK's is needed, and other traffic over
gRPC pays nothing.
"""

from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

from msgspec import structs

from ..guard import fault
from ..observer import Failures, Observer
from ..wire.grpc_chat import METHODS, GrpcMethod
from . import CurrentObserver
from .grpc_calls import Arguments, ObservedMethod, metadata_of, status_of, with_metadata
from .grpc_deferred import Deferred
from .grpc_generators import Generators
from .grpc_peers import Peers, identity_in
from .patching import together, wrap

_START = "StartDeferredCompletion"
_POLL = "GetDeferredCompletion"
_FAILURES = Failures(timeout=(TimeoutError,), transport=(), decoding="")


def methods(module: ModuleType) -> list[tuple[type, str]]:
    """The methods of the stub of chats."""
    stub_type = _stub_type(module)
    return [] if stub_type is None else [(stub_type, name) for name in (*METHODS, _POLL)]


def patch(module: ModuleType, current: CurrentObserver) -> Callable[[], None]:
    """Observe the methods of the stub of chats, and return what gives it back."""
    stub_type = _stub_type(module)
    if stub_type is None:
        return together([])
    base, synchronous, asynchronous = (
        import_module(f"{module.__name__}.{name}") for name in ("chat", "sync.chat", "aio.chat")
    )
    service = _Service(current)
    undo: list[Callable[[], None]] = [service.deferred.end]
    undo += [_observe(stub_type, name, service) for name in (*METHODS, _POLL)]
    undo.append(wrap(import_module(f"{module.__name__}.client").BaseClient, "__init__", service.peers.around_client))
    undo.append(wrap(stub_type, "__init__", service.peers.around_stub))
    undo.append(wrap(base.BaseChat, "__init__", service.peers.around_chat(stub_type)))
    undo += [
        wrap(chat.Chat, name, service.deferred.around_defer)
        for chat in (synchronous, asynchronous)
        for name in ("defer", "defer_batch")
    ]
    undo += [
        wrap(chat.Chat, name, service.generators.around)
        for chat in (synchronous, asynchronous)
        for name in ("stream", "stream_batch")
    ]
    return together(undo)


def _stub_type(module: ModuleType) -> type | None:
    try:
        proto = import_module(f"{module.__name__}.proto")
    except ImportError:  # something else of this name
        return None
    found = getattr(getattr(proto, "chat_pb2_grpc", None), "ChatStub", None)
    return found if isinstance(found, type) else None


class _Service:
    """The service of chats, as long as it is observed."""

    def __init__(self, current: CurrentObserver) -> None:
        self._current = current
        self.peers = Peers()
        self.deferred = Deferred()
        self.generators = Generators()

    def begin(
        self, stub: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> "tuple[Any, Arguments] | None":
        """Begin to observe a call of a stub's method; ``None`` where there is nothing to observe."""
        try:
            observer = self._current.observer
            if observer is None:
                return None
            message = args[0] if args else kwargs["request"]
            method = METHODS.get(name)
            if method is None:
                polling = self.deferred.poll(message.request_id)
                return None if polling is None else (polling, (args, kwargs))
            return self._watch(observer, method, stub, name, message, args, kwargs)
        except Exception as error:
            fault("_Service.begin", error)
        return None

    def _watch(
        self,
        observer: Observer,
        method: GrpcMethod,
        stub: Any,
        name: str,
        message: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> "tuple[Any, Arguments] | None":
        host, port, carried = self.peers.of(stub, name)
        if not observer.hosts[host]:
            return None
        own = identity_in(metadata_of(args, kwargs))
        if own is not None:
            carried = structs.replace(carried, identity=own, is_known=True)
        carrier: dict[str, str] = {}
        call = observer.watch_messages(method, host, port, carried, message, carrier, _FAILURES, status_of)
        if call is None:
            return None
        self.generators.began(call)
        arguments = _carrying(args, kwargs, carrier)
        return (self.deferred.start(call) if name == _START else call), arguments


def _carrying(args: tuple[Any, ...], kwargs: dict[str, Any], carrier: dict[str, str]) -> Arguments:
    try:
        return with_metadata(args, kwargs, carrier)
    except Exception as error:  # the call is being observed already, and goes out as it is
        fault("_carrying", error)
        return args, kwargs


class _Method:
    """A method of all stubs, on their class: what each stub has itself is kept where it was."""

    _opentelemetry_instrumentation_xai = True  # patching.is_wrapped knows it by this

    def __init__(self, name: str, service: _Service) -> None:
        self._name = name
        self._service = service

    def __get__(self, stub: Any, owner: type | None = None) -> Any:
        if stub is None:
            return self
        try:
            own = vars(stub)[self._name]
        except KeyError:
            raise AttributeError(self._name) from None
        name, begin = self._name, self._service.begin
        return ObservedMethod(own, lambda args, kwargs: begin(stub, name, args, kwargs))

    def __set__(self, stub: Any, value: Any) -> None:
        vars(stub)[self._name] = value

    def __delete__(self, stub: Any) -> None:
        del vars(stub)[self._name]


def _observe(stub_type: Any, name: str, service: _Service) -> Callable[[], None]:
    """Put a descriptor before a method of all stubs; returns what takes it away."""
    if name in vars(stub_type):
        return together([])
    descriptor = _Method(name, service)
    setattr(stub_type, name, descriptor)

    def restore() -> None:
        if vars(stub_type).get(name) is descriptor:
            delattr(stub_type, name)

    return restore

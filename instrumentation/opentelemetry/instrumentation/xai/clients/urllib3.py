"""urllib3 1.26 and 2, and urllib3-future, which takes its name.

What is sent passes ``PoolManager.urlopen``, or, where the application holds a pool, that pool's. Both call themselves
again to retry and to follow redirects: that is one exchange, with the facts of the last answer. A body that urllib3
reads before it returns the answer (``preload_content``) is taken from there; another is tapped.

OpenTelemetry's instrumentation wraps the pool's method and suppresses what is beneath its own span: of calls through a
manager that is a child of ours, of calls through a pool of the application's own ours is the child.
"""

from collections.abc import Callable
from http.client import HTTPException
from types import ModuleType
from typing import Any

from ..guard import fault, guarded
from ..observer import Failures, ObservedCall, Observer, qualified_name
from . import CurrentObserver
from .bystanders import let_pass, pool_concerns, url_concerns
from .file_body import tap_body
from .patching import wrap_each
from .request_parts import DEFAULT_PORTS, Address, address_of, header_pairs, host_of, known_body, suppressed_by

_OTHERS = "opentelemetry.instrumentation.urllib3"
_LENGTH, _CODINGS, _PLAIN = "content-length", "accept-encoding", "identity"
_OF_MANAGER = ("self", "method", "url")
_OF_POOL = ("self", "method", "url", "body", "headers")
"""Which arguments of either ``urlopen`` may be given by their places, as far as they matter here."""


def methods(module: ModuleType) -> list[tuple[type, str]]:
    """``urlopen`` of managers and of pools; in urllib3-future of the asynchronous ones, too."""
    names = ("PoolManager", "HTTPConnectionPool", "AsyncPoolManager", "AsyncHTTPConnectionPool")
    return [(getattr(module, name), "urlopen") for name in names if hasattr(module, name)]


def patch(module: ModuleType, current: CurrentObserver) -> Callable[[], None]:
    """Wrap the methods of urllib3 and return what puts the originals back."""
    library = _Library(module, current)
    return wrap_each(
        methods(module),
        library.around_manager,
        library.around_pool,
        library.around_async_manager,
        library.around_async_pool,
    )


class _Library:
    """urllib3: its exceptions, and the wrappers around its methods."""

    def __init__(self, module: Any, current: CurrentObserver) -> None:
        self._current = current
        self.home = str(getattr(module, "__file__", "")).rpartition("/")[0]
        self.exceptions = exceptions = module.exceptions
        self.failures = Failures(
            timeout=(exceptions.TimeoutError, TimeoutError),
            transport=(exceptions.ProtocolError, exceptions.SSLError, HTTPException, OSError, EOFError),
            decoding=qualified_name(exceptions.DecodeError),
            no_timeout=(exceptions.NewConnectionError,),
        )

    def around_manager(self, original: Any) -> Any:
        """The wrapper of ``PoolManager.urlopen``."""
        observed, concerns = _around(original, self._from_manager), url_concerns(self._current)

        def urlopen(*args: Any, **kwargs: Any) -> Any:  # as given: of the keywords that may be, few are
            if concerns(args[2] if len(args) > 2 else kwargs.get("url")):
                return observed(*args, **kwargs)
            return original(*args, **kwargs)

        return urlopen

    def around_pool(self, original: Any) -> Any:
        """The wrapper of ``HTTPConnectionPool.urlopen``."""
        return let_pass(original, _around(original, self._from_pool), pool_concerns(self._current), ("self",))

    def around_async_manager(self, original: Any) -> Any:
        """The wrapper of ``AsyncPoolManager.urlopen``."""
        return _around_async(original, self._from_manager)

    def around_async_pool(self, original: Any) -> Any:
        """The wrapper of ``AsyncHTTPConnectionPool.urlopen``."""
        return let_pass(original, _around_async(original, self._from_pool), pool_concerns(self._current), ("self",))

    def _from_manager(self, args: Any, kwargs: Any) -> "_Sending | None":
        """What a manager is asked to send, if it is observed."""
        try:
            url, observer = _argument(_OF_MANAGER, args, kwargs, "url"), self._current.observer
            if observer is None or type(url) is not str or not observer.hosts[host_of(url)]:
                return None
            sending = _Sending(self, _OF_MANAGER, args, kwargs)
            return sending if sending.begin(observer, address_of(url)) else None
        except Exception as error:
            fault("_Library._from_manager", error)
            return None

    def _from_pool(self, args: Any, kwargs: Any) -> "_Sending | None":
        """What a pool is asked to send, if it is observed."""
        try:
            pool, observer = args[0], self._current.observer
            if observer is None or not observer.hosts[pool.host]:
                return None
            url = _argument(_OF_POOL, args, kwargs, "url")
            if url.startswith("/"):
                address = Address(pool.host, pool.port or DEFAULT_PORTS.get(pool.scheme, 443), url.partition("?")[0])
            else:
                address = address_of(url)
            sending = _Sending(self, _OF_POOL, args, kwargs)
            return sending if sending.begin(observer, address, suppressed_by(_OTHERS)) else None
        except Exception as error:
            fault("_Library._from_pool", error)
            return None

    def response_in(self, error: BaseException | None) -> Any:
        """The response of which the body was being read when ``error`` was raised: urllib3's own frames know it."""
        found, frames = None, None if error is None else error.__traceback__
        while frames is not None:
            frame, frames = frames.tb_frame, frames.tb_next
            if frame.f_code.co_filename.startswith(self.home):
                body = frame.f_locals.get("self")
                found = body if hasattr(type(body), "_fp_read") else found
        return found


class _Sending:
    """One request while ``urlopen`` runs: its arguments as they are passed on, and what its outcome tells the call."""

    __slots__ = ("_call", "_library", "_places", "args", "kwargs")

    def __init__(self, library: _Library, places: tuple[str, ...], args: Any, kwargs: Any) -> None:
        self._library = library
        self._places = places
        self._call: ObservedCall | None = None
        self.args = args
        self.kwargs = kwargs

    def begin(self, observer: Observer, address: Address, beneath: bool = False) -> bool:
        """Begin the call, if this request is one; says whether it is. What is sent carries the trace context."""
        carrier: dict[str, str] = {}
        headers = self._argument("headers")
        if headers is None:
            owners: Any = self._argument("self").headers
            headers = owners if owners is not None else {}
        self._call = observer.watch(
            str(self._argument("method")).upper(),
            *address,
            header_pairs(headers.items()),
            known_body(self._argument("body")),
            carrier,
            self._library.failures,
            beneath,
        )
        if self._call is not None:
            if carrier:
                headers = self._put_headers(headers, carrier)
            self._ask(self._call, headers)
        return self._call is not None

    @guarded
    def returned(self, response: Any) -> None:
        """``urlopen`` is about to return."""
        call = self._call
        assert call is not None
        if not hasattr(response, "status"):  # a promise of urllib3-future's
            call.closed()
            return
        call.headers_received(response.status, header_pairs(response.headers.items()))
        content = getattr(response, "_body", None)
        if content is None:
            if hasattr(type(response), "_fp_read"):
                tap_body(response, call)
                return
            content = response.data
        if not self.kwargs.get("decode_content", True):  # then it is as it was on the wire
            call.bytes_received(content)
            call.finished()
        else:
            call.finished(content)
        if call.hiding is not None and content:
            kept = call.hiding.whole(content)
            response._body = kept  # noqa: SLF001  where it is kept
            response._fp_bytes_read -= len(content) - len(kept)  # noqa: SLF001  what tell() tells

    @guarded
    def failed(self, error: BaseException) -> None:
        """``urlopen`` raised ``error``, perhaps while it read a body. That retries were used up may hide a timeout."""
        call, exceptions = self._call, self._library.exceptions
        assert call is not None
        reason = getattr(error, "reason", None)
        for each in (error, reason):
            response = self._library.response_in(each)
            if response is not None:
                call.headers_received(response.status, header_pairs(response.headers.items()))
                break
        call.failed(reason if isinstance(reason, exceptions.TimeoutError) else error)

    def _ask(self, call: ObservedCall, headers: Any) -> None:
        """Have another body sent, if usage is to be asked for. What is promised is not ours to hide anything in."""
        own = self._argument("body")
        body = None if self.kwargs.get("multiplexed") or known_body(own) is None else call.ask()
        if body is not None:
            length = {_LENGTH: str(len(body))} if any(name.lower() == _LENGTH for name in headers) else {}
            self._put_headers(headers, {_CODINGS: _PLAIN, **length})
            self._put("body", body)

    def _put_headers(self, headers: Any, changes: dict[str, str]) -> Any:
        """Have a copy of headers sent, with changes."""
        headers = headers.copy() if hasattr(headers, "copy") else dict(headers)
        for name in [name for name in headers if name.lower() in changes]:
            del headers[name]
        headers.update(changes)
        self._put("headers", headers)
        return headers

    def _put(self, name: str, value: Any) -> None:
        """Have another argument passed on."""
        index = self._places.index(name) if name in self._places else len(self.args)
        if index < len(self.args):
            self.args = (*self.args[:index], value, *self.args[index + 1 :])
        else:
            self.kwargs = {**self.kwargs, name: value}

    def _argument(self, name: str) -> Any:
        return _argument(self._places, self.args, self.kwargs, name)


def _argument(places: tuple[str, ...], args: Any, kwargs: Any, name: str) -> Any:
    """An argument, given by its place or by its name."""
    index = places.index(name) if name in places else len(args)
    return args[index] if index < len(args) else kwargs.get(name)


def _around(original: Any, find: Callable[[Any, Any], _Sending | None]) -> Any:
    """A wrapper that tells what ``find`` finds in a call's arguments of how it went."""

    def urlopen(*args: Any, **kwargs: Any) -> Any:
        sending = find(args, kwargs)
        if sending is None:
            return original(*args, **kwargs)
        try:
            response = original(*sending.args, **sending.kwargs)
        except BaseException as error:
            sending.failed(error)
            raise
        sending.returned(response)
        return response

    return urlopen


def _around_async(original: Any, find: Callable[[Any, Any], _Sending | None]) -> Any:
    """The same around a coroutine."""

    async def urlopen(*args: Any, **kwargs: Any) -> Any:
        sending = find(args, kwargs)
        if sending is None:
            return await original(*args, **kwargs)
        try:
            response = await original(*sending.args, **sending.kwargs)
        except BaseException as error:
            sending.failed(error)
            raise
        sending.returned(response)
        return response

    return urlopen

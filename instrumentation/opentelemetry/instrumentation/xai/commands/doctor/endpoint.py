"""An endpoint of OTLP: how it may be shown, and whether something answers there.

It is asked as an exporter would ask: one empty export, with the headers that the variables give it, through the proxy
that they name. The address is shown without user, password, query, and anything in the path that is long enough to be
a token. Of failures, the kind is told, never a message.
"""

import base64
import http.client
import re
import socket
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from opentelemetry.instrumentation.utils import suppress_instrumentation

from ...version import __version__

_PATIENCE_S = 2.0
_OTLP = "OTEL_EXPORTER_OTLP_"
_HIDDEN = "***"
_MAYBE_TOKEN = re.compile(r"[^/]{20,}")


@dataclass(frozen=True)
class Answer:
    """What came of asking an endpoint."""

    reachable: bool | None
    """``None`` where it was not tried."""
    status: int | None
    """The status of HTTP, if it came to that."""
    said: str


def shown_endpoint(url: str) -> str:
    """An endpoint as it may be shown."""
    try:
        parts = _split(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return _HIDDEN
    if not host or "@" in parts.path + parts.query + parts.fragment:  # then nobody knows where the password ends
        return _HIDDEN
    host = f"[{host}]" if ":" in host else host
    scheme = f"{parts.scheme}://" if "://" in url else ""
    return f"{scheme}{host}{f':{port}' if port else ''}{_MAYBE_TOKEN.sub('***', parts.path)}"


def ask(requests: list[tuple[str, str, str]], environ: Mapping[str, str]) -> list[Answer]:
    """Ask endpoints, all at once and each for two seconds: of each, signal, protocol and URL are given."""
    answers = [Answer(reachable=False, status=None, said=f"no answer within {_PATIENCE_S:.0f} s") for _ in requests]

    def ask_one(index: int) -> None:
        signal, protocol, url = requests[index]
        with suppress_instrumentation():
            answers[index] = _asked(signal, protocol, url, environ)

    threads = [threading.Thread(target=ask_one, args=(index,), daemon=True) for index in range(len(requests))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_PATIENCE_S + 0.5)  # looking up a name has no timeout of its own
    return list(answers)


def _asked(signal: str, protocol: str, url: str, environ: Mapping[str, str]) -> Answer:
    if shown_endpoint(url) == _HIDDEN:
        return Answer(reachable=False, status=None, said="special characters in a password must be percent-encoded")
    try:
        parts = _split(url)
        if protocol == "grpc":
            if not parts.hostname:
                return Answer(reachable=None, status=None, said="not tried: no host and port")
            socket.create_connection((parts.hostname, parts.port or 443), _PATIENCE_S).close()
            return Answer(reachable=True, status=None, said="accepts connections")
        status = _post(parts, signal, environ)
    except Exception as error:
        return Answer(reachable=False, status=None, said=_kind(error))
    fine = 200 <= status < 300
    return Answer(fine, status, "answers" if fine else f"answers with HTTP status {status}")


def _split(url: str) -> SplitResult:
    return urlsplit(url if "://" in url else f"//{url}")


def _post(parts: SplitResult, signal: str, environ: Mapping[str, str]) -> int:
    """Send an empty export, which is a message of no bytes, and return the status."""
    headers = {
        **_headers(environ.get(f"{_OTLP}HEADERS", "")),
        **_headers(environ.get(f"{_OTLP}{signal.upper()}_HEADERS", "")),
        "Content-Type": "application/x-protobuf",
        "User-Agent": f"xai-otel-doctor/{__version__}",
    }
    if parts.username or parts.password:
        user = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(user.encode()).decode()
    url = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()
    request = urllib.request.Request(url, b"", headers, method="POST")  # noqa: S310  http or https: it was checked
    handlers: list[Any] = [_NoRedirects()]
    if parts.scheme == "https":
        handlers.append(urllib.request.HTTPSHandler(context=_tls(signal, environ)))
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=_PATIENCE_S) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows nowhere: the headers are for the endpoint that was named."""

    def redirect_request(self, *_args: Any, **_kwargs: Any) -> None: ...


def _headers(text: str) -> dict[str, str]:
    pairs = (entry.partition("=") for entry in text.split(",") if "=" in entry)
    return {name.strip().title(): unquote(value.strip()) for name, _, value in pairs}


def _tls(signal: str, environ: Mapping[str, str]) -> ssl.SSLContext:
    def named(what: str) -> str | None:
        return environ.get(f"{_OTLP}{signal.upper()}_{what}") or environ.get(f"{_OTLP}{what}") or None

    authorities = named("CERTIFICATE")
    if authorities is None and find_spec("certifi"):  # as the exporter's HTTP library has it
        authorities = import_module("certifi").where()
    context = ssl.create_default_context(cafile=authorities)
    certificate = named("CLIENT_CERTIFICATE")
    if certificate:
        context.load_cert_chain(certificate, named("CLIENT_KEY"))
    return context


def _kind(error: BaseException) -> str:
    """What kind of failure it was."""
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, BaseException):
        error = error.reason
    kinds: tuple[tuple[type[BaseException], str], ...] = (
        (http.client.InvalidURL, "not a valid URL"),
        (http.client.HTTPException, "it does not speak HTTP"),
        (ConnectionRefusedError, "connection refused"),
        (TimeoutError, f"no answer within {_PATIENCE_S:.0f} s"),
        (socket.gaierror, "host name not found"),
        (ssl.SSLCertVerificationError, "its TLS certificate is not trusted"),
        (ssl.SSLError, "no TLS there"),
    )
    return next((text for kind, text in kinds if isinstance(error, kind)), type(error).__name__)

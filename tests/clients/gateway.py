"""A server that reports usage on a stream only if it is asked to, and remembers how it was asked."""

import gzip
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USAGE = {
    "prompt_tokens": 1200,
    "completion_tokens": 2,
    "total_tokens": 1209,
    "prompt_tokens_details": {"cached_tokens": 1024},
    "completion_tokens_details": {"reasoning_tokens": 7},
    "cost_in_usd_ticks": 1466250,
}
_HEAD = {"id": "one", "object": "chat.completion.chunk", "created": 1770774058, "model": "grok-4.7"}


def events(*, asked: bool, end: str = "\n", texts: int = 5) -> list[bytes]:
    """The events of a stream."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": f' né\u2028{number} "choices":[] '} for number in range(texts)]
    chunks = [{**_HEAD, "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    chunks.append({**_HEAD, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    if asked:
        chunks.append({**_HEAD, "choices": [], "usage": USAGE})
    return [f"data: {text}{end}{end}".encode() for text in [*(json.dumps(chunk) for chunk in chunks), "[DONE]"]]


@dataclass
class Received:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def asked(self) -> bool:
        """Whether it asks for usage."""
        options = json.loads(self.body).get("stream_options")
        return bool(options and options.get("include_usage"))


@dataclass
class Gateway:
    """How it answers, and what it has received."""

    url: str = ""
    end: str = "\n"
    split: int | None = None
    texts: int = 5
    gzips: bool = False
    cut: int | None = None
    """Bytes after which the connection ends."""
    frame: str = "chunks"
    """How the end of a stream is told: ``chunks``, ``length``, or ``close``."""
    refuses: int | None = None
    """The status for whoever asks for usage."""
    status: int | None = None
    """The status for all."""
    redirects: bool = False
    received: list[Received] = field(default_factory=list)

    @property
    def asked(self) -> list[bool]:
        """Who asked."""
        return [each.asked for each in self.received]


@contextmanager
def serving(**how: Any) -> Iterator[Gateway]:
    """Run one."""
    gateway = Gateway(**how)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_arguments: Any) -> None:
            """Log nothing."""

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            received = Received(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            gateway.received.append(received)
            if gateway.redirects and not self.path.startswith("/moved"):
                self._answer(307, b"", [("location", f"{gateway.url}/moved{self.path}")])
                return
            status = gateway.status or (gateway.refuses if received.asked else None)
            if status:
                self._answer(status, b'{"error":"no"}', [("content-type", "application/json")])
                return
            self._stream(received.asked)

        def _answer(self, status: int, content: bytes, headers: list[tuple[str, str]]) -> None:
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _stream(self, asked: bool) -> None:
            pieces = events(asked=asked, end=gateway.end, texts=gateway.texts)
            if gateway.split or gateway.cut is not None:
                whole = b"".join(pieces)[: gateway.cut]
                size = gateway.split or len(whole)
                pieces = [whole[start : start + size] for start in range(0, len(whole), size)]
            if gateway.gzips:
                pieces = [gzip.compress(b"".join(pieces), mtime=0)]
            self.send_response_only(200)  # without a date, which would differ from one answer to the next
            self.send_header("content-type", "text/event-stream")
            if gateway.gzips:
                self.send_header("content-encoding", "gzip")
            if gateway.frame == "chunks":
                self.send_header("transfer-encoding", "chunked")
            elif gateway.frame == "length":
                whole = events(asked=asked, end=gateway.end, texts=gateway.texts)
                self.send_header("content-length", str(len(b"".join(whole))))
            self.end_headers()
            self.close_connection = gateway.cut is not None or gateway.frame == "close"
            with suppress(ConnectionError):  # whoever does not read to the end
                self._write(pieces)

        def _write(self, pieces: list[bytes]) -> None:
            for piece in pieces:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if gateway.frame == "chunks" else piece)
            if gateway.cut is None and gateway.frame == "chunks":
                self.wfile.write(b"0\r\n\r\n")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    gateway.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield gateway
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


DELIVERIES = [
    *({"frame": frame, "split": size} for frame in ("chunks", "length", "close") for size in (None, 1, 7, 10_000)),
    *({"frame": frame, "cut": cut} for frame in ("chunks", "length") for cut in (700, len(events(asked=True)[0]) + 40)),
    {"end": "\r\n", "split": 3},
]
"""Ways in which a stream may come."""


def comparable(seen: tuple[Any, ...]) -> list[Any]:
    """What was seen, but for the length that was told, which is the one of what was sent."""
    return [_without_length(part) if isinstance(part, list) else part for part in seen]


def _without_length(part: list[Any]) -> list[Any]:
    pairs = [each for each in part if not (_is_length(each))]
    return [
        (each[0], re.sub(r"[0-9]+ more.*", "", each[1]), *each[2:])
        if isinstance(each, tuple) and isinstance(each[0], type)
        else each
        for each in pairs
    ]


def _is_length(part: Any) -> bool:
    """Whether a part is the header of the length, which old versions of niquests give as a list."""
    return isinstance(part, (tuple, list)) and len(part) == 2 and str(part[0]).lower() == "content-length"

"""A server that answers with exactly the bytes that it is told: for what must arrive as it was sent, cut where it was cut."""

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress


@contextmanager
def replaying(*pieces: bytes, gap_s: float = 0.0, connections: int = 64, first: Sequence[bytes] = ()) -> Iterator[str]:
    """Serve ``pieces`` (a whole HTTP answer, head included) to every request, then close; gives the URL.

    ``first`` is another answer, to the first request.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(10)

    def serve() -> None:
        for number in range(connections):
            try:
                connection, _peer = listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                connection.settimeout(5)
                _read_request(connection)
                for piece in first if first and number == 0 else pieces:
                    connection.sendall(piece)
                    time.sleep(gap_s)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)  # wakes the accept
        listener.close()
        thread.join(5)


def _read_request(connection: socket.socket) -> None:
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
    while len(body) < length:
        body += connection.recv(65536)


def answer(
    body: Sequence[bytes], *, content_type: str = "text/event-stream", headers: str = "", cut: bool = False
) -> list[bytes]:
    """A chunked HTTP/1.1 answer, one chunk a piece; ``cut`` leaves out its end."""
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\n{headers}transfer-encoding: chunked\r\n"
    closing = "connection: close\r\n\r\n"  # said, lest a client that keeps connections uses one again meanwhile
    chunks = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in body if piece]
    return [(head + closing).encode(), *chunks] + ([] if cut else [b"0\r\n\r\n"])

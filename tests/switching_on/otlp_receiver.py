"""A real OTLP/HTTP receiver: what arrives over the wire is decoded and kept, to be looked at."""

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

SCOPE = "opentelemetry.instrumentation.xai"


class Receiver:
    """What has arrived so far."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[Any] = []
        self.headers: list[Any] = []
        self._arrived = threading.Condition(threading.RLock())

    def take(self, path: str, body: bytes) -> None:
        """Decode and keep one export."""
        kind: Any = ExportTraceServiceRequest if path.endswith("/traces") else ExportMetricsServiceRequest
        with self._arrived:
            self.requests.append(kind.FromString(body))
            self._arrived.notify_all()

    def spans(self, scope: str | None = SCOPE) -> list[Any]:
        """The spans of a scope, in the order of their arrival."""
        with self._arrived:
            return [
                span
                for request in self.requests
                for resource in getattr(request, "resource_spans", ())
                for each in resource.scope_spans
                if scope is None or each.scope.name == scope
                for span in each.spans
            ]

    def attributes(self) -> list[dict[str, Any]]:
        """The attributes of our spans."""
        return [
            {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}
            for span in self.spans()
        ]

    def exports(self, metric: str) -> list[list[Any]]:
        """The data points of one metric, a list for each export that holds it."""
        with self._arrived:
            return [
                list(getattr(each, each.WhichOneof("data")).data_points)
                for request in self.requests
                for resource in getattr(request, "resource_metrics", ())
                for scope in resource.scope_metrics
                if scope.scope.name == SCOPE
                for each in scope.metrics
                if each.name == metric
            ]

    def calls(self) -> int:
        """How many calls the metrics of the last export of each process speak of, all together."""
        last: dict[Any, int] = {}
        with self._arrived:
            for request in self.requests:
                for resource in getattr(request, "resource_metrics", ()):
                    for scope in resource.scope_metrics:
                        for each in scope.metrics:
                            if each.name == "gen_ai.client.operation.duration":
                                for point in each.histogram.data_points:
                                    # the start of a series tells processes apart
                                    last[point.start_time_unix_nano] = point.count
        return sum(last.values())

    def wait_for(self, enough: Callable[["Receiver"], bool], seconds: float = 10) -> bool:
        """Wait until enough has arrived; says whether it has."""
        deadline = time.monotonic() + seconds
        with self._arrived:
            while not enough(self):
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._arrived.wait(left)
        return True


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver on a free port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            receiver.headers.append(self.headers)
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.take(self.path, gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver = Receiver(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)

"""OpenTelemetry's instrumentation of httpx beside ours: its span is a child of ours, or of the span that we enrich."""

import importlib.util
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from clients.drivers import DRIVERS, Call
from clients.test_contract import PATHS, body_of
from conftest import Telemetry
from opentelemetry.instrumentation.xai import XAIInstrumentor
from others.peers import INSTALLED, Peer

HTTP = "opentelemetry.instrumentation.httpx"
OURS = "opentelemetry.instrumentation.xai"
GENAI = [peer for peer in INSTALLED if peer.name in {"genai-openai", "openinference", "traceloop"}]
OVER_HTTPX = [driver for driver in DRIVERS if driver.name.startswith(("httpx", "openai-sync", "openai-async"))]

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("opentelemetry.instrumentation") is None or importlib.util.find_spec(HTTP) is None,
        reason="opentelemetry-instrumentation-httpx is not installed",
    ),
    pytest.mark.filterwarnings("default"),
]
either_first = pytest.mark.parametrize("ours_first", [True, False], ids=["ours-first", "theirs-first"])
every_driver = pytest.mark.parametrize("driver", OVER_HTTPX, ids=lambda driver: driver.name)


class Http:
    """The instrumentors of httpx and of httpx2, as one."""

    def __init__(self) -> None:
        from opentelemetry.instrumentation import httpx

        names = ("HTTPXClientInstrumentor", "HTTPX2ClientInstrumentor")
        self._both = [getattr(httpx, name)() for name in names if hasattr(httpx, name)]

    def instrument(self, telemetry: Telemetry) -> None:
        """Switch both on."""
        for each in self._both:
            each.instrument(tracer_provider=telemetry.tracer_provider)

    def uninstrument(self) -> None:
        """Switch off what is on."""
        for each in self._both:
            if each.is_instrumented_by_opentelemetry:
                each.uninstrument()


class Both:
    """Both instrumentations, each switched on and off at will."""

    def __init__(self, telemetry: Telemetry) -> None:
        self.telemetry = telemetry
        self.http = Http()

    def on(self, *, ours_first: bool) -> None:
        """Switch both on."""
        for step in (self.ours, self.theirs) if ours_first else (self.theirs, self.ours):
            step()

    def ours(self) -> None:
        """Switch ours on."""
        XAIInstrumentor().instrument(
            tracer_provider=self.telemetry.tracer_provider,
            meter_provider=self.telemetry.meter_provider,
            hosts="127.0.0.1",
        )

    def theirs(self) -> None:
        """Switch theirs on."""
        self.http.instrument(self.telemetry)

    def spans(self) -> dict[str, Any]:
        """The one span of each scope; forgets them."""
        spans = self.telemetry.exporter.get_finished_spans()
        self.telemetry.exporter.clear()
        found = {span.instrumentation_scope.name: span for span in spans if span.instrumentation_scope}
        assert len(found) == len(spans)
        return found


@pytest.fixture
def both(telemetry: Telemetry) -> Iterator[Both]:
    """Both, off again after the test."""
    pair = Both(telemetry)
    yield pair
    pair.http.uninstrument()
    if XAIInstrumentor().is_instrumented_by_opentelemetry:
        XAIInstrumentor().uninstrument()


@pytest.fixture
def call(server: Any) -> Callable[..., Call]:
    """A function that gives calls."""

    def make(*, streamed: bool = False) -> Call:
        headers = {"x-grok-conv-id": f"conversation-{uuid.uuid4()}"}
        return Call(server.url, PATHS["chat"], body_of("chat", streamed=streamed), headers)

    return make


@every_driver
@either_first
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
def test_its_span_is_a_child_of_ours(
    driver: Any, ours_first: bool, streamed: bool, both: Both, call: Callable[..., Call], server: Any
) -> None:
    """One GenAI span and one HTTP span below it, which is what the request names as its parent."""
    both.on(ours_first=ours_first)
    assert driver.read(call(streamed=streamed)).error is None
    spans = both.spans()
    assert set(spans) == {OURS, HTTP}
    assert spans[OURS].parent is None
    assert spans[HTTP].parent == spans[OURS].get_span_context()
    assert f"{spans[HTTP].get_span_context().span_id:016x}" in server.requests[-1].headers["traceparent"]


@every_driver
@either_first
@pytest.mark.parametrize("ours_goes_first", [True, False], ids=["ours-goes-first", "theirs-goes-first"])
def test_either_may_go_first(
    driver: Any, ours_first: bool, ours_goes_first: bool, both: Both, call: Callable[..., Call]
) -> None:
    """In any order of coming and going the one that stays works, and after both have gone there is nothing."""
    both.on(ours_first=ours_first)
    goes, stays = (XAIInstrumentor(), both.http) if ours_goes_first else (both.http, XAIInstrumentor())
    goes.uninstrument()
    assert driver.read(call()).error is None
    assert set(both.spans()) == {HTTP if ours_goes_first else OURS}
    stays.uninstrument()
    assert driver.read(call()).error is None
    assert both.spans() == {}


@pytest.mark.skipif(not GENAI, reason="no instrumentation of the SDK is installed")
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
def test_with_three_of_them_http_is_below_the_one_genai_span(
    streamed: bool, both: Both, call: Callable[..., Call]
) -> None:
    """Where another instrumentation's span covers the call, the HTTP span is its child, and ours is left out."""
    peer: Peer = GENAI[0]
    if not peer.can_be_switched_off:
        pytest.skip("it would stay on for the tests that follow")
    peer.on(both.telemetry)
    try:
        both.on(ours_first=True)
        assert peer.drivers[0].read(call(streamed=streamed)).error is None
    finally:
        peer.off()
    spans = both.spans()
    (genai,) = (span for scope, span in spans.items() if scope.startswith(peer.scope))
    assert len(spans) == 2
    assert spans[HTTP].parent == genai.get_span_context()
    assert genai.attributes["xai.cache.outcome"] == "not_applicable"

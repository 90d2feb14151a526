"""Beside another instrumentation each call has one GenAI span, complete, and each metric once.

Where the other's span is not current while the request is sent, or is over before the answer is, the pair is known:
``peers.py`` says why, and the README lists it. Telemetry lives as long as a peer does, which may be as long as the
process: so what a call brings is told by what was there before it.
"""

import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from clients.drivers import Call
from clients.test_contract import PATHS, body_of
from conftest import Telemetry
from opentelemetry import context
from opentelemetry.instrumentation.xai import XAIInstrumentor
from others.peers import DURATION, FIRST_CHUNK, INSTALLED, TOKENS, Peer

OURS = "opentelemetry.instrumentation.xai"
STANDARD = (DURATION, TOKENS, FIRST_CHUNK)

pytestmark = [
    pytest.mark.skipif(not INSTALLED, reason="no other instrumentation is installed"),
    pytest.mark.filterwarnings("default"),  # theirs are their own business
]
every_peer = pytest.mark.parametrize("peer", INSTALLED, ids=lambda peer: peer.name)
every_driver = pytest.mark.parametrize(
    ("peer", "driver"),
    [pytest.param(peer, driver, id=f"{peer.name}-{driver.name}") for peer in INSTALLED for driver in peer.drivers],
)
every_leaving_driver = pytest.mark.parametrize(
    ("peer", "driver"),
    [
        pytest.param(peer, driver, id=f"{peer.name}-{driver.name}")
        for peer in INSTALLED
        for driver in peer.drivers
        if hasattr(driver, "leave")
    ],
)
every_call = pytest.mark.parametrize(
    ("peer", "driver", "endpoint"),
    [
        pytest.param(peer, driver, endpoint, id=f"{peer.name}-{driver.name}-{endpoint}")
        for peer in INSTALLED
        for driver in peer.drivers
        for endpoint in peer.endpoints
    ],
)
both = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
either_first = pytest.mark.parametrize("ours_first", [True, False], ids=["ours-first", "theirs-first"])


class Beside(Telemetry):
    """Telemetry of both, and what a call has added to it."""

    def __init__(self) -> None:
        super().__init__()
        self.reader_of_logfire = InMemoryMetricReader()
        self.settings: dict[str, Any] = {}
        self._before: Counter[str] = Counter()

    def ours_on(self, **settings: Any) -> None:
        """Switch ours on."""
        XAIInstrumentor().instrument(
            tracer_provider=self.tracer_provider, meter_provider=self.meter_provider, hosts="127.0.0.1", **settings
        )

    def read(self, driver: Any, call: Call) -> None:
        """Make a call, and forget what was before it."""
        self._before = self._counts()
        self.exporter.clear()
        seen = driver.read(call)
        assert seen.error is None, seen.error
        assert seen.pieces

    def fail(self, driver: Any, call: Call) -> None:
        """Make a call that is refused, and forget what was before it."""
        self._before = self._counts()
        self.exporter.clear()
        try:
            assert driver.read(call).error is not None
        except Exception as error:
            assert not isinstance(error, AssertionError)

    def leave(self, driver: Any, call: Call, *, close: bool) -> None:
        """Break a stream off, and forget what was before it."""
        self._before = self._counts()
        self.exporter.clear()
        driver.leave(call, 3, close=close)

    def of(self, scope: str) -> list[ReadableSpan]:
        """The new spans of a scope."""
        return [span for span in self.exporter.get_finished_spans() if _scope_of(span).startswith(scope)]

    def counted(self) -> Counter[str]:
        """How often each metric was recorded, or how much was counted."""
        return self._counts() - self._before

    def _counts(self) -> Counter[str]:
        return Counter(
            {
                name: sum(point.count or 0 if point.value is None else int(point.value) for point in points)
                for name, points in self.metrics().items()
            }
        )


def _scope_of(span: ReadableSpan) -> str:
    return "" if span.instrumentation_scope is None else span.instrumentation_scope.name


@pytest.fixture(scope="module")
def besides() -> Iterator[dict[str, Beside]]:
    """The telemetry of each peer."""
    made: dict[str, Beside] = {}
    yield made
    for each in made.values():
        each.shutdown()


@pytest.fixture
def switch_on(besides: dict[str, Beside]) -> Iterator[Callable[..., Beside]]:
    """A function that switches both on, ours with any settings, in either order; off again after the test."""
    undo: list[Callable[[], None]] = []

    def on(peer: Peer, *, ours_first: bool = False, **settings: Any) -> Beside:
        beside = besides.get(peer.name)
        is_new = beside is None
        if beside is None:
            beside = besides[peer.name] = Beside()
        steps = [lambda: beside.ours_on(**settings)]
        if is_new or peer.can_be_switched_off:
            steps.insert(len(steps) if ours_first else 0, lambda: peer.on(beside))
        for step in steps:
            step()
        if peer.can_be_switched_off:
            undo.append(peer.off)
        return beside

    yield on
    if XAIInstrumentor().is_instrumented_by_opentelemetry:
        XAIInstrumentor().uninstrument()
    for off in undo:
        off()


@pytest.fixture
def conversation(server: Any) -> Callable[..., Call]:
    """A function that gives calls of one conversation, the same each time; nothing is cached before."""
    server.app.evict()
    headers = {"x-grok-conv-id": f"conversation-{uuid.uuid4()}"}

    def call(endpoint: str, *, streamed: bool = False, **more: Any) -> Call:
        body = body_of(endpoint, streamed=streamed) | more
        return Call(server.url, PATHS[endpoint], body, headers)

    return call


def complete_span(beside: Beside, peer: Peer, endpoint: str, streamed: bool) -> ReadableSpan:
    """The one span that has all that we know."""
    if not peer.covers(endpoint, streamed=streamed):
        (span,) = beside.of(OURS)
        return span
    (span,) = beside.of("")
    assert _scope_of(span).startswith(peer.scope)
    return span


@every_call
@both
@either_first
def test_one_span_with_all_that_is_known(
    peer: Peer,
    driver: Any,
    endpoint: str,
    streamed: bool,
    ours_first: bool,
    switch_on: Callable[..., Beside],
    conversation: Callable[..., Call],
) -> None:
    """The other's span is the only one, and says of a cold and of a warm call what ours would: zeros too."""
    beside = switch_on(peer, ours_first=ours_first)
    call = conversation(endpoint, streamed=streamed)
    for is_warm in (False, True):
        beside.read(driver, call)
        attributes = dict(complete_span(beside, peer, endpoint, streamed).attributes or {})
        assert attributes["gen_ai.conversation.id"] == call.headers["x-grok-conv-id"]
        assert attributes["xai.conversation.id.source"] == "header"
        assert (attributes["gen_ai.usage.cache_read.input_tokens"] > 0) is is_warm
        assert attributes["gen_ai.usage.input_tokens"] > 100
        assert attributes["gen_ai.response.finish_reasons"]
        assert attributes["xai.cache.outcome"] == ("reused" if is_warm else "not_applicable")
        if endpoint != "messages":  # whose answers have neither
            assert attributes["gen_ai.usage.reasoning.output_tokens"] > 0
            assert attributes["xai.response.cost_usd"] > 0
        assert attributes["xai.request.id"]
        assert attributes["http.response.status_code"] == 200
        assert attributes["server.address"] == "127.0.0.1"
        assert attributes["gen_ai.request.model"] == "grok-4.7"
        assert "error.type" not in attributes
        assert ("gen_ai.response.time_to_first_chunk" in attributes) is streamed
        assert ("xai.response.time_to_first_token" in attributes) is streamed


@every_call
@both
def test_each_metric_once(
    peer: Peer,
    driver: Any,
    endpoint: str,
    streamed: bool,
    switch_on: Callable[..., Beside],
    conversation: Callable[..., Call],
) -> None:
    """The conventions' metrics are recorded by one of both, ours and the newer counters always."""
    beside = switch_on(peer)
    beside.read(driver, conversation(endpoint, streamed=streamed))
    counted = beside.counted()
    is_beside = not peer.covers(endpoint, streamed=streamed)
    for name, ours in {DURATION: 1, TOKENS: 2, FIRST_CHUNK: int(streamed)}.items():
        theirs = peer.records.get(name, 0) if ours else 0
        assert counted[name] == (ours if is_beside else theirs or ours), name
    assert counted["xai.client.cache.requests"] == 1
    assert counted["gen_ai.client.inference.usage.input_tokens"] > 100
    assert counted["xai.client.time_to_first_token" if streamed else "xai.server.time_to_first_token"]


@every_driver
def test_a_retry_is_the_same_call(
    peer: Peer, driver: Any, switch_on: Callable[..., Beside], conversation: Callable[..., Call]
) -> None:
    """Two refusals and an answer under one span: it has the last one's values, and no error."""
    if not peer.covers(peer.endpoints[0]):
        pytest.skip("its span does not cover the call")
    beside = switch_on(peer)
    call = conversation(peer.endpoints[0])
    call.headers["x-trouble"] = "status=503, recovers=1, retry_after=0"
    beside.read(driver, call)
    (span,) = beside.of("")
    attributes = dict(span.attributes or {})
    assert attributes["http.response.status_code"] == 200
    assert attributes["http.request.resend_count"] == 1
    assert "error.type" not in attributes
    assert beside.counted()[DURATION] == (1 if DURATION in peer.records else 2)


@every_driver
def test_a_refusal_is_on_the_span(
    peer: Peer, driver: Any, switch_on: Callable[..., Beside], conversation: Callable[..., Call]
) -> None:
    """What nobody tries again: one failed span with the status code, and one duration."""
    if not peer.covers(peer.endpoints[0]):
        pytest.skip("its span does not cover the call")
    beside = switch_on(peer)
    call = conversation(peer.endpoints[0])
    call.headers["x-trouble"] = "status=400"
    beside.fail(driver, call)
    (span,) = beside.of("")
    attributes = dict(span.attributes or {})
    assert span.status.status_code is StatusCode.ERROR
    assert attributes["http.response.status_code"] == 400
    assert attributes["error.type"]
    assert beside.counted()[DURATION] == 1


@every_leaving_driver
@pytest.mark.parametrize("close", [True, False], ids=["closed", "forgotten"])
def test_what_is_broken_off_is_told_once(
    peer: Peer,
    driver: Any,
    close: bool,
    switch_on: Callable[..., Beside],
    conversation: Callable[..., Call],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whoever ends first: what is known is on one span, the other's or one of ours below it, and none is written to late."""
    if peer.never_ends_forgotten and not close:
        pytest.skip("its span is never ended")
    beside = switch_on(peer)
    beside.leave(driver, conversation("chat", streamed=True), close=close)
    spans = [span for span in beside.of("") if "xai.request.id" in (span.attributes or {})]
    assert len(spans) == 1
    assert (spans[0].attributes or {})["gen_ai.response.finish_reasons"] == ("error",)
    assert "ended span" not in caplog.text


@every_driver
@pytest.mark.parametrize(("spans", "both_make_one"), [("always", True), ("never", False)])
def test_the_setting_has_the_last_word(
    peer: Peer,
    driver: Any,
    spans: str,
    both_make_one: bool,
    switch_on: Callable[..., Beside],
    conversation: Callable[..., Call],
) -> None:
    """``always``: a span of ours, below the other; ``never``: none, and the other's is as it would be without us."""
    beside = switch_on(peer, spans=spans)
    beside.read(driver, conversation(peer.endpoints[0]))
    ours = beside.of(OURS)
    assert len(ours) == int(both_make_one)
    (theirs,) = beside.of(peer.scope)
    assert "xai.request.id" not in (theirs.attributes or {})
    if peer.covers(peer.endpoints[0]):
        assert all(span.parent == theirs.get_span_context() for span in ours)
    counted = beside.counted()
    assert (counted[DURATION], counted[TOKENS]) == (1, peer.records.get(TOKENS, 2))
    assert counted["xai.client.cache.requests"] == 1


@every_driver
@either_first
def test_either_may_be_switched_off_first(
    peer: Peer,
    driver: Any,
    ours_first: bool,
    switch_on: Callable[..., Beside],
    conversation: Callable[..., Call],
) -> None:
    """Whoever goes leaves the other whole; ours leaves nothing behind."""
    beside = switch_on(peer, ours_first=not ours_first)
    before = context.get_current()
    call = conversation(peer.endpoints[0])
    if ours_first:
        XAIInstrumentor().uninstrument()
        beside.read(driver, call)
        (theirs,) = beside.of("")
        assert not [name for name in theirs.attributes or {} if name.startswith("xai.")]
        assert not [name for name in beside.counted() if name.startswith("xai.")]
    elif peer.can_be_switched_off:
        peer.off()
        beside.read(driver, call)
        (own,) = beside.of("")
        assert _scope_of(own) == OURS
        assert own.kind is SpanKind.CLIENT
        counted = beside.counted()
        assert (counted[DURATION], counted[TOKENS]) == (1, 2)
        peer.on(beside)  # the fixture switches it off
    assert context.get_current() == before

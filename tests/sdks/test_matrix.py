"""Every client on every endpoint in every mode: one span for each exchange, with the server's own figures, and nothing else changed.

What carries a call must not show in its telemetry, nor the telemetry in what the application gets.
"""

import uuid
from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from conftest import Telemetry
from sdks.cells import Ask, Cell, cells_of
from sdks.drivers import DRIVERS
from sdks.likeness import likeness

CELLS = [cell for driver in DRIVERS for cell in cells_of(driver)]
# What SDKs warn of is their own business; what we warn of is not.
pytestmark = [
    pytest.mark.filterwarnings("default"),
    pytest.mark.filterwarnings("error:::opentelemetry\\.instrumentation\\.xai"),
]

FIGURES = (
    "gen_ai.conversation.id",
    "gen_ai.response.id",
    "gen_ai.response.model",
    "gen_ai.response.finish_reasons",
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.reasoning.output_tokens",
    "xai.response.cost_usd",
)


def every(cells: list[Cell]) -> Any:
    """Run a test for each of these cells."""
    marked = [pytest.param(cell, id=cell.id, marks=pytest.mark.cell(cell.driver.row, cell.method)) for cell in cells]
    return pytest.mark.parametrize("cell", marked)


def ask_of(cell: Cell, server: Any, trouble: str = "") -> Ask:
    """A question in a conversation of its own, to a server that has forgotten all others."""
    if cell.endpoint == "grpc":
        pytest.skip("no server speaks gRPC yet")
    server.app.evict()
    server.requests.clear()
    server.answers.clear()
    conversation = f"conversation-{uuid.uuid4()}" if cell.driver.names_conversations else ""
    return Ask(server.url, conversation=conversation, trouble=trouble)


def figures_of(attributes: dict[str, Any]) -> dict[str, Any]:
    """What a span says of the answer."""
    return {name: attributes[name] for name in FIGURES if name in attributes}


def figures_sent(answer: Any) -> dict[str, Any]:
    """The same, by the server's own record."""
    generation = answer.generation
    chat, messages = answer.path.endswith("completions"), answer.path.endswith("messages")
    called = generation.answer.call is not None
    finish = ("tool_calls" if called else "stop") if chat else "completed"
    if messages:
        finish = "tool_use" if called else "end_turn"
    figures: dict[str, Any] = {
        "gen_ai.response.id": generation.id,
        "gen_ai.response.model": generation.model,
        "gen_ai.response.finish_reasons": (finish,),
    }
    if answer.conversation:
        figures["gen_ai.conversation.id"] = answer.conversation
    if answer.usage_sent:
        figures |= {
            "gen_ai.usage.input_tokens": generation.input_tokens,
            "gen_ai.usage.cache_read.input_tokens": generation.cached_tokens,
            "gen_ai.usage.output_tokens": generation.visible_tokens + generation.reasoning_tokens,
        }
        if not messages:  # which tells neither
            figures["gen_ai.usage.reasoning.output_tokens"] = generation.reasoning_tokens
            figures["xai.response.cost_usd"] = pytest.approx(generation.ticks / 1e10)
    return figures


@every(CELLS)
def test_an_exchange_is_one_span_with_the_figures_that_the_server_sent(
    cell: Cell, xai: Any, telemetry: Telemetry, instrument: Any
) -> None:
    """A call that goes well: what the application sees is what it saw without us, and the span says what was sent."""
    ask = ask_of(cell, xai)
    without = cell.carry(ask)
    assert without.error is None, without.error
    xai.app.evict()
    xai.requests.clear()
    xai.answers.clear()
    instrument()
    seen = cell.carry(ask)
    assert likeness(seen.error, seen.pieces) == likeness(without.error, without.pieces)
    assert len(xai.requests) == len(xai.answers) == 1
    span = telemetry.span
    assert (span.name, span.kind, span.status.status_code) == ("chat grok-4.7", SpanKind.CLIENT, StatusCode.UNSET)
    attributes = telemetry.attributes()
    assert figures_of(attributes) == figures_sent(xai.answers[0])
    assert attributes.get("gen_ai.conversation.id", "") == ask.conversation
    assert bool(attributes.get("gen_ai.request.stream")) is cell.streamed
    for moment in ("gen_ai.response.time_to_first_chunk", "xai.response.time_to_first_token"):
        assert (moment in attributes) is cell.streamed


@every([cell for cell in CELLS if cell.driver.keeps_turns])
def test_the_second_turn_reuses_what_the_first_has_cached(cell: Cell, xai: Any, observed: Telemetry) -> None:
    """Two turns of one conversation: the verdict is ``reused``, with the server's count of cached tokens."""
    first = ask_of(cell, xai)
    cell.carry(first)
    seen = cell.carry(first.after("".join(xai.answers[0].generation.answer.text) or "The Nile."))
    assert seen.error is None
    assert len(xai.answers) == len(observed.spans) == 2
    attributes = dict(observed.spans[1].attributes or {})
    assert figures_of(attributes) == figures_sent(xai.answers[1])
    if xai.answers[1].usage_sent:
        assert xai.answers[1].generation.cached_tokens > 256
        assert (attributes["xai.cache.outcome"], attributes.get("xai.cache.reason")) == ("reused", None)
    else:
        assert attributes["xai.cache.outcome"] == "unreported"


TROUBLES = {
    "refused": ("status=400", "400"),
    "limited": ("status=429", "429"),
    "unavailable": ("status=503", "503"),
    "cut": ("cut=5", "stream_interrupted"),
    "error-event": ("error_event=flat", "error_event"),
}


@every(CELLS)
@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_failure_is_raised_as_it_was_and_told_as_what_it_is(
    cell: Cell, trouble: str, xai: Any, telemetry: Telemetry, instrument: Any
) -> None:
    """Refusals, a cut connection, an error in mid-stream: the application's own exception, type and text; a span for each attempt."""
    if trouble == "error-event" and not cell.streamed:
        pytest.skip("only a stream has events")
    switches, error_type = TROUBLES[trouble]
    ask = ask_of(cell, xai, switches)
    without = cell.carry(ask)
    attempts = len(xai.requests)
    xai.app.evict()
    instrument()
    seen = cell.carry(ask)
    assert likeness(seen.error, seen.pieces) == likeness(without.error, without.pieces)
    assert len(xai.requests) - attempts == attempts
    assert [dict(span.attributes or {})["error.type"] for span in telemetry.spans] == [error_type] * attempts
    assert {span.status.status_code for span in telemetry.spans} == {StatusCode.ERROR}

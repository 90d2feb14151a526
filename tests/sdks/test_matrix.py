"""Every client on every endpoint in every mode: one span for each exchange, with the server's own figures, and nothing else changed.

What carries a call must not show in its telemetry, nor the telemetry in what the application gets.
"""

import uuid
from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from conftest import Telemetry
from sdks.cells import Ask, Cell, Wire, cells_of
from sdks.drivers import DRIVERS
from sdks.likeness import likeness

CELLS = [cell for driver in DRIVERS for cell in cells_of(driver)]
# What SDKs warn of is their own business; what we warn of is not.
pytestmark = [
    pytest.mark.filterwarnings("default"),
    pytest.mark.filterwarnings("error:::opentelemetry\\.instrumentation\\.xai"),
]

HOSTS = "127.0.0.1,localhost"
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


def ask_of(cell: Cell, wire: Wire, trouble: str = "") -> Ask:
    """A question in a conversation of its own."""
    conversation = f"conversation-{uuid.uuid4()}" if cell.driver.names_conversations else ""
    return Ask(wire.url, wire.grpc, conversation=conversation, trouble=trouble)


def figures_of(attributes: dict[str, Any]) -> dict[str, Any]:
    """What a span says of the answer."""
    return {name: attributes[name] for name in FIGURES if name in attributes}


def figures_sent(answer: Any) -> dict[str, Any]:
    """The same, by the server's own record."""
    generation = answer.generation
    responses, messages = answer.path.endswith("responses"), answer.path.endswith("messages")
    called = generation.answer.call is not None
    finish = "completed" if responses else "tool_calls" if called else "stop"
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
    cell: Cell, wire: Wire, telemetry: Telemetry, instrument: Any
) -> None:
    """A call that goes well: what the application sees is what it saw without us, and the span says what was sent."""
    ask = ask_of(cell, wire)
    without = cell.carry(ask)
    assert without.error is None, without.error
    wire.forget()
    instrument(hosts=HOSTS)
    seen = cell.carry(ask)
    assert likeness(seen.error, seen.pieces) == likeness(without.error, without.pieces)
    assert len(wire.arrived) == len(wire.answers) == 1
    span = telemetry.span
    assert (span.name, span.kind, span.status.status_code) == ("chat grok-4.7", SpanKind.CLIENT, StatusCode.UNSET)
    attributes = telemetry.attributes()
    assert figures_of(attributes) == figures_sent(wire.answers[0])
    assert attributes.get("gen_ai.conversation.id", "") == ask.conversation
    assert bool(attributes.get("gen_ai.request.stream")) is cell.streamed
    for moment in ("gen_ai.response.time_to_first_chunk", "xai.response.time_to_first_token"):
        assert (moment in attributes) is cell.streamed


@every([cell for cell in CELLS if cell.driver.keeps_turns])
def test_the_second_turn_reuses_what_the_first_has_cached(cell: Cell, wire: Wire, instrument: Any) -> None:
    """Two turns of one conversation: the verdict is ``reused``, with the server's count of cached tokens."""
    observed: Telemetry = instrument(hosts=HOSTS)
    first = ask_of(cell, wire)
    cell.carry(first)
    seen = cell.carry(first.after("".join(wire.answers[0].generation.answer.text) or "The Nile."))
    assert seen.error is None
    assert len(wire.answers) == len(observed.spans) == 2
    attributes = dict(observed.spans[1].attributes or {})
    assert figures_of(attributes) == figures_sent(wire.answers[1])
    if wire.answers[1].usage_sent:
        assert wire.answers[1].generation.cached_tokens > 256
        assert (attributes["xai.cache.outcome"], attributes.get("xai.cache.reason")) == ("reused", None)
    else:
        assert attributes["xai.cache.outcome"] == "unreported"


# What is wrong, and what a span calls it over HTTP and over gRPC.
TROUBLES = {
    "refused": ("status=400", "400", "INVALID_ARGUMENT"),
    "limited": ("status=429", "429", "RESOURCE_EXHAUSTED"),
    "unavailable": ("status=503", "503", "UNAVAILABLE"),
    "cut": ("cut=5", "stream_interrupted", "stream_interrupted"),
    "error-event": ("error_event=flat", "error_event", "RESOURCE_EXHAUSTED"),
}


@every(CELLS)
@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_failure_is_raised_as_it_was_and_told_as_what_it_is(
    cell: Cell, trouble: str, wire: Wire, telemetry: Telemetry, instrument: Any
) -> None:
    """Refusals, a cut connection, an error in mid-stream: the application's own exception, type and text; a span for each attempt."""
    if trouble == "error-event" and not cell.streamed:
        pytest.skip("only a stream has events")
    if trouble == "cut" and cell.endpoint == "grpc" and not cell.streamed:
        pytest.skip("a message is whole or not there")
    switches, over_http, over_grpc = TROUBLES[trouble]
    ask = ask_of(cell, wire, switches)
    without = cell.carry(ask)
    attempts = len(wire.arrived)
    wire.forget()
    instrument(hosts=HOSTS)
    seen = cell.carry(ask)
    assert likeness(seen.error, seen.pieces) == likeness(without.error, without.pieces)
    assert len(wire.arrived) == attempts > 0
    error_type = over_grpc if cell.endpoint == "grpc" else over_http
    assert [dict(span.attributes or {})["error.type"] for span in telemetry.spans] == [error_type] * attempts
    assert {span.status.status_code for span in telemetry.spans} == {StatusCode.ERROR}

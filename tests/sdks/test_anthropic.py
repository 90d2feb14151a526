"""What is peculiar to the anthropic SDK: a span of its own, and retries that it counts."""

from typing import Any

import pytest

from conftest import Telemetry
from opentelemetry import trace
from sdks.cells import KEY, Ask, cells_of
from sdks.drivers.anthropic import Anthropic

anthropic = pytest.importorskip("anthropic")
pytestmark = pytest.mark.filterwarnings("default")

MESSAGE = {"model": "grok-4.7", "max_tokens": 500, "messages": [{"role": "user", "content": "Name a river."}]}


@pytest.mark.parametrize("own", ["on", "off"])
@pytest.mark.parametrize("cell", cells_of(Anthropic()), ids=lambda cell: cell.method)
def test_beside_its_own_span_the_exchange_is_told_once(
    own: str, cell: Any, xai: Any, observed: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its span, as by default, and without: cached tokens and verdict are on exactly one span."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", observed.tracer_provider)
    if own == "off":
        monkeypatch.setenv("ANTHROPIC_OPEN_TELEMETRY", "false")
    xai.answers.clear()
    seen = cell.carry(Ask(xai.url))
    assert seen.error is None
    spans = observed.exporter.get_finished_spans()
    theirs = [span for span in spans if span.instrumentation_scope.name == "com.anthropic.sdk.python"]
    assert len(theirs) == (own == "on" and hasattr(anthropic, "_tracing"))  # which older ones do not have
    (telling,) = (dict(span.attributes or {}) for span in spans if "xai.cache.outcome" in (span.attributes or {}))
    (answer,) = xai.answers
    assert telling["gen_ai.response.id"] == answer.generation.id
    assert telling["gen_ai.usage.input_tokens"] == answer.generation.input_tokens
    assert telling["gen_ai.usage.cache_read.input_tokens"] == answer.generation.cached_tokens
    assert observed.total("xai.client.cache.requests") == 1


def test_each_retry_of_the_sdk_is_a_span_with_its_ordinal(xai: Any, observed: Telemetry) -> None:
    """A refusal and an answer: two spans, of which the later one says that it is a repetition."""
    trouble = {"x-trouble": "status=503, recovers=1, retry_after=0"}
    with anthropic.Anthropic(base_url=xai.url, api_key=KEY, max_retries=2, default_headers=trouble) as client:
        client.messages.create(**MESSAGE)
    assert [
        (attributes.get("http.request.resend_count"), attributes.get("error.type"))
        for attributes in (dict(span.attributes or {}) for span in observed.spans)
    ] == [(None, "503"), (1, None)]

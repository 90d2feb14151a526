"""Usage in xAI's three shapes, counted in the one way of the conventions: cached in the input, reasoning in the output."""

from typing import Any

import pytest

from opentelemetry.instrumentation.xai.observation import Usage
from opentelemetry.instrumentation.xai.wire.usage import anthropic_usage, openai_usage


def chat(
    prompt: Any, completion: Any, total: Any, cached: Any = None, reasoning: Any = None, **more: Any
) -> dict[str, Any]:
    """Usage as chat completions report it."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": total,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
        **more,
    }


def responses(tokens_in: Any, tokens_out: Any, total: Any, cached: Any = None, reasoning: Any = None) -> dict[str, Any]:
    """Usage as Responses report it."""
    return {
        "input_tokens": tokens_in,
        "output_tokens": tokens_out,
        "total_tokens": total,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens_details": {"reasoning_tokens": reasoning},
    }


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        pytest.param(chat(32, 9, 135, 6, 94), Usage(32, 103, 6, 94), id="chat-excludes-reasoning"),
        pytest.param(chat(12, 1, 303, 11, 290), Usage(12, 291, 11, 290), id="chat-recorded"),
        pytest.param(chat(32, 103, 135, 6, 94), Usage(32, 103, 6, 94), id="chat-already-folded"),
        pytest.param(chat(5, 5, 10, 0, 0), Usage(5, 5, 0, 0), id="zeros-are-values"),
        pytest.param(chat(0, 0, 0, 0, 0), Usage(0, 0, 0, 0), id="all-zero"),
        pytest.param(chat(5, 5, 10), Usage(5, 5), id="nulls-are-absence"),
        pytest.param(chat(100, 10, 4438, 4328, 0), Usage(4428, 10, 4328, 0), id="cached-beside-input"),
        pytest.param(chat(4142, 10, None, 4328, None), Usage(8470, 10, 4328), id="cached-beyond-input-without-total"),
        pytest.param(chat(10, 5, None, 2, 90), Usage(10, 95, 2, 90), id="reasoning-beyond-output-without-total"),
        pytest.param(chat(10, 50, 7, 2, 20), Usage(10, 50, 2, 20), id="total-that-fits-nothing"),
        pytest.param(
            responses(5467, 593, 6060, 1152, 575), Usage(5467, 593, 1152, 575), id="responses-includes-reasoning"
        ),
        pytest.param(responses(32, 9, 151, 6, 110), Usage(32, 119, 6, 110), id="responses-by-the-chat-rule"),
        pytest.param({"prompt_tokens": 5}, Usage(5), id="input-alone"),
        pytest.param({"output_tokens": 5}, Usage(None, 5), id="output-alone"),
        pytest.param({"completion_tokens": 5, "input_tokens": 7}, Usage(None, 5), id="spellings-are-not-mixed"),
        pytest.param({"cost_in_usd_ticks": 17}, Usage(cost_ticks=17), id="cost-alone"),
        pytest.param({"prompt_tokens": 5, "cost_in_usd_ticks": 0}, Usage(5), id="no-cost-is-absence"),
        pytest.param({"unknown": 1}, Usage(), id="nothing-known"),
    ],
)
def test_openai_shapes(counts: dict[str, Any], expected: Usage) -> None:
    """Chat completions and Responses are brought to one way of counting; the total decides where they deviate."""
    assert openai_usage(counts) == expected


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ({"text_tokens": 10, "image_tokens": 0, "audio_tokens": 0}, (("text", 10),)),
        ({"text_tokens": 10}, (("text", 10),)),
        ({"text_tokens": 4, "image_tokens": 6}, (("text", 4), ("image", 6))),
        ({"text_tokens": 4, "image_tokens": 5, "audio_tokens": 1}, (("text", 4), ("image", 5), ("audio", 1))),
        ({"text_tokens": 0, "image_tokens": 10}, (("image", 10),)),
        ({"text_tokens": 4}, ()),
        ({"text_tokens": 4, "image_tokens": 7}, ()),
        ({"text_tokens": "10"}, ()),
        ({}, ()),
        (None, ()),
        ([10], ()),
    ],
)
def test_input_by_kind(split: Any, expected: tuple[tuple[str, int], ...]) -> None:
    """The split by modality is taken only where it adds up to the input."""
    usage = openai_usage(
        {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11, "prompt_tokens_details": split}
    )
    assert usage is not None
    assert usage.modalities == expected


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        pytest.param(
            {"input_tokens": 9, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 32},
            Usage(9, 32, 0),
            id="zeros-are-values",
        ),
        pytest.param(
            {"input_tokens": 9, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 128, "output_tokens": 32},
            Usage(140, 32, 128),
            id="cache-belongs-to-the-input",
        ),
        pytest.param({"input_tokens": 9}, Usage(9), id="input-alone"),
        pytest.param({"cache_read_input_tokens": 9}, Usage(None, None, 9), id="cached-alone"),
        pytest.param({"output_tokens": 4, "cost_in_usd_ticks": 5}, Usage(None, 4, cost_ticks=5), id="output-and-cost"),
        pytest.param({"input_tokens": None, "output_tokens": 4}, Usage(None, 4), id="null"),
    ],
)
def test_anthropic_shape(counts: dict[str, Any], expected: Usage) -> None:
    """In messages, cache reads and writes come beside the input and are added to it."""
    assert anthropic_usage(counts) == expected


@pytest.mark.parametrize("counts", [None, {}, [], [1], "5", 5, 0, True, 1.5])
def test_what_is_no_usage_is_absence(counts: Any) -> None:
    """Null, an empty object and other types are no usage."""
    assert openai_usage(counts) is None
    assert anthropic_usage(counts) is None


@pytest.mark.parametrize("wrong", [None, [], [5], {}, {"n": 5}, 5.0, 5.5, "5", "", True, False, -1, 1 << 60, 10**30])
def test_a_wrong_type_is_absence(wrong: Any) -> None:
    """A count that is a list, object, float, string, bool, negative or beyond all reason is absent, and harms no other."""
    assert openai_usage(chat(wrong, 9, wrong, wrong, wrong, cost_in_usd_ticks=wrong)) == Usage(None, 9)
    assert openai_usage(responses(7, wrong, wrong, wrong, wrong)) == Usage(7)
    assert openai_usage(
        {**chat(7, 9, 16), "prompt_tokens_details": wrong, "completion_tokens_details": wrong}
    ) == Usage(7, 9)
    messages = {"input_tokens": 7, "output_tokens": wrong, "cache_read_input_tokens": wrong}
    assert anthropic_usage({**messages, "cache_creation_input_tokens": wrong, "cost_in_usd_ticks": wrong}) == Usage(7)

"""What is read of a request's body: its settings, never its prompt."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import examples
from opentelemetry.instrumentation.xai.wire import prompt
from opentelemetry.instrumentation.xai.wire.request_body import RequestBody, parameters_of, read_request_body

_WRONG: list[Any] = [None, [], {}, "", "x", 1, 1.5, True, -1, [1], {"type": 1}, {"effort": []}, 10**30, 10**400]


def has_earlier_turns(body: RequestBody) -> bool:
    """Whether the prompt of a body continues a conversation."""
    return prompt.survey(body, prompt.entries_of(body))[1]


def parameters(**fields: Any) -> dict[str, Any]:
    """The parameters of a body with these fields."""
    return parameters_of(read_request_body(json.dumps(fields).encode()))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {}),
        ({"temperature": 0.5, "top_p": 1}, {"gen_ai.request.temperature": 0.5, "gen_ai.request.top_p": 1.0}),
        ({"temperature": 0}, {"gen_ai.request.temperature": 0.0}),
        ({"top_k": 40, "seed": 7}, {"gen_ai.request.top_k": 40, "gen_ai.request.seed": 7}),
        ({"n": 3}, {"gen_ai.request.choice.count": 3}),
        ({"n": 1}, {}),
        ({"max_tokens": 10}, {"gen_ai.request.max_tokens": 10}),
        ({"max_tokens": 10, "max_completion_tokens": 20}, {"gen_ai.request.max_tokens": 20}),
        ({"max_output_tokens": 30}, {"gen_ai.request.max_tokens": 30}),
        ({"frequency_penalty": 1, "presence_penalty": -0.5},
         {"gen_ai.request.frequency_penalty": 1.0, "gen_ai.request.presence_penalty": -0.5}),
        ({"stop": "END"}, {"gen_ai.request.stop_sequences": ("END",)}),
        ({"stop": ["a", 1, "b"]}, {"gen_ai.request.stop_sequences": ("a", "b")}),
        ({"stop": ["x"] * 50}, {"gen_ai.request.stop_sequences": ("x",) * 16}),
        ({"stop_sequences": ["a" * 999]}, {"gen_ai.request.stop_sequences": ("a" * 256,)}),
        ({"reasoning_effort": "high"}, {"gen_ai.request.reasoning.level": "high"}),
        ({"reasoning": {"effort": "low"}}, {"gen_ai.request.reasoning.level": "low"}),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, {"gen_ai.output.type": "json"}),
        ({"response_format": {"type": "json_object"}}, {"gen_ai.output.type": "json"}),
        ({"response_format": {"type": "text"}}, {"gen_ai.output.type": "text"}),
        ({"text": {"format": {"type": "json_schema"}}}, {"gen_ai.output.type": "json"}),
        ({"text": {"format": {"type": "other"}}}, {}),
        ({"previous_response_id": "r1"}, {"gen_ai.request.previous_response.id": "r1"}),
        ({"top_logprobs": 5, "user": "somebody", "metadata": {"a": "b"}}, {}),
    ],
)  # fmt: skip
def test_settings_by_the_conventions_names(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    """Each setting has the attribute and type that the conventions name, whichever endpoint's spelling it came in."""
    found = parameters(**fields)
    assert found == expected
    assert [type(value) for value in found.values()] == [type(value) for value in expected.values()]


@pytest.mark.parametrize("wrong", _WRONG, ids=lambda value: repr(value)[:20])
def test_a_wrong_type_is_left_out(wrong: Any) -> None:
    """Settings of a wrong type, or beyond what exporters can carry, are left out and harm no other."""
    fields = dict.fromkeys(
        "model stream n seed temperature top_p top_k max_tokens frequency_penalty presence_penalty stop stop_sequences "
        "reasoning_effort reasoning response_format text previous_response_id prompt_cache_key messages input".split(),
        wrong,
    )
    found = parameters(**fields, max_output_tokens=9)
    assert found["gen_ai.request.max_tokens"] == 9
    for value in found.values():
        assert value is not None
        assert not isinstance(value, int) or abs(value) < 1 << 63


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"null", b'"x"', b"{", b"\xff", b"[" * 100_000, b'{"n":' + b"[" * 100_000]
)
def test_a_body_that_is_no_object_has_no_fields(content: bytes) -> None:
    """What is no JSON object is no reason to raise."""
    body = read_request_body(content)
    assert parameters_of(body) == {}
    assert not has_earlier_turns(body)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"messages": [{"role": "user", "content": "hi"}]}, False),
        ({"messages": [{"role": "system"}, {"role": "developer"}, {"role": "user"}]}, False),
        ({"messages": [{"role": "user"}, {"role": "assistant"}, {"role": "user"}]}, True),
        ({"messages": [{"role": "user"}, {"role": "tool"}]}, True),
        ({"messages": []}, False),
        ({"messages": "hi"}, False),
        ({"messages": None}, False),
        ({"messages": [1, "x"]}, False),
        ({"messages": [{"role": ["assistant"]}]}, False),
        ({"input": "hi"}, False),
        ({"input": [{"role": "user", "content": "hi"}]}, False),
        ({"input": [{"type": "message", "role": "user"}]}, False),
        ({"input": [{"type": "message", "role": "assistant"}]}, True),
        ({"input": [{"type": "reasoning"}, {"role": "user"}]}, True),
        ({"input": [{"type": "function_call_output"}]}, True),
        ({"input": "hi", "previous_response_id": "r1"}, True),
        ({"input": "hi", "previous_response_id": ""}, False),
        ({"messages": "x", "input": [{"role": "assistant"}]}, True),
    ],
)
def test_earlier_turns(fields: dict[str, Any], expected: bool) -> None:
    """A prompt continues a conversation if an answer of the model, or what followed from one, is in it or on the server."""
    assert has_earlier_turns(read_request_body(json.dumps(fields).encode())) is expected


@settings(max_examples=examples(200), deadline=None)
@given(
    st.dictionaries(
        st.sampled_from("model stream n seed temperature stop reasoning response_format text messages input".split()),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "role", "format"]), inner)
            ),
            max_leaves=8,
        ),
    )
)
def test_no_body_raises(fields: dict[str, Any]) -> None:
    """Any JSON in any field is read without an exception."""
    body = read_request_body(json.dumps(fields).encode())
    parameters_of(body)
    has_earlier_turns(body)


def test_the_prompt_is_not_decoded() -> None:
    """Messages and input items stay raw bytes."""
    body = read_request_body(b'{"messages": [{"role": "user", "content": "secret"}], "input": [1]}')
    assert [bytes(entry) for entry in body.messages or ()] == [b'{"role": "user", "content": "secret"}']
    assert [bytes(entry) for entry in prompt.entries_of(RequestBody(input=body.input))] == [b"1"]

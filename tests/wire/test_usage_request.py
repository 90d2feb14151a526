"""A request body that is made to ask for usage: one member more, and every other byte as it was."""

import json
from itertools import takewhile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opentelemetry.instrumentation.xai.wire.usage_request import asking_for_usage, asks_for_usage

ASKING = b'"stream_options":{"include_usage":true}'
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
OPTIONS = st.none() | st.fixed_dictionaries(
    {}, optional={"include_usage": st.none() | st.just(False), "include_obfuscation": st.booleans(), "x": JSON}
)
BODIES = st.fixed_dictionaries(
    {"model": st.text(), "messages": JSON, "stream": st.just(True)}, optional={"tools": JSON, "stream_options": OPTIONS}
)
WRITERS = st.sampled_from([{"separators": (",", ":")}, {}, {"indent": 2}, {"ensure_ascii": False}])


@pytest.mark.parametrize(
    ("body", "asking"),
    [
        (b'{"stream":true}', b'{"stream":true,' + ASKING + b"}"),
        (b' {"a": {} }\n', b' {"a": {} ,' + ASKING + b"}\n"),
        (b"{ }", b"{ " + ASKING + b"}"),
        (b'{"stream_options":null,"a":1}', b"{" + ASKING + b',"a":1}'),
        (b'{"stream_options" : {}}', b'{"stream_options" : {"include_usage":true}}'),
        (
            b'{"stream_options":{"x": 1},"b":2}',
            b'{"stream_options":{"x": 1,"include_usage":true},"b":2}',
        ),
        (b'{"stream_options":{"include_usage" : false}}', b"{" + ASKING + b"}"),
        (b'{"stream_options":{"include_usage":null,"x":1}}', b'{"stream_options":{"include_usage":true,"x":1}}'),
        # the name stands elsewhere too
        (
            b'{"a":{"stream_options":null},"stream_options":null}',
            b'{"a":{"stream_options":null},"stream_options":{"include_usage":true}}',
        ),
        (b'{"a":"\\"stream_options\\":null"}', b'{"a":"\\"stream_options\\":null",' + ASKING + b"}"),
        # what only lenient readers take
        (b'{"a":"\\ud83d"}', b'{"a":"\\ud83d",' + ASKING + b"}"),
        (b'{"a":NaN}', b'{"a":NaN,' + ASKING + b"}"),
    ],
)
def test_one_member_is_put_in(body: bytes, asking: bytes) -> None:
    """The question stands at the end of the body, or in the options that are there."""
    assert asking_for_usage(body) == asking


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"[]",
        b'"{}"',
        b'{"stream":true',
        b"{}{}",
        b"\x1f\x8b\x08\x00",
        b'{"stream_options":{"include_usage":true}}',
        b'{"stream_options":{"include_usage":1}}',
        b'{"stream_options":"all"}',
        b'{"stream_options":[]}',
        b'{"stream_options":{"include_usage":false,"include_usage":true}}',
        b'{"stream\\u005foptions":null}',
        b'{"stream_options":null,"a":NaN}',
        b'{"stream_options":{"x":"' + b"x" * 5000 + b'"}}',
        b'{"a":' + b"[" * 100_000,
    ],
)
def test_what_asks_or_cannot_be_made_to_is_left_alone(body: bytes) -> None:
    """What asks already, is no JSON object, or has options that are not understood, gets no question."""
    assert asking_for_usage(body) is None


def _same(one: bytes, other: bytes) -> int:
    """How many bytes two start with alike."""
    return len(list(takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))))


@given(BODIES, WRITERS)
def test_only_the_question_is_new(body: dict[str, Any], writer: dict[str, Any]) -> None:
    """Whatever the body: it asks afterwards, says all else as before, in the same bytes, and asks once."""
    content = json.dumps(body, **writer).encode("utf-8", "replace")
    asking = asking_for_usage(content)
    assert asking is not None
    read = json.loads(asking)
    assert read.pop("stream_options") == {**(body.get("stream_options") or {}), "include_usage": True}
    assert read == {name: value for name, value in json.loads(content).items() if name != "stream_options"}
    assert asking_for_usage(asking) is None
    if "stream_options" not in body:
        before, _, after = asking.rpartition(b"," + ASKING)
        assert before + after == content
    assert _same(content, asking) + _same(content[::-1], asking[::-1]) >= len(content) - len("false")


@given(st.binary(max_size=64) | st.text(alphabet='{}[]":,\\ truefalsenull_stream_options', max_size=64).map(str.encode))
def test_nothing_that_is_sent_makes_it_fail(body: bytes) -> None:
    """Whatever the bytes: what comes out is JSON to whom they are, or nothing."""
    asking = asking_for_usage(body)
    assert asking is None or json.loads(asking)["stream_options"]["include_usage"] is True


@pytest.mark.parametrize(
    ("options", "asks"),
    [
        (None, False),
        ({}, False),
        ({"include_usage": False}, False),
        ({"include_usage": None}, False),
        ({"include_usage": True}, True),
        ({"include_usage": "yes"}, True),
        ("all", True),
    ],
)
def test_who_asks(options: Any, asks: bool) -> None:
    """Whatever is not understood is not asked again."""
    assert asks_for_usage(options) is asks

"""Large JSON documents, reduced while they arrive to what is of interest in them."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from conftest import examples
from opentelemetry.instrumentation.xai.wire import large_document
from opentelemetry.instrumentation.xai.wire.dialect import Shape
from opentelemetry.instrumentation.xai.wire.large_document import LargeDocument, MalformedError

LONGEST, MOST_MEMBERS, DEEPEST = 4096, 128, 12
NAME = 256


class StartOf(str):
    """Equal to any start of a long text that is as long as a name may be."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and NAME <= len(other) < len(self) and self.startswith(other)


def reduced(content: bytes, shape: Shape, cuts: list[int] | None = None) -> Any:
    """The reduction of a document that came in pieces, decoded."""
    ends = sorted(min(cut, len(content)) for cut in cuts or [])
    document = LargeDocument(shape)
    for start, end in zip([0, *ends], [*ends, len(content)], strict=True):
        document.write(content[start:end])
    return json.loads(document.close())


def _reference(value: Any, shape: Shape | None, written: Any, depth: int = 0) -> Any:
    """The reduction in its plainest form, of a document that was decoded whole."""
    if isinstance(value, str):
        return StartOf(value) if len(written(value)) > LONGEST else value
    if isinstance(value, list):
        return [_reference(item, shape, written, depth + 1) for item in value[:MOST_MEMBERS] if depth + 1 < DEEPEST]
    if isinstance(value, dict):
        found: dict[str, Any] = {}
        members = 0
        for key, item in value.items():
            long_key = len(written(key)) > LONGEST
            if depth + 1 < DEEPEST and members < MOST_MEMBERS and (shape is None or (key in shape and not long_key)):
                members += 1
                inner = None if shape is None else shape[key]
                found["" if long_key else key] = _reference(item, inner, written, depth + 1)
        return found
    return value


_NAMES = ["usage", "id", "choices", "finish_reason", "a", "b", ""]
_STRINGS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        ["\\", '"', "\\\\", '\\"', "{", "[", "}]", ",:", "\n", "é", "🚀", "\u2028", "x" * 4093, "x" * 4094, "x" * 4095]
    ),
    st.integers(4000, 12_000).map(lambda size: "\\" * (size // 2)),
    st.integers(4000, 12_000).map(lambda size: '"' * (size // 3) + "y"),
    st.integers(4000, 12_000).map(lambda size: "z" * size),
    st.integers(300, 3000).map(lambda size: "z" * (size % 7) + "é🚀" * size),
)
_SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), _STRINGS
)
_KEYS = st.one_of(st.sampled_from(_NAMES), _STRINGS)
_DOCUMENTS = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(_KEYS, inner, max_size=5)),
    max_leaves=25,
)
_SHAPES: st.SearchStrategy[Mapping[str, Any]] = st.recursive(
    st.just({}),
    lambda inner: st.dictionaries(st.sampled_from(_NAMES[:-1]), st.one_of(st.none(), inner), max_size=4),
    max_leaves=6,
)


@settings(max_examples=examples(600), deadline=None)
@given(_DOCUMENTS, _SHAPES, st.booleans(), st.sampled_from([None, 1]), st.lists(st.integers(0, 20_000), max_size=8))
@example({"a": {"usage": 1}, "usage": {"usage": [1]}}, {"usage": None}, True, None, [])
@example({"a\\": '"', "usage": 1}, {"usage": None}, True, None, list(range(40)))
def test_any_document_is_reduced(
    document: Any, shape: Shape, escaped: bool, indent: int | None, cuts: list[int]
) -> None:
    """Any document, in any pieces, is reduced to what a plain reading of it finds of interest."""

    def written(text: str) -> str:
        return json.dumps(text, ensure_ascii=escaped).encode().decode("latin-1")

    content = json.dumps(document, ensure_ascii=escaped, indent=indent).encode("utf-8", "surrogatepass")
    expected = _reference(document, shape, written)
    assert reduced(content, shape) == expected
    assert reduced(content, shape, cuts) == expected


def test_a_document_may_be_cut_anywhere() -> None:
    """A document with all that JSON has is the same in two pieces, cut at any byte, and byte by byte."""
    document = {
        "skipped": {"a": ["}", {"b": '"\\'}], "c\\": "\\\\"},
        "long key " * 600: "x",
        "choices": [{"index": -1.5e3, "text": "é" * 2500}, True, None, [], {}],
        "usage": {"n": 1, "long": '\\"' * 2500, "deep": [[[{"x": [1]}]]]},
    }
    shape: Shape = {"choices": {"index": None}, "usage": None}
    for indent in (None, 2):
        content = json.dumps(document, indent=indent).encode()
        whole = reduced(content, shape)
        assert whole["choices"][0] == {"index": -1500.0}
        assert whole["usage"]["deep"] == [[[{"x": [1]}]]]
        assert set(whole) == {"choices", "usage"}
        for cut in (*range(0, len(content), 13), *range(len(content) - 900, len(content))):
            assert reduced(content, shape, [cut]) == whole, cut
        assert reduced(content, shape, list(range(len(content)))) == whole


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b" ", b"]", b"}", b":", b",", b"{", b"[", b'"', b'{"a"', b'{"a":1', b"[1", b'"abc', b'"abc\\'),
        *(b"{]", b"[}", b"{} {}", b"{}x", b"{} 1", b"1 2", b"{1:2}", b'{"x":["}', b"{},", b"9" * 5000),
    ],
)
def test_what_is_no_json_is_told(content: bytes) -> None:
    """A document that is cut off or ill-formed raises ``MalformedError``, whole or byte by byte."""
    for cuts in ([], list(range(len(content)))):
        with pytest.raises((MalformedError, json.JSONDecodeError)):
            reduced(content, {"a": None}, cuts)


@settings(max_examples=examples(600), deadline=None)
@given(
    st.lists(
        st.sampled_from([b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"a", b" ", b"1", b'"usage":', b"x" * 5000]),
        max_size=40,
    ),
    st.lists(st.integers(0, 200), max_size=5),
)
def test_any_bytes_raise_nothing_else(pieces: list[bytes], cuts: list[int]) -> None:
    """Arbitrary bytes raise ``MalformedError`` or nothing."""
    content = b"".join(pieces)
    try:
        reduced(content, {"usage": None}, cuts)
    except (MalformedError, json.JSONDecodeError):
        pass


def test_the_error_says_nothing_of_the_document() -> None:
    """What is malformed is not quoted."""
    document = LargeDocument({})
    with pytest.raises(MalformedError) as raised:
        document.write(b'{"secret" "}, ]')
        document.close()
    assert str(raised.value) == ""


@pytest.mark.parametrize("width", [1, 7, 1000, 70_000])
def test_brackets_that_are_passed_over_are_counted_right(width: int) -> None:
    """Containers that are passed over end where they end, however many of them open and close together."""
    for inner in (b"[" * 300 + b"]" * 300, b'{"a":[' * 50 + b"]}" * 50, b"[[],[[]],[[[]]]]", b'[["]"],"[",[[]]]'):
        content = b'{"x":' + inner + b',"usage":7,"y":' + inner + b"}"
        document = LargeDocument({"usage": None})
        for at in range(0, len(content), width):
            document.write(content[at : at + width])
        assert json.loads(document.close()) == {"usage": 7}


def test_the_result_is_bounded() -> None:
    """However much of a document is of interest, what is kept of it is limited in members, depth and bytes."""
    wide = json.dumps([{"n": number} for number in range(1000)]).encode()
    assert reduced(wide, {"n": None}) == [{"n": number} for number in range(MOST_MEMBERS)]
    deep = b"[" * 1000 + b"]" * 1000
    assert large_document._DEEPEST == DEEPEST
    document = LargeDocument({})
    document.write(deep)
    assert document.close() == b"[" * DEEPEST + b"]" * DEEPEST
    many = json.dumps({f"k{n}": {f"k{m}": ["x" * 400] * 100 for m in range(100)} for n in range(20)}).encode()
    document = LargeDocument({f"k{n}": None for n in range(20)})
    document.write(many)
    assert len(document.close()) < 140 * 1024

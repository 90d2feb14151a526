"""The event of usage is taken out of a stream that did not ask for it, and nothing else, however the bytes are cut."""

import json
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import examples
from opentelemetry.instrumentation.xai.wire.usage_event import UsageEvents

COUNTS = {"prompt_tokens": 12, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 11}}
ENVELOPE = {"id": "7327", "object": "chat.completion.chunk", "created": 1770774058, "model": "grok-4.7"}
USAGE = {**ENVELOPE, "choices": [], "usage": COUNTS, "system_fingerprint": "fp"}
ENDS = ("\n", "\r\n", "\r")


def passed(chunks: Iterable[bytes]) -> bytes:
    """What goes on of some chunks."""
    events = UsageEvents()
    return b"".join([*(events.feed(chunk) for chunk in chunks), events.close()])


def event(
    document: object, end: str = "\n", *, blanks: bool = False, named: bool = False, pretty: bool = False
) -> bytes:
    """An event as servers write it."""
    text = document if isinstance(document, str) else _written(document, blanks=blanks, pretty=pretty)
    lines = [*(["event: message", "id: 7"] if named else []), *(f"data: {line}" for line in text.split("\n")), "", ""]
    return end.join(lines).encode()


def _written(document: object, *, blanks: bool, pretty: bool) -> str:
    if pretty:
        return json.dumps(document, indent=1)
    return json.dumps(document, separators=(", ", ": ") if blanks else (",", ":"))


def cut(stream: bytes, at: Iterable[int]) -> Iterator[bytes]:
    """A stream in pieces."""
    last = 0
    for position in sorted({position % (len(stream) + 1) for position in at}):
        yield stream[last:position]
        last = position
    yield stream[last:]


def choice(**delta: object) -> dict[str, object]:
    """A chunk with a choice."""
    return {**ENVELOPE, "choices": [{"index": 0, "delta": delta}]}


TEXTS = st.text(max_size=12) | st.sampled_from(
    ['"choices":[]', '"usage":{"a":1}', 'data: {"choices":[],"usage":{}}\n\n']
)
OTHERS = st.one_of(
    TEXTS.map(lambda text: choice(content=text)),
    st.just(choice()),
    st.just({**choice(content="x"), "usage": None}),
    st.just({**choice(content="x"), "usage": COUNTS}),
    st.just({**ENVELOPE, "choices": [], "prompt_filter_results": [{}]}),
    st.just({**ENVELOPE, "choices": [], "prompt_filter_results": [{}], "usage": None}),
    st.just({**ENVELOPE, "choices": []}),
    st.just({**USAGE, "citations": ["https://example.com"]}),
    st.just({**USAGE, "error": "Service temporarily unavailable."}),
    st.just({"code": 503, "error": "Service temporarily unavailable."}),
    st.just("[DONE]"),
    st.just("{ no json"),
)
OURS = st.sampled_from(
    [
        USAGE,
        {"usage": COUNTS, "choices": []},
        {**USAGE, "citations": None},
        {**USAGE, "citations": []},
        {**USAGE, "usage": None},
        {**USAGE, "usage": [1]},
    ]
)
STYLES = st.fixed_dictionaries(
    {"end": st.sampled_from(ENDS), "blanks": st.booleans(), "named": st.booleans(), "pretty": st.booleans()}
)
COMMENTS = st.sampled_from([b": keep-alive\n\n", b":\r\n\r\n", b": x\r\r", b":\n"])


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A stream that did not ask, and the same of one that did."""
    without: list[bytes] = []
    asked: list[bytes] = []
    style = draw(STYLES)
    for ours in draw(st.lists(st.booleans(), max_size=8)):
        if draw(st.integers(0, 5)) == 0:
            style = draw(STYLES)
        if draw(st.integers(0, 4)) == 0:
            comment = draw(COMMENTS)
            without.append(comment)
            asked.append(comment)
        written = event(draw(OURS if ours else OTHERS), **style)
        asked.append(written)
        if not ours:
            without.append(written)
    return b"".join(without), b"".join(asked)


@settings(max_examples=examples(400))
@given(streams(), st.lists(st.integers(0, 4000), max_size=12))
def test_the_bytes_are_those_of_a_stream_that_did_not_ask(pair: tuple[bytes, bytes], cuts: list[int]) -> None:
    """Whatever else is in a stream, its line ends, and wherever it is cut."""
    without, asked = pair
    assert passed(cut(asked, cuts)) == without


@settings(max_examples=60)
@given(streams())
def test_byte_by_byte(pair: tuple[bytes, bytes]) -> None:
    """The same, cut everywhere."""
    without, asked = pair
    assert passed(asked[index : index + 1] for index in range(len(asked))) == without


@given(st.lists(st.binary(max_size=40) | st.sampled_from([b"data: {", b'"choices":[]', b'"usage"', b"\r", b"\n"])))
def test_what_has_no_usage_event_goes_on_byte_by_byte(chunks: list[bytes]) -> None:
    """Whatever comes: without a whole event of usage in it, and an end to the last, nothing is lost."""
    chunks = [*chunks, b"\n\n"]
    assert passed(chunks) == b"".join(chunks)


@pytest.mark.parametrize("end", ENDS)
def test_an_event_that_comes_whole_goes_on_at_once(end: str) -> None:
    """Nothing is held of it, and the chunk is the very object that came."""
    events = UsageEvents()
    for document in (choice(content="a"), choice(content="b"), {**ENVELOPE, "choices": []}, "[DONE]"):
        chunk = event(document, end)
        assert events.feed(chunk) is chunk
        assert events.held == b""


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_chunks_of_other_types_go_on_as_they_are(kind: type) -> None:
    """What a transport hands over in the stead of bytes is not made into them without need."""
    chunk = kind(event(choice(content="a")))
    assert UsageEvents().feed(chunk) is chunk


@pytest.mark.parametrize("start", [b"", b"event: message\n"])
def test_what_cannot_be_usage_is_held_no_longer_than_that_shows(start: bytes) -> None:
    """An event with a choice goes on from there; the end of the stream and anything unknown from their first byte."""
    events = UsageEvents()
    whole = start + event(choice(content="a"))
    head = whole.index(b'"choices":[{') + len(b'"choices":[{')
    for index in range(head - 1):
        assert events.feed(whole[index : index + 1]) == b""
    assert events.feed(whole[head - 1 : head]) == whole[:head]
    for index in range(head, len(whole)):
        assert events.feed(whole[index : index + 1]) == whole[index : index + 1]
    for chunk in (b"data: [", b"DONE]\n\n", b'{"error": "no', b' stream"}\n\n', b": keep", b"-alive\n", b"\n"):
        assert events.feed(chunk) == chunk


def test_an_event_too_large_to_be_usage_is_not_held() -> None:
    """However an event begins: what is held is bounded."""
    events = UsageEvents()
    given = kept = 0
    for _ in range(100):
        chunk = b'data: {"id":"' + b"x" * 1000 if not given else b"x" * 1000
        given += len(chunk)
        kept += len(events.feed(chunk))
        assert len(events.held) <= 16 * 1024
    assert given == kept


@pytest.mark.parametrize(
    ("rest", "kept"),
    [
        (b"data: " + json.dumps(USAGE).encode(), b""),
        (b"data: " + json.dumps(USAGE).encode() + b"\n", b""),
        (b"data: " + json.dumps(USAGE).encode()[:-20], b""),
        (b"data: [DONE]", b"data: [DONE]"),
        (b'data: {"id":"7', b'data: {"id":"7'),
        (b'data: {"choices":[],"error":"no"}', b'data: {"choices":[],"error":"no"}'),
        (b"dat", b"dat"),
    ],
)
def test_a_stream_that_ends_or_breaks_off_gives_what_is_held(rest: bytes, kept: bytes) -> None:
    """A last event may lack its blank line, or its end: what has no choice was the one of usage."""
    first = event(choice(content="a"))
    for chunks in ([first + rest], [first, rest], [bytes([byte]) for byte in first + rest]):
        assert passed(chunks) == first + kept
    events = UsageEvents()
    events.feed(rest)
    events.close()
    assert events.close() == b""

"""Server-sent events by the rules of the WHATWG, however the bytes are cut."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from conftest import examples
from opentelemetry.instrumentation.xai.wire import sse
from opentelemetry.instrumentation.xai.wire.sse import EventFramer


def framed(chunks: list[bytes]) -> list[bytes]:
    """The events of a stream that came in these chunks."""
    framer = EventFramer({})
    return [event for chunk in chunks for event in framer.feed(chunk)]


def reference(content: bytes) -> list[bytes]:
    """The standard's algorithm in its plainest form: lines, fields, blank lines; an event without its end is none."""
    content = content.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    events: list[bytes] = []
    data: list[bytes] = []
    for line in content.split(b"\n")[:-1]:
        if not line:
            if data:
                events.append(b"\n".join(data))
            data = []
        else:
            field, _, value = line.partition(b":")
            if field == b"data" and line != b"data":  # a bare name adds an empty line, of which JSON knows nothing
                data.append(value.removeprefix(b" "))
    return events


@pytest.mark.parametrize(
    ("content", "events"),
    [
        pytest.param(b"data: a\n\ndata: b\n\n", [b"a", b"b"], id="lf"),
        pytest.param(b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"], id="crlf"),
        pytest.param(b"data: a\r\rdata: b\r\r", [b"a", b"b"], id="cr"),
        pytest.param(b"data: a\r\n\ndata: b\n\r\n", [b"a", b"b"], id="mixed"),
        pytest.param(b"\xef\xbb\xbfdata: a\n\n", [b"a"], id="byte-order-mark"),
        pytest.param(b"data: \xef\xbb\xbfa\n\n", [b"\xef\xbb\xbfa"], id="mark-inside"),
        pytest.param(b"data:a\n\n", [b"a"], id="no-blank"),
        pytest.param(b"data:  a\n\n", [b" a"], id="one-blank-is-dropped"),
        pytest.param(b"data: a\ndata: b\n\n", [b"a\nb"], id="two-lines"),
        pytest.param(b": comment\n\n:\n\ndata: a\n: b\n\n", [b"a"], id="comments"),
        pytest.param(b"event: x\nid: 1\nretry: 5\ndata: a\n\n", [b"a"], id="other-fields"),
        pytest.param(b"event: x\n\nid: 1\n\n", [], id="no-data-no-event"),
        pytest.param(b"datum: a\n\nDATA: b\n\n data: c\n\n", [], id="other-names"),
        pytest.param(b"\n\n\ndata: a\n\n\n\n\ndata: b\n\n\n", [b"a", b"b"], id="many-blank-lines"),
        pytest.param(b"data: a\n", [], id="no-end"),
        pytest.param(b"", [], id="nothing"),
    ],
)
def test_events(content: bytes, events: list[bytes]) -> None:
    """Each rule of the standard, with the bytes whole and one by one."""
    assert framed([content]) == events
    assert framed([content[at : at + 1] for at in range(len(content))]) == events
    assert reference(content) == events


_PIECES = st.sampled_from(
    [
        *(b"data: ", b"data:", b"data", b"\n", b"\n\n", b"\r", b"\r\n", b"\r\n\r\n", b"a", b"{}", b" ", b": c"),
        *(b"event: x", b"\xef", b"\xef\xbb\xbf", b"id", b":", b"data: a\n\n", b"data: b\r\n\r\n"),
    ]
)


@settings(max_examples=examples(800), deadline=None)
@given(st.lists(_PIECES, max_size=25).map(b"".join), st.lists(st.integers(0, 200), max_size=8))
@example(b"\xef\xbb\xbfdata: a\n\n", [0, 0, 1, 2, 3])
@example(b"data: a\r\n\r\ndata: b\r\n\r\n", [8, 9, 10])
def test_any_stream_is_split_as_the_standard_says(content: bytes, cuts: list[int]) -> None:
    """Any bytes, in any chunks, are the events that the standard's algorithm finds."""
    ends = sorted(min(cut, len(content)) for cut in cuts)
    chunks = [content[start:end] for start, end in zip([0, *ends], [*ends, len(content)], strict=True)]
    assert framed(chunks) == reference(content)


@pytest.mark.parametrize("kept", [1, 10, 200, 3000])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_large_events_are_reduced_without_touching_others(kept: int, data: st.DataObject) -> None:
    """With whatever limit, each event of a stream is found once, in its place, with the members that are of interest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sse, "LARGEST_KEPT", kept)
        lines = st.sampled_from(["", ": comment\n", "event: x\n", "id: 1\r\n", ":" + "c" * 400 + "\n"])
        content = b""
        numbers = data.draw(st.lists(st.integers(0, 99), max_size=8))
        for number in numbers:
            document = {"pad": "x" * data.draw(st.integers(0, 700)), "n": number, "more": [1, {"n": 5}]}
            text = json.dumps(document, indent=data.draw(st.sampled_from([None, None, 1])))
            fields = "".join(f"data: {line}\n" + data.draw(lines) for line in text.split("\n"))
            content += (data.draw(lines) + fields + "\n").encode()
        ends = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=12)))
        framer = EventFramer({"n": None})
        found = []
        for start, end in zip([0, *ends], [*ends, len(content)], strict=True):
            found += [json.loads(event)["n"] for event in framer.feed(content[start:end])]
        assert found == numbers
        assert framer.malformed == 0


def test_a_large_event_that_is_no_json_is_counted() -> None:
    """An event too large to keep that is no JSON is dropped and counted; the next one is read."""
    for junk in (b"]" * 400_000, b"{" * 400_000, b'"' + b"x" * 400_000, b"9" * 400_000):
        content = b"data: " + junk + b"\n\ndata: a\n\n"
        framer = EventFramer({})
        chunks = (content[at : at + 5000] for at in range(0, len(content), 5000))
        assert [event for chunk in chunks for event in framer.feed(chunk)] == [b"a"]
        assert framer.malformed == 1


def test_a_long_comment_is_no_event() -> None:
    """A comment or field too long to keep is neither an event nor malformed, and leaves the event around it whole."""
    content = b"data: a\n:" + b"c" * 400_000 + b"\nevent: " + b"e" * 400_000 + b"\ndata: b\n\n"
    framer = EventFramer({})
    chunks = (content[at : at + 5000] for at in range(0, len(content), 5000))
    assert [event for chunk in chunks for event in framer.feed(chunk)] == [b"a\nb"]
    assert framer.malformed == 0


def test_between_events() -> None:
    """It is known whether a chunk begins with an event: after the end of the last one, and not before the first byte."""
    framer = EventFramer({})
    for chunk, between in (
        (b"", False),
        (b"data: a", False),
        (b"\n", False),
        (b"\n", True),
        (b"data: b\n\n", True),
        (b": c", False),
        (b"\n", True),
        (b"data: d\r\n\r", False),
        (b"\n", True),
    ):
        list(framer.feed(chunk))
        assert framer.between_events is between, chunk

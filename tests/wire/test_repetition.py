"""The form that the chunks of a stream have in common: learned from examples, never too wide."""

import json
from typing import Any

import pytest

from opentelemetry.instrumentation.xai.wire import repetition
from opentelemetry.instrumentation.xai.wire.repetition import Repetition


def chunk(event: Any, label: str = "") -> bytes:
    """One event as one chunk."""
    return f"{label}data: {json.dumps(event, separators=(',', ':'))}\n\n".encode()


def chat(text: Any = "a", key: str = "content", index: int = 0, **more: Any) -> bytes:
    """A chunk of a chat stream."""
    return chunk({"id": "c", **more, "choices": [{"index": index, "delta": {key: text}}]})


def delta(text: str, kind: str = "response.output_text.delta", **more: Any) -> bytes:
    """An event of a Responses stream."""
    return chunk({"type": kind, **more, "delta": text})


def data_of(data: bytes) -> bytes:
    """The data of the one event of a chunk."""
    return data[data.index(b"data: ") + 6 : -2]


class Lesson(Repetition):
    """A repetition, with the last chunk that taught it."""

    chunk = b""

    def study(self, data: bytes) -> None:
        """Learn from the event of a chunk."""
        self.chunk = data
        self.learn(data_of(data))


def learned(*chunks: bytes) -> Lesson:
    """What these chunks teach."""
    lesson = Lesson()
    for each in chunks:
        lesson.study(each)
    return lesson


def has_form(lesson: Lesson, data: bytes) -> bool:
    """Whether a chunk has the form that was learned."""
    form = lesson.as_chunk(lesson.chunk, data_of(lesson.chunk))
    return form is not None and repetition.has_form(form, data)


def test_chat_is_learned_from_two() -> None:
    """Two chunks that differ in one string teach the form; one, or two that are the same, do not."""
    assert learned(chat("a")).form is None
    assert learned(chat("a"), chat("a")).form is None
    lesson = learned(chat("a"), chat("b"))
    for text in ("c", "", "é", "\\", "two words", "{}[],:", "\n"):
        assert has_form(lesson, chat(text)), text


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(chat('"'), id="quote"),
        pytest.param(chat("c", key="reasoning_content"), id="other-key"),
        pytest.param(chat("c", index=1), id="other-choice"),
        pytest.param(chat("c", usage={"prompt_tokens": 1}), id="usage"),
        pytest.param(chat("c", x=1), id="more"),
        pytest.param(chat("c") + chat("d"), id="two-events"),
        pytest.param(chat("c")[:-1], id="no-end"),
        pytest.param(chat("c")[1:], id="no-start"),
        pytest.param(b": x\n\n" + chat("c"), id="comment-before"),
        pytest.param(chat("c") + b"\n", id="more-after"),
        pytest.param(chat(None), id="null"),
        pytest.param(chat(["c"]), id="list"),
        pytest.param(b"data: [DONE]\n\n", id="done"),
        pytest.param(b"", id="nothing"),
        pytest.param(bytearray(chat("c", usage={"prompt_tokens": 1})), id="no-bytes"),
        pytest.param(memoryview(chat("c")), id="view"),
    ],
)
def test_chat_of_another_form_is_told(other: bytes) -> None:
    """What could tell something new has not the form of a chunk that only carries more text."""
    assert not has_form(learned(chat("a"), chat("b")), other)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(chat("a", index=0), chat("a", index=1), id="number"),
        pytest.param(chat("a", key="content"), chat("a", key="refusal"), id="key"),
        pytest.param(chat("a", x=None), chat("a", x=True), id="literal"),
        pytest.param(chat("a", x=["p"]), chat("a", x=["q"]), id="item-of-a-list"),
        pytest.param(chat("a", x='"', y=1), chat("a", x='"', y=2), id="number-after-an-escaped-quote"),
        pytest.param(chat("a", x="p"), chat("b", x="q"), id="two-strings"),
    ],
)
def test_only_a_members_value_may_differ(first: bytes, second: bytes) -> None:
    """Chunks that differ in anything but the text of one member teach nothing."""
    assert learned(first, second).form is None


def test_responses_are_learned_from_one() -> None:
    """One typed delta teaches its form: the same type, with any number and text."""
    for label in ("", "event: response.output_text.delta\n"):
        lesson = learned(chunk({"type": "response.output_text.delta", "sequence_number": 1, "delta": "a"}, label))
        same = {"type": "response.output_text.delta", "sequence_number": 22, "delta": 'b"\\'}
        assert has_form(lesson, chunk(same, label))
        assert not has_form(lesson, chunk(same, "event: x\n"))
        assert not has_form(lesson, chunk(same, label) * 2)
        assert not has_form(lesson, chunk(same, label)[:-1])
        for kind in ("response.output_text.delta2", "response.reasoning_text.delta", "response.completed", "error"):
            assert not has_form(lesson, chunk({**same, "type": kind}, label))


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(delta("a")[:-1], id="no-end"),
        pytest.param(delta("a").replace(b"\n", b"\r\n"), id="other-line-ends"),
        pytest.param(bytearray(delta("a")), id="no-bytes"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_only_whole_single_events_have_a_form_as_chunks(other: Any) -> None:
    """A chunk that is not exactly one event, with plain line ends, gives no form of chunks."""
    lesson = learned(delta("a"))
    assert lesson.form is not None
    assert lesson.as_chunk(other, data_of(delta("a"))) is None


def test_lessons_end() -> None:
    """A stream that never repeats itself is not studied for ever."""
    lesson = learned(*(chat("a", x=[number]) for number in range(repetition._MOST_LESSONS)))
    lesson.study(chat("a"))
    lesson.study(chat("b"))
    assert lesson.form is None


def test_a_new_form_takes_the_place_of_the_old() -> None:
    """When reasoning gives way to the answer, its form does too."""
    lesson = learned(chat("a", "reasoning"), chat("b", "reasoning"), chat("a"), chat("b"))
    assert has_form(lesson, chat("c"))
    assert not has_form(lesson, chat("c", "reasoning"))

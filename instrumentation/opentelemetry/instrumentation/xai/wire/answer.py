"""What an answer has said of itself so far. A dialect writes it, the exchange reads it; texts never get in."""

from typing import Any

from msgspec import Struct

from ..limits import LONGEST_NAME
from ..observation import Usage
from .fingerprint import digest_of_text, marks_of

_MOST_CHOICES = 64
_MOST_MARKS = 64


class Answer(Struct):
    """The running account of one answer, streamed or not. A struct, since one is made for each call."""

    id: str | None = None
    model: str | None = None
    conversation_id: str | None = None
    finish_reasons: dict[int, str | None] = {}
    usage: Usage | None = None
    marks: list[int] = []
    """By what the answer will be known when it is sent back."""
    returned_reasoning: bool = False
    """Whether reasoning came that a next request can send back."""
    counts: dict[str, Any] = {}
    """Usage as sent so far, where it comes in parts."""
    error: bool = False
    terminal: bool = False
    """A terminal event came: nothing that follows belongs to the answer."""
    reasoned: bool = False
    """A non-empty reasoning token came."""
    answered: bool = False
    """A non-empty answer or tool-call token came."""
    news: bool = False
    """The last event told something beside more text. Unset by the reader before the next."""
    text: bool = False
    """The last event carried a non-empty token. Unset by the reader before the next."""

    @property
    def unfinished(self) -> bool:
        """Whether no finish has come, or something has begun whose finish has not."""
        reasons = self.finish_reasons
        return not reasons or not all(reasons.values())

    def named(self, id_: Any, model: Any) -> None:
        """Note id and model; the first that is stated stands."""
        if self.id is None and type(id_) is str and id_:
            self.id = id_[:LONGEST_NAME]
        if self.model is None and type(model) is str and model:
            self.model = model[:LONGEST_NAME]

    def conversed(self, id_: Any) -> None:
        """Note the conversation id that the answer states."""
        if type(id_) is str and id_:
            self.conversation_id = id_[:LONGEST_NAME]

    def finished(self, index: Any, reason: Any) -> None:
        """Note that a choice exists and, once known, why it ended."""
        if type(index) is not int:
            index = 0
        elif not 0 <= index < _MOST_CHOICES:
            return
        if type(reason) is str and reason:
            self.finish_reasons[index] = reason[:LONGEST_NAME]
            self.news = True
        else:
            self.finish_reasons.setdefault(index, None)

    def used(self, usage: Usage | None) -> None:
        """Note a usage report: the last one stands, but a cost once known is never lowered."""
        if usage is None:
            return
        self.news = True
        known = self.usage
        if known is None:
            self.usage = usage
            return
        costs = [ticks for ticks in (known.cost_ticks, usage.cost_ticks) if ticks is not None]
        newer = usage if usage.input_tokens is not None or usage.output_tokens is not None else known
        self.usage = Usage(
            newer.input_tokens,
            newer.output_tokens,
            newer.cached_tokens,
            newer.reasoning_tokens,
            max(costs, default=None),
            newer.modalities,
            newer.tools_on_server,
            newer.context_tokens,
        )

    def said(self, text: str) -> None:
        """Note a text of the answer that is whole; it is digested and forgotten."""
        if text and len(self.marks) < _MOST_MARKS:
            self.marks.append(digest_of_text(text))

    def put_out(self, part: Any) -> None:
        """Note a part of the answer that is whole: a message, an item, a tool call."""
        if len(self.marks) < _MOST_MARKS:
            self.marks.extend(marks_of(part))

    def reasoning(self) -> None:
        """Note a non-empty reasoning token."""
        self.text = self.returned_reasoning = True
        if not self.reasoned:
            self.reasoned = self.news = True

    def answering(self) -> None:
        """Note a non-empty answer or tool-call token."""
        self.text = True
        if not self.answered:
            self.answered = self.news = True

    def failed(self) -> None:
        """Note that the answer itself reported an error."""
        self.error = self.news = True

    def ended(self) -> None:
        """Note the terminal event."""
        self.terminal = self.news = True

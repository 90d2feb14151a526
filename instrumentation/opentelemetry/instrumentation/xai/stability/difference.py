"""Two texts, and where they begin to differ."""

import unicodedata
from dataclasses import dataclass

_AROUND = 0.45
"""What share of an excerpt stands before the difference."""
_CUT = "..."
_LEAST = 30


@dataclass(frozen=True)
class Difference:
    """One part of a prompt as the earlier and as the later request have it; ``None`` where one has none."""

    before: str | None
    after: str | None

    @property
    def offset(self) -> int:
        """How many characters they have in common from the beginning on."""
        before, after = self.before or "", self.after or ""
        pairs = enumerate(zip(before, after, strict=False))
        return next((place for place, (one, other) in pairs if one != other), min(len(before), len(after)))

    def excerpts(self, width: int = 80) -> tuple[str, str, int]:
        """Of both, some characters around the difference, which begins at the column that is the third."""
        width, offset = max(width, _LEAST), self.offset
        start = max(offset - int(width * _AROUND), 0)
        head = (_CUT if start else "") + printable((self.before or self.after or "")[start:offset])
        before, after = (_excerpt(text, offset, head, width) for text in (self.before, self.after))
        return before, after, len(head)

    def lines(self, labels: tuple[str, str], width: int) -> list[str]:
        """Both excerpts behind their labels, and below them a mark under the first character that differs."""
        before, after, column = self.excerpts(width - len(labels[0]))
        indent = len(labels[0]) + _columns(before[:column] if self.before is not None else "")
        return [labels[0] + before, labels[1] + after, " " * indent + "^"]


def printable(text: str) -> str:
    """A text without characters that would do something to a terminal."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def _excerpt(text: str | None, offset: int, head: str, width: int) -> str:
    if text is None:
        return "(nothing)"
    room = width - _columns(head) - len(_CUT)
    tail = ""
    for place in range(offset, len(text)):
        shown = printable(text[place])
        if _columns(tail) + _columns(shown) > room:
            return head + tail + _CUT
        tail += shown
    return head + (tail or ("" if head else "(empty)"))


def _columns(text: str) -> int:
    """How many columns of a terminal a text takes."""
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text
    )

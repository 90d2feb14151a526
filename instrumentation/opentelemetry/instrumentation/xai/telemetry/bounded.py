"""Values for metric attributes, of which there may be only so many."""

from ..conventions import OTHER


class Bounded:
    """Lets the first ``most`` different values through; each further one becomes ``_other``."""

    __slots__ = ("_most", "_seen")

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: set[str] = set()

    def __call__(self, value: str) -> str:
        """Return the value, or ``_other`` in its stead."""
        seen = self._seen
        if value in seen:
            return value
        if len(seen) >= self._most:
            return OTHER
        seen.add(value)
        return value


_of_process: dict[str, Bounded] = {}


def bounded(what: str, most: int) -> Bounded:
    """The bound for one kind of value: the same one for the whole life of the process."""
    return _of_process.setdefault(what, Bounded(most))

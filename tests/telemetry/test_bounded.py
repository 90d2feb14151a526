"""Values for metric attributes, of which there may be only so many."""

from opentelemetry.instrumentation.xai.telemetry import bounded
from opentelemetry.instrumentation.xai.telemetry.bounded import Bounded


def test_further_values_become_other() -> None:
    """The first values pass for good; every further one becomes ``_other``."""
    three = Bounded(3)
    assert [three(value) for value in ("a", "b", "a", "c", "d", "b", "e", "c")] == [
        *("a", "b", "a", "c", "_other", "b", "_other", "c")
    ]


def test_none_may_pass() -> None:
    """A bound of 0 lets nothing through."""
    assert Bounded(0)("a") == "_other"


def test_a_bound_holds_for_the_process() -> None:
    """Whoever asks for the same bound later gets the values that passed before, and no further ones."""
    assert [bounded.bounded("model", 2)(value) for value in ("a", "b")] == ["a", "b"]
    assert [bounded.bounded("model", 2)(value) for value in ("a", "c")] == ["a", "_other"]
    assert bounded.bounded("server", 2)("c") == "c"

"""Values for metric attributes, of which there may be only so many."""

from opentelemetry.instrumentation.xai.telemetry.bounded import Bounded


def test_further_values_become_other() -> None:
    """The first values pass for good; every further one becomes ``_other``."""
    bounded = Bounded(3)
    assert [bounded(value) for value in ("a", "b", "a", "c", "d", "b", "e", "c")] == [
        *("a", "b", "a", "c", "_other", "b", "_other", "c")
    ]


def test_none_may_pass() -> None:
    """A bound of 0 lets nothing through."""
    assert Bounded(0)("a") == "_other"

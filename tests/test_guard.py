"""The guard: our own faults are logged once, by place and kind, and never reach the application."""

import logging

import pytest

from opentelemetry.instrumentation.xai import guard
from opentelemetry.instrumentation.xai.guard import fault, guarded


@pytest.fixture(autouse=True)
def _quiet_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Log our own faults, as in production."""
    monkeypatch.setattr(guard, "raise_faults", False)


@guarded
def fragile(error: BaseException | None, value: int = 7) -> int:
    """Raise what is given, or return the value."""
    if error is not None:
        raise error
    return value


@guarded
def other(error: Exception) -> None:
    """Raise what is given, elsewhere."""
    raise error


def test_what_succeeds_is_passed_on(caplog: pytest.LogCaptureFixture) -> None:
    """A guarded function has its own name, documentation, arguments and result."""
    assert fragile(None, 8) == 8
    assert fragile.__name__ == "fragile"
    assert fragile.__doc__ == "Raise what is given, or return the value."
    assert caplog.records == []


def test_a_fault_is_logged_once_for_each_place_and_kind(caplog: pytest.LogCaptureFixture) -> None:
    """The same kind of fault in the same place is logged once, and ``None`` is returned each time."""
    for error in (KeyError("a"), KeyError("b"), ValueError("c"), KeyError("d"), ValueError("e")):
        assert fragile(error) is None
        other(error)
    kinds = [(record.args[0], record.args[1]) for record in caplog.records if isinstance(record.args, tuple)]
    assert sorted(kinds) == [
        ("fragile", "KeyError"),
        ("fragile", "ValueError"),
        ("other", "KeyError"),
        ("other", "ValueError"),
    ]
    assert all(record.levelno == logging.ERROR for record in caplog.records)
    assert all(record.name == "opentelemetry.instrumentation.xai.guard" for record in caplog.records)


def test_what_is_logged_says_where_but_not_what(caplog: pytest.LogCaptureFixture) -> None:
    """A fault's place, type and stack are logged; its message, which may quote a prompt, never is."""
    try:
        raise RuntimeError("inner secret")
    except RuntimeError as cause:
        error = ValueError("outer secret")
        error.__cause__ = cause
        error.add_note("note secret") if hasattr(error, "add_note") else None
    fragile(error)
    (record,) = caplog.records
    assert "secret" not in caplog.text
    assert record.exc_info is None
    assert "ValueError" in record.getMessage()
    assert "fragile (test_guard.py:" in record.getMessage()
    assert "not affected" in record.getMessage()


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit, BaseException])
def test_what_is_no_exception_passes(kind: type[BaseException], caplog: pytest.LogCaptureFixture) -> None:
    """Interrupts, cancellation and exits are never held up."""
    with pytest.raises(kind):
        fragile(kind())
    assert caplog.records == []


def test_faults_are_loud_in_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """With ``raise_faults`` a fault is raised, so that no test passes over one."""
    monkeypatch.setattr(guard, "raise_faults", True)
    with pytest.raises(KeyError):
        fragile(KeyError())
    with pytest.raises(KeyError):
        fault("somewhere", KeyError())


def test_what_is_remembered_of_faults_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """A program in which everything fails is not flooded."""
    for number in range(guard._MOST_KINDS + 100):
        fault(f"place{number}", ValueError())
    assert len(caplog.records) == guard._MOST_KINDS


def test_a_fault_that_was_never_raised_can_be_noted(caplog: pytest.LogCaptureFixture) -> None:
    """An exception without a traceback is logged as well."""
    fault("somewhere", ValueError("secret"))
    assert "somewhere with ValueError" in caplog.text
    assert "secret" not in caplog.text

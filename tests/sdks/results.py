"""What the tests say of each cell of the table of clients, kept in a file: ``pytest --client-table FILE``.

A cell holds when every test of it passed, in every environment that wrote to the same file. This file is a plugin of
pytest's; what the table looks like is not known here.
"""

import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from sdks.cells import row_of

PASSED, FAILED = "passed", "failed"
_PROPERTY = "cells of the table of clients"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the file's name."""
    parser.addoption("--client-table", metavar="FILE", type=Path, help="add what was found of each client to FILE")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, and listen where results come together."""
    config.addinivalue_line("markers", "cell(row, method): the cell of the table of clients that a test proves")
    file = config.getoption("--client-table")
    if file is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Results(file))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Send a test's cells along with its report."""
    item.user_properties.append((_PROPERTY, list(_cells(item))))


def _cells(item: pytest.Item) -> Iterator[tuple[str, str]]:
    for mark in item.iter_markers("cell"):
        yield mark.args
    params: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
    driver = params.get("driver")
    # In the contract suite, a driver of a client library itself; what has no endpoint or mode of its own holds for all.
    if "test_contract" not in item.nodeid or driver is None or "openai" in driver.needs:
        return
    library = driver.needs[0]
    for endpoint in [params["endpoint"]] if "endpoint" in params else ["chat", "responses", "messages"]:
        for streamed in [params["streamed"]] if "streamed" in params else [False, True]:
            method = f"{'async_' * driver.asynchronous}{endpoint}{'_stream' * streamed}"
            yield row_of(library, version(library)), method


class _Results:
    """The cells of one run."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._cells: dict[str, dict[str, str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note what became of a test."""
        if not (report.failed or (report.when == "call" and report.passed)):
            return
        for row, method in dict(report.user_properties).get(_PROPERTY, ()):
            cells = self._cells.setdefault(row, {})
            cells[method] = FAILED if report.failed else cells.get(method, PASSED)

    def pytest_sessionfinish(self) -> None:
        """Add this run to those before it."""
        known = json.loads(self._file.read_text()) if self._file.exists() else {}
        for row, cells in self._cells.items():
            for method, outcome in cells.items():
                before = known.setdefault(row, {}).get(method, PASSED)
                known[row][method] = FAILED if FAILED in (before, outcome) else PASSED
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n")

"""The README tells the truth: its tables match the code, its files exist, its commands are targets."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from opentelemetry.instrumentation.xai import conventions
from opentelemetry.instrumentation.xai.settings import PREFIX, Settings
from others.peers import PEERS
from sdks.table import RESULTS, render

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"

pytestmark = pytest.mark.skipif(not README.exists(), reason="not a checkout of the repository")


def table(name: str) -> str:
    """The part of the README between two markers."""
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", README.read_text(), re.DOTALL)
    assert found, name
    return found[1]


def test_every_metric_is_in_the_table_and_every_row_is_a_metric() -> None:
    """Name, instrument and unit of each metric are what the code has."""
    rows = re.findall(r"^\| `([\w.]+)` \| (\w+), (\S+) \|", table("metrics"), re.MULTILINE)
    expected = [(metric.name, "histogram", metric.unit) for metric in conventions.HISTOGRAMS]
    expected += [(metric.name, "counter", metric.unit) for metric in conventions.COUNTERS]
    assert sorted(rows) == sorted(expected)


def test_every_span_attribute_is_in_the_table_and_every_row_is_an_attribute() -> None:
    """The attributes of a span, and no other."""
    metric_only = {
        conventions.TOKEN_TYPE,
        conventions.TOKEN_MODALITY,
        conventions.XAI_TOKEN_KIND,
        conventions.XAI_CACHE_WARM,
        conventions.XAI_CONVERSATION_ID_PRESENCE,
    }
    known = {
        value
        for name, value in vars(conventions).items()
        if name.isupper() and isinstance(value, str) and re.fullmatch(r"(gen_ai|xai|server|http)\.[\w.]+", value)
    } | {conventions.ERROR_TYPE}
    named = {name for name in re.findall(r"`([\w.]+)`", table("spans")) if "." in name}
    assert named == known - metric_only


def test_every_reason_is_in_the_table_and_in_the_runbook() -> None:
    """Each reason with its cause, in the order in which they are told, and each with a section of its own."""
    rows = re.findall(r"^\| `(\w+)` \| ([\w, ]+) \|", table("reasons"), re.MULTILINE)
    expected = [
        (reason, cause if confidence == conventions.CERTAIN else f"{cause}, {confidence}")
        for reason, (cause, confidence) in conventions.REASONS.items()
    ]
    assert rows == expected
    headings = re.findall(r"^#+ `?(\w+)`?$", (ROOT / "dashboards/runbook.md").read_text(), re.MULTILINE)
    assert [heading for heading in headings if heading in conventions.REASONS] == list(conventions.REASONS)


def test_every_setting_is_in_the_table() -> None:
    """Keyword and variable of each setting."""
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \|", table("settings"), re.MULTILINE)
    assert sorted(rows) == sorted((field.name, PREFIX + field.name.upper()) for field in dataclasses.fields(Settings))


def test_the_table_of_clients_is_what_the_tests_found() -> None:
    """What `make test-clients` has found last, and nothing that failed."""
    results = json.loads(RESULTS.read_text())
    assert table("clients") == render(results)
    assert {outcome for cells in results.values() for outcome in cells.values()} == {"passed"}


def test_links_lead_somewhere() -> None:
    """Each relative link of the README and its kin names a file that exists."""
    for page in [README, *ROOT.glob("examples/*/README.md"), ROOT / "CONTRIBUTING.md", ROOT / "dashboards/runbook.md"]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_make_targets_that_the_pages_name_exist() -> None:
    """Nobody is sent to a target that is not there."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in (README, ROOT / "CONTRIBUTING.md", *ROOT.glob("examples/*/README.md")):
        assert set(re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(), re.MULTILINE)) <= targets, page


def test_every_way_of_switching_on_is_tried_by_a_test() -> None:
    """Each row of the table names a test of switching on that exists."""
    tests = "".join(path.read_text() for path in (ROOT / "tests/switching_on").glob("test_*.py"))
    rows = [line for line in table("ways").splitlines() if line.startswith("| ")][1:]
    assert len(rows) == 9
    for row in rows:
        (name,) = re.findall(r"`(test_\w+)`", row)
        assert f"def {name}(" in tests


def test_other_instrumentations_are_listed_as_they_are_tested() -> None:
    """Each that has a test has a row, which says where there are two spans of a call, and whether it records metrics."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table("others").splitlines()[2:]]
    found = {beside.split()[0]: ("both" in spans, metrics != "none") for beside, spans, metrics, _ in rows[1:]}
    expected = {
        f"{peer.name}'s" if peer.name == "anthropic" else peer.name: (bool(peer.own_span), bool(peer.records))
        for peer in PEERS
    }
    assert found == expected

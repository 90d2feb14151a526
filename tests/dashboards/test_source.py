"""The boards that are committed are the ones that the source makes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("grafana_foundation_sdk", reason="needs Python 3.11 and the group `dashboards`")

from source import build
from source.links import explore
from source.queries import before, efficiency

DASHBOARDS = Path(__file__).resolve().parents[2] / "dashboards"


def test_what_is_committed_is_what_the_source_makes() -> None:
    """``generated/*.json`` says what the source says: after a change, run ``python -m source`` in ``dashboards``."""
    kept = {path.name: path.read_text(encoding="utf-8") for path in build.FOLDER.glob("*.json")}
    assert kept == build.boards()


def test_the_same_source_makes_the_same_bytes() -> None:
    """Two builds differ in nothing, so that a difference is a change."""
    assert build.boards() == build.boards()


def test_check_tells_drift_by_its_exit_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is missing, stale or not ours is named by ``drifted``."""
    monkeypatch.setattr(build, "FOLDER", tmp_path)
    for name, text in build.boards().items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert build.drifted() == []
    (tmp_path / "xai-overview.json").write_text("{}", encoding="utf-8")
    (tmp_path / "stray.json").write_text("{}", encoding="utf-8")
    (tmp_path / "xai-cache-regressions.json").unlink()
    assert build.drifted() == ["stray.json", "xai-cache-regressions.json", "xai-overview.json"]


def test_the_command_checks() -> None:
    """``python -m source --check`` passes on what is committed."""
    checked = subprocess.run(
        [sys.executable, "-m", "source", "--check"], cwd=DASHBOARDS, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_past_moves_every_range() -> None:
    """A day ago, each part of the efficiency is a day ago."""
    query = before(efficiency(), "1d")
    assert query.count("] offset 1d)") == query.count("rate(") == 3


def test_links_to_traces_are_json_that_grafana_can_fill_in() -> None:
    """What is between the variables is escaped for an address, and the variables are left alone."""
    said = explore('{ span.x = "${__field.labels.y:percentencode}" }')
    panes = said.partition("&panes=")[2]
    assert not set(panes) & set('" {}&=') - set("{}")
    from urllib.parse import unquote

    query = json.loads(unquote(panes))["xai"]["queries"][0]
    assert query["query"] == '{ span.x = "${__field.labels.y:percentencode}" }'
    assert query["datasource"] == {"type": "tempo", "uid": "${tempo}"}

"""``xai-otel dashboards``: the boards as they are shipped, in a folder of one's choice."""

import json
from pathlib import Path

import pytest

from opentelemetry.instrumentation.xai import commands

DASHBOARDS = Path(__file__).parents[2] / "dashboards"
SHIPPED = {
    "xai-overview.json": DASHBOARDS / "generated" / "xai-overview.json",
    "xai-cache-regressions.json": DASHBOARDS / "generated" / "xai-cache-regressions.json",
    "runbook.md": DASHBOARDS / "runbook.md",
}


def test_boards_and_runbook(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are written byte for byte, into a folder that is made; the screen names each and says what comes next."""
    folder = tmp_path / "grafana" / "boards"
    assert commands.main(["dashboards", "--out", str(folder)]) == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        name: path.read_bytes() for name, path in SHIPPED.items()
    }
    output, error = capsys.readouterr()
    assert error == ""
    assert output.splitlines()[: len(SHIPPED)] == [f"Wrote {folder / name}" for name in SHIPPED]
    assert "Import" in output


def test_boards_can_be_imported(tmp_path: Path) -> None:
    """Each board is JSON with a title and the identity by which alerts and other boards link to it."""
    assert commands.main(["dashboards", "--out", str(tmp_path)]) == 0
    for path in tmp_path.glob("*.json"):
        board = json.loads(path.read_text(encoding="utf-8"))
        assert board["uid"] == path.stem
        assert board["title"]


def test_a_folder_that_was_there(tmp_path: Path) -> None:
    """Its other files stay, and boards of an earlier version are replaced."""
    (tmp_path / "other.json").write_text("{}")
    (tmp_path / "xai-overview.json").write_text("before")
    assert commands.main(["dashboards", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "other.json").read_text() == "{}"
    assert (tmp_path / "xai-overview.json").read_bytes() == SHIPPED["xai-overview.json"].read_bytes()


def test_a_file_in_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 2, one line that says what is allowed, and the file stays as it was."""
    file = tmp_path / "boards"
    file.write_text("mine")
    for out, named in ((file, file), (file / "below", file)):
        assert commands.main(["dashboards", "--out", str(out)]) == 2
        output, error = capsys.readouterr()
        assert output == ""
        assert error.startswith(f"xai-otel dashboards: {named}")
        assert error.endswith("; allowed is a folder\n")
        assert error.count("\n") == 1
    assert file.read_text() == "mine"


def test_wrong_usage_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    """The folder must be given; the help says what is written, and where to."""
    assert commands.main(["dashboards"]) == 2
    assert "--out" in capsys.readouterr().err
    assert commands.main(["dashboards", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "\n  --out DIR " in shown
    assert "exit statuses:" in shown
    assert max(map(len, shown.splitlines())) <= 110
    assert commands.main(["--help"]) == 0
    assert "xai-otel dashboards --out boards" in capsys.readouterr().out

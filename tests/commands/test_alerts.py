"""``xai-otel alerts``: the rules as they were asked for, what comes next, and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from opentelemetry.instrumentation.xai import commands
from opentelemetry.instrumentation.xai.alerting import Thresholds, rule_file
from opentelemetry.instrumentation.xai.alerting.thresholds import LOSSES


class Written:
    """What a run gave."""

    def __init__(self, status: int, output: str, error: str, path: Path) -> None:
        self.status = status
        self.output = output
        self.error = error
        self.text = path.read_text(encoding="utf-8") if path.is_file() else None


@pytest.fixture
def write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the command with options, and have it write to a file."""

    def run(*options: str) -> Written:
        path = tmp_path / "rules.yaml"
        status = commands.main(["alerts", *options, "--out", str(path)])
        return Written(status, *capsys.readouterr(), path)

    return run


def test_without_options(write: Any) -> None:
    """The file is the shipped one; the screen says what is in it and where it goes."""
    written = write()
    assert (written.status, written.error) == (0, "")
    assert written.text == rule_file(Thresholds())
    assert "8 alerts (1 critical, 5 warning, 2 info)" in written.output
    assert "objective  efficiency 0.85" in written.output
    assert "budget     25 USD" in written.output
    assert "accepted   no reason" in written.output
    for reader in ("promtool check rules", "rule_files", "vmalert -rule=", "mimirtool rules load", "Grafana"):
        assert reader in written.output


def test_with_every_option(write: Any) -> None:
    """Each option is in the file, and the screen says so; a reason that is given twice counts once."""
    written = write(
        "--objective", "0.92", "--budget-usd-per-hour", "5.5",
        "--accept", "history_truncated", "--accept", "tools_changed", "--accept", "history_truncated",
        "--label", "team=search", "--label", "note=a=b \u00e9", "--label", "empty=",
        "--grafana-url", "https://grafana.example", "--runbook-url", "https://wiki.example/xai",
    )  # fmt: skip
    assert (written.status, written.error) == (0, "")
    assert written.text == rule_file(
        Thresholds(
            objective=0.92,
            budget_usd_per_hour=5.5,
            accept=("history_truncated", "tools_changed"),
            labels={"team": "search", "note": "a=b \u00e9", "empty": ""},
            grafana_url="https://grafana.example",
            runbook_url="https://wiki.example/xai",
        )
    )
    assert "objective  efficiency 0.92" in written.output
    assert "budget     5.5 USD" in written.output
    assert "accepted   history_truncated, tools_changed" in written.output


def test_to_standard_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rules alone, so that they can be piped on; no file is written."""
    monkeypatch.chdir(tmp_path)
    assert commands.main(["alerts", "--objective", "0.9", "--out", "-"]) == 0
    assert capsys.readouterr() == (rule_file(Thresholds(objective=0.9)), "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--objective", "1"], "the objective is 1; allowed is what lies between 0 and 1"),
        (["--objective", "85"], "the objective is 85; allowed is what lies between 0 and 1"),
        (["--objective", "nan"], "the objective is nan; allowed is what lies between 0 and 1"),
        (["--budget-usd-per-hour", "0"], "the budget is 0 USD; allowed is any amount above 0"),
        (["--budget-usd-per-hour", "inf"], "the budget is inf USD; allowed is any amount above 0"),
        (["--accept", "sliding"], f"no tokens are lost to 'sliding'; allowed is any of {', '.join(LOSSES)}"),
        (["--accept", "first_request"], "no tokens are lost to 'first_request'; allowed is any of "),
        (["--label", "team"], "--label team: allowed is NAME=VALUE"),
        (["--label", "my-team=a"], "'my-team' cannot be a label; allowed are letters, digits and _"),
        (["--label", "severity=page"], "'severity' cannot be a label; allowed are letters, digits and _"),
        (["--label", "team=a\nb"], "the label team cannot have this value; allowed is a line of printable text"),
        (["--label", "team=\u00e9{{"], "the label team cannot have this value; allowed is a line of printable text"),
        (["--label", "\u00e9=a"], "'\\xe9' cannot be a label; allowed are letters, digits and _"),
    ],
)
def test_what_is_not_allowed(write: Any, options: list[str], why: str) -> None:
    """Status 2, one line that says what is allowed, and no file."""
    written = write(*options)
    assert (written.status, written.output, written.text) == (2, "", None)
    assert written.error.startswith(f"xai-otel alerts: {why}")
    assert written.error.count("\n") == 1


def test_what_is_no_number(write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage is status 2, and what is missing is named."""
    written = write("--objective", "high")
    assert (written.status, written.output, written.text) == (2, "", None)
    assert "argument --objective: invalid float value: 'high'" in written.error
    assert commands.main(["alerts"]) == 2
    assert "--out" in capsys.readouterr().err


def test_a_file_that_was_there(write: Any, tmp_path: Path) -> None:
    """It is replaced when all is well, and left as it was when something is not allowed."""
    (tmp_path / "rules.yaml").write_text("before")
    assert write("--objective", "2").text == "before"
    assert write().text == rule_file(Thresholds())


def test_a_file_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 2, and the system's own word for it."""
    for path, why in ((tmp_path / "none" / "rules.yaml", "No such file or directory"), (tmp_path, "Is a directory")):
        assert commands.main(["alerts", "--out", str(path)]) == 2
        assert capsys.readouterr() == ("", f"xai-otel alerts: {path} cannot be written: {why}\n")
    assert list(tmp_path.iterdir()) == []


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    """The help has every option, its default, examples and the exit statuses, on a screen of usual width."""
    assert commands.main(["alerts", "--help"]) == 0
    shown = capsys.readouterr().out
    options = ("--objective", "--budget-usd-per-hour", "--accept", "--label", "--grafana-url", "--runbook-url", "--out")
    for option in options:
        assert f"\n  {option} " in shown
    for default in ("(0.85)", "(25)", "(http://localhost:3000)"):
        assert default in shown
    assert "xai-otel alerts --accept history_truncated" in shown
    assert "exit statuses:" in shown
    assert max(map(len, shown.splitlines())) <= 110
    assert commands.main(["--help"]) == 0
    assert "xai-otel alerts --out xai-alerts.yaml" in capsys.readouterr().out

"""Boards, runbook and rules come with the installed wheel."""

from pathlib import Path

from switching_on.user import User

DASHBOARDS = Path(__file__).parents[2] / "dashboards"


def test_the_boards_come_with_the_wheel(user: User, tmp_path: Path) -> None:
    """``xai-otel dashboards`` writes what is committed, where there is no checkout."""
    user.run(user.command("xai-otel"), "dashboards", "--out", str(tmp_path / "boards"))
    for name in ("generated/xai-overview.json", "generated/xai-cache-regressions.json", "runbook.md"):
        assert (tmp_path / "boards" / Path(name).name).read_bytes() == (DASHBOARDS / name).read_bytes(), name


def test_the_rules_come_with_the_wheel(user: User, tmp_path: Path) -> None:
    """``xai-otel alerts`` writes what is committed, where there is no checkout."""
    user.run(user.command("xai-otel"), "alerts", "--out", str(tmp_path / "rules.yaml"))
    assert (tmp_path / "rules.yaml").read_bytes() == (DASHBOARDS / "generated/xai-alerts.yaml").read_bytes()

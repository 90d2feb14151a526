"""``xai-otel alerts``: writes the shipped rules, with the thresholds that were asked for."""

import sys
from pathlib import Path

from ..alerting import Thresholds, rule_file
from ..alerting.alerts import alerts
from ..alerting.recording import records

_STANDARD_OUTPUT = "-"


def run(*, out: str, label: list[str], accept: list[str], **figures: float | str) -> int:
    """Write the rule file; 0 when it is written, 2 when something given is not allowed."""
    try:
        labels = dict(_label(given) for given in label)
        thresholds = Thresholds(labels=labels, accept=tuple(dict.fromkeys(accept)), **figures)  # type: ignore[arg-type]
        text = rule_file(thresholds)
        if out != _STANDARD_OUTPUT:
            Path(out).write_text(text, encoding="utf-8")
    except OSError as error:
        return _refuse(f"{out} cannot be written: {error.strerror or error}")
    except ValueError as error:
        return _refuse(str(error))
    sys.stdout.write(text if out == _STANDARD_OUTPUT else _said(Path(out), thresholds))
    return 0


def _label(given: str) -> tuple[str, str]:
    name, found, value = given.partition("=")
    if not found:
        raise ValueError(f"--label {given}: allowed is NAME=VALUE, as in team=search")
    return name, value


def _refuse(why: str) -> int:
    sys.stderr.write(f"xai-otel alerts: {why}\n".encode("ascii", "backslashreplace").decode())
    return 2


def _said(path: Path, thresholds: Thresholds) -> str:
    kinds = [alert.severity for alert in alerts(thresholds)]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    lost = f"{100 * thresholds.fast_loss:.3g} % lost over an hour, {100 * thresholds.slow_loss:.3g} % over six"
    series = len(list(records(thresholds)))
    lines = [
        f"Wrote {path}: {len(kinds)} alerts ({counts}) and the {series} series that they share.",
        f"  objective  efficiency {thresholds.objective:g}; tickets from {lost}",
        f"  budget     {thresholds.budget_usd_per_hour:g} USD lost in an hour, by each job and model",
        f"  accepted   {', '.join(thresholds.accept) or 'no reason'}",
        "",
        "Next:",
        f"  promtool check rules {path}",
        f"  Prometheus       rule_files: [{path.resolve()}]",
        f"  VictoriaMetrics  vmalert -rule={path}",
        f"  Mimir            mimirtool rules load {path}",
        "  Grafana          Alerting > Alert rules > Import, with this file",
    ]
    return "\n".join(lines) + "\n"

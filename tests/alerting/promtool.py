"""What promtool makes of rules, traffic and promises.

One process and one timeline serve many trials, which differ by their ``job``; so each is also a proof that services do
not mix. A promise is an expression over ``ALERTS``, the series that Prometheus writes of its alerts, with the exact
labels that it must have. What promtool says of those that are broken names the expression, and so the promise: nothing
is read from what it says beyond that.
"""

import json
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from alerting.traffic import MODEL, Stream, input_series
from opentelemetry.instrumentation.xai.alerting import Thresholds, rule_file

SEVERITIES: Final = {
    "XaiCacheBrokenByClient": "critical",
    "XaiCacheEfficiencyLow": "warning",
    "XaiCacheEfficiencyLowForHours": "warning",
    "XaiCacheEfficiencyDrift": "warning",
    "XaiCacheLostMoney": "warning",
    "XaiTimeToFirstTokenRegressed": "warning",
    "XaiConversationIdMissing": "info",
    "XaiCachedTokensUnreported": "info",
}
"""Of every alert."""
BROKEN, LOW, LOW_FOR_HOURS, DRIFT, MONEY, SLOW, NO_ID, UNREPORTED = SEVERITIES
LOUD: Final = tuple(name for name, severity in SEVERITIES.items() if severity != "info")
"""Those that must not be false alarms."""
FURTHER_LABELS: Final = {SLOW: {"xai_token_kind": "answer"}}

EVERY: Final = 5
"""How often rules are evaluated, in minutes: promtool takes its time for each, and pasts are long."""

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="there is no promtool (Debian: apt-get install prometheus)"
)


class Promise(NamedTuple):
    """What an expression must give in a minute."""

    expression: str
    minute: int
    samples: Mapping[str, float] = {}


class Trial(NamedTuple):
    """A service, and what is promised of it."""

    job: str
    streams: tuple[Stream, ...]
    promises: tuple[Promise, ...]


def firing(job: str, alert: str, minute: int, /, **labels: str) -> Promise:
    """An alert fires in that minute, once, with these labels; an empty one is absent."""
    expected = {
        "alertname": alert,
        "alertstate": "firing",
        "severity": SEVERITIES[alert],
        "job": job,
        "gen_ai_request_model": MODEL,
        **FURTHER_LABELS.get(alert, {}),
        **labels,
    }
    text = ", ".join(f'{label}="{value}"' for label, value in expected.items() if value)
    return Promise(_alerts(alert, expected), minute, {f"ALERTS{{{text}}}": 1})


def silent(job: str, alert: str, minute: int, /, *, within: int | None = None, **labels: str) -> Promise:
    """An alert has not fired up to that minute: ever, or ``within`` so many minutes."""
    chosen = _alerts(alert, {"job": job, **labels})
    return Promise(f"count_over_time({chosen}[{minute + 1 if within is None else within}m])", minute)


def _alerts(alert: str, labels: Mapping[str, str]) -> str:
    who = "".join(f", {name}='{labels[name]}'" for name in ("job", "service_name") if name in labels)
    return f"ALERTS{{alertname='{alert}', alertstate='firing'{who}}}"


class Outcome:
    """What promtool said."""

    def __init__(self, output: str) -> None:
        self._output = output

    def broken(self, promises: Iterable[Promise]) -> list[str]:
        """What it said of those promises that are broken: nothing, if all is well."""
        blocks = self._output.split("    expr: ")[1:]
        return [block for promise in promises for block in blocks if block.startswith(f'"{promise.expression}"')]


def outcome_of(folder: Path, thresholds: Thresholds, trials: Iterable[Trial]) -> Outcome:
    """Let promtool put the rules to the test."""
    trials = tuple(trials)
    series = [each for trial in trials for stream in trial.streams for each in input_series(stream, trial.job)]
    promises = [promise for trial in trials for promise in trial.promises]
    expressions = [
        {
            "expr": promise.expression,
            "eval_time": f"{promise.minute}m",
            "exp_samples": [{"labels": labels, "value": value} for labels, value in promise.samples.items()],
        }
        for promise in promises
    ]
    status, output = run(folder, thresholds, [{"input_series": series, "promql_expr_test": expressions}])
    outcome = Outcome(output)
    if status and not outcome.broken(promises):
        pytest.fail(f"promtool refuses the test:\n{output}")
    return outcome


def run(folder: Path, thresholds: Thresholds, tests: list[dict[str, Any]]) -> tuple[int, str]:
    """The status and the output of ``promtool test rules``."""
    (folder / "rules.yaml").write_text(rule_file(thresholds), encoding="utf-8")
    document = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": f"{EVERY}m",
        "tests": [{"interval": "1m", **test} for test in tests],
    }
    (folder / "test.yaml").write_text(json.dumps(document), encoding="utf-8")  # JSON is YAML
    command = ["promtool", "test", "rules", str(folder / "test.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    return done.returncode, done.stdout + done.stderr

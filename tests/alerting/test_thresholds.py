"""What thresholds are allowed, and the text of the rules that is made of them."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerting.promtool import SEVERITIES, needs_promtool
from opentelemetry.instrumentation.xai.alerting import Thresholds, rule_file
from opentelemetry.instrumentation.xai.alerting.alerts import alerts
from opentelemetry.instrumentation.xai.alerting.recording import records
from opentelemetry.instrumentation.xai.conventions import LOSSES

DASHBOARDS = Path(__file__).parents[2] / "dashboards"
NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,20}", fullmatch=True).filter(lambda name: not name.startswith("__"))
OURS = {"alertname", "severity", "job", "service_name", "gen_ai_request_model", "xai_cache_reason", "xai_token_kind"}
PRINTABLE = st.text(max_size=200).filter(lambda value: value.isprintable() and "{{" not in value)
URLS = PRINTABLE.filter(bool)
LABELS = st.dictionaries(NAMES.filter(lambda name: name not in OURS), PRINTABLE, max_size=3)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"objective": 0.0}, ["0", "between 0 and 1"]),
        ({"objective": 1.0}, ["1", "between 0 and 1"]),
        ({"objective": 85.0}, ["85", "between 0 and 1"]),
        ({"objective": float("nan")}, ["nan", "between 0 and 1"]),
        ({"budget_usd_per_hour": 0.0}, ["0 USD", "above 0"]),
        ({"budget_usd_per_hour": -3.0}, ["-3 USD", "above 0"]),
        ({"budget_usd_per_hour": float("inf")}, ["inf USD", "above 0"]),
        ({"budget_usd_per_hour": float("nan")}, ["nan USD", "above 0"]),
        ({"accept": ("history_shortened",)}, ["'history_shortened'", *LOSSES]),
        ({"accept": ("history_truncated", "compacted")}, ["'compacted'", *LOSSES]),
        ({"grafana_url": "https://{{ x }}"}, ["'https://{{ x }}'", "an address"]),
        ({"runbook_url": ""}, ["''", "an address"]),
        ({"objective": 1e-9}, ["1e-09", "between 0 and 1"]),
        ({"labels": {"my-team": "a"}}, ["'my-team'", "letters, digits and _"]),
        ({"labels": {"1st": "a"}}, ["'1st'", "letters, digits and _"]),
        ({"labels": {"": "a"}}, ["''", "letters, digits and _"]),
        ({"labels": {"team\n": "a"}}, ["'team\\n'", "letters, digits and _"]),
        ({"labels": {"__name__": "a"}}, ["'__name__'", "letters, digits and _"]),
        *(({"labels": {name: "a"}}, [f"'{name}'", "none of", name]) for name in sorted(OURS)),
        ({"labels": {"team": "two\nlines"}}, ["team", "a line of printable text"]),
        ({"labels": {"team": "{{ $value }}"}}, ["team", "a line of printable text"]),
        ({"labels": {"team": "a" * 201}}, ["team", "a line of printable text"]),
    ],
)
def test_what_is_not_allowed(given: dict[str, Any], named: list[str]) -> None:
    """A value that is not allowed is refused, in words that name it and what is allowed."""
    with pytest.raises(ValueError) as refused:
        Thresholds(**given)
    told = str(refused.value)
    assert [part for part in named if part not in told] == []
    assert "\n" not in told


@settings(deadline=None)
@given(st.floats(0.001, 0.999))
def test_every_objective_can_be_missed(objective: float) -> None:
    """At any objective there are losses beyond what it allows that are too much, for an hour more than for six."""
    thresholds = Thresholds(objective=objective)
    assert 1 - objective < thresholds.slow_loss <= thresholds.fast_loss < 1
    written = re.findall(r"ratio_rate(?:1h|6h) > (\S+)", rule_file(thresholds))
    assert written
    assert all(0 < float(loss) < 1 for loss in written)


@given(st.floats(0.001, 0.998), st.floats(0.0, 0.001))
def test_a_higher_objective_allows_less(objective: float, more: float) -> None:
    """Who promises more is told earlier."""
    lower, higher = Thresholds(objective=objective), Thresholds(objective=objective + more)
    assert higher.fast_loss <= lower.fast_loss
    assert higher.slow_loss <= lower.slow_loss


@settings(deadline=None, max_examples=25)
@given(labels=LABELS, accept=st.lists(st.sampled_from(LOSSES)), urls=st.tuples(URLS, URLS))
def test_the_text_is_yaml(labels: dict[str, str], accept: list[str], urls: tuple[str, str]) -> None:
    """Whatever is allowed makes a file that reads back as what was meant."""
    yaml = pytest.importorskip("yaml")
    grafana_url, runbook_url = urls
    thresholds = Thresholds(labels=labels, accept=tuple(accept), grafana_url=grafana_url, runbook_url=runbook_url)
    recording, alerting = yaml.safe_load(rule_file(thresholds))["groups"]
    assert [(rule["record"], rule["expr"].strip()) for rule in recording["rules"]] == [
        (record.name, record.expression) for record in records(thresholds)
    ]
    assert alerting["rules"] == [
        {
            "alert": alert.name,
            "expr": alert.expression + "\n",
            "for": alert.lasting,
            "keep_firing_for": alert.kept,
            "labels": {"severity": alert.severity, **labels},
            "annotations": alert.annotations,
        }
        for alert in alerts(thresholds)
    ]


def test_what_is_accepted_counts_nowhere() -> None:
    """A reason that is on purpose is left out of every series that counts what was lost."""
    for record in records(Thresholds(accept=("history_truncated",))):
        if "lost" in record.expression and "xai_client" in record.expression:
            assert 'xai_cache_reason!~"history_truncated|idle"' in record.expression


def test_the_committed_rules_are_these() -> None:
    """The file that is committed is what the command writes without options."""
    committed = (DASHBOARDS / "generated" / "xai-alerts.yaml").read_text(encoding="utf-8")
    assert committed == rule_file(Thresholds()), "xai-otel alerts --out dashboards/generated/xai-alerts.yaml"


def test_every_alert_is_in_the_runbook() -> None:
    """The link of each alert leads to a heading of the runbook."""
    text = (DASHBOARDS / "runbook.md").read_text(encoding="utf-8")
    anchors = {heading.strip().lower().replace(" ", "-") for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}
    linked = [alert.annotations["runbook_url"].partition("#") for alert in alerts(Thresholds())]
    assert {file for file, _, _ in linked} == {"dashboards/runbook.md"}
    assert {anchor for _, _, anchor in linked} <= anchors
    assert len(linked) == len(SEVERITIES)


def test_every_counter_is_grouped() -> None:
    """Counters are read by recorded series alone, and summed there for each service and model."""
    group = r"sum by \(job, service_name, gen_ai_request_model[a-z_, ]*\) \((?:rate|increase)\("
    for record in records(Thresholds()):
        grouped = re.sub(group + r"xai_client_\w+", "", record.expression)
        assert "xai_client_" not in grouped, record
    assert [alert.name for alert in alerts(Thresholds()) if "xai_client_" in alert.expression] == []


def test_every_series_is_recorded() -> None:
    """Alerts, and what their annotations look up, know no series that is not recorded, and all are needed."""
    recorded = [record.name for record in records(Thresholds())]
    text = rule_file(Thresholds())
    used = set(re.findall(r"job_model\w*:\w+:\w+", text.replace("- record: ", "- record:_")))
    assert len(recorded) == len(set(recorded))
    assert used == set(recorded)


@needs_promtool
@pytest.mark.parametrize(
    "thresholds",
    [
        Thresholds(),
        Thresholds(
            objective=0.97, budget_usd_per_hour=0.005, accept=LOSSES, labels={"team": 'a "b" \\ c: #é'},
            grafana_url="https://grafana.example/", runbook_url="https://wiki.example/run book",
        ),
    ],
)  # fmt: skip
def test_promtool_checks_the_rules(tmp_path: Path, thresholds: Thresholds) -> None:
    """What promtool has to say of the rules is that they are rules."""
    (tmp_path / "rules.yaml").write_text(rule_file(thresholds), encoding="utf-8")
    promtool = shutil.which("promtool")
    assert promtool is not None
    command = [promtool, "check", "rules", str(tmp_path / "rules.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"SUCCESS: {len(list(records(thresholds))) + len(SEVERITIES)} rules found" in done.stdout

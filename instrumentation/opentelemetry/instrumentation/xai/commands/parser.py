"""What ``xai-otel`` can be asked, and what it says of itself when asked for help."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..version import __version__

if TYPE_CHECKING:
    _Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  it has no public name

LATER = ("watch",)
_DESCRIPTION = """\
Looks after the telemetry of calls to xAI's Grok API
(OpenTelemetry, package opentelemetry-instrumentation-xai)."""
_EPILOG = f"""\
examples:
  xai-otel doctor              would telemetry arrive, and if not, what to do
  xai-otel doctor --help       what it looks at
  xai-otel explain A.json B.json
                               would request B reuse the cache of request A, and if not, why and where
  xai-otel dashboards --out boards
                               the Grafana boards, to import or to provision
  xai-otel alerts --out xai-alerts.yaml
                               the Prometheus rules, with your objective and budget

exit statuses:
  0  all is well
  1  it is not: the output says what to do
  2  wrong usage

Also as: python -m opentelemetry.instrumentation.xai
Reserved for later versions: {", ".join(LATER)}."""
_DOCTOR = """\
Says in one screen what is switched on and why, which client libraries are seen, where telemetry goes
and whether anything answers there, the settings, and what else records the same calls.

It judges its own process in the place of your application's, so start it as you start that one: with
the same interpreter, variables, and "opentelemetry-instrument" in front if you use it. It sends one
empty export to the endpoint that the variables name, and nothing anywhere else. It prints no secrets."""
_DOCTOR_EPILOG = """\
marks:
  ok  as it should be    !!  in the way    !   to be known    --  absent, or not in use

examples:
  xai-otel doctor
  OTEL_INSTRUMENTATION_XAI_ENABLED=true OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 xai-otel doctor
  opentelemetry-instrument xai-otel doctor
  xai-otel doctor --json | jq -r .fix
  kubectl exec POD -- python -m opentelemetry.instrumentation.xai doctor

exit statuses:
  0  telemetry of xAI calls would arrive
  1  it would not: the last line is the fix
  2  wrong usage"""
_EXPLAIN = """\
Says whether request B, sent after request A was answered, would reuse the prompt cache of A; and if not,
why, whose doing it is, where the two first differ, and what to do. A and B are request bodies, as they
were sent, in files; "-" is standard input.

It needs no key and no network, and shows content: it is for your own terminal. The table has the parts
of both prompts in order, and ">" where B first breaks with A: what stands below is read anew."""
_EXPLAIN_EPILOG = """\
marks:
  =  same    !  differs    +  new in B    -  gone from A

examples:
  xai-otel explain turn1.json turn2.json
  xai-otel explain turn1.json turn2.json --json | jq -r .reason
  pbpaste | xai-otel explain turn1.json -

how to save bodies:
  httpx   client = httpx.Client(event_hooks={"request": [
              lambda request: Path(f"turn{next(count)}.json").write_bytes(request.content)]})
  openai  OpenAI(http_client=client), with the client above
  curl    curl -d @turn1.json ...: the file is the body

exit statuses:
  0  B would reuse all of A's prompt
  1  it would not
  2  wrong usage, or a file that is no request body"""

_DASHBOARDS = """\
Writes the two Grafana boards that this package ships: "xAI overview" (is the cache working, is it fast,
is it healthy, what does it cost) and "xAI cache regressions" (what was lost, to which reason, whose doing
it was). One JSON each, whether metrics are scraped, come over OTLP, or lie in VictoriaMetrics. The runbook
that alerts link to comes along."""
_DASHBOARDS_EPILOG = """\
examples:
  xai-otel dashboards --out boards
  xai-otel dashboards --out /etc/grafana/provisioning/dashboards/xai

exit statuses:
  0  written
  2  wrong usage, or a folder that cannot be written"""
_ALERTS = """\
Writes the Prometheus rules that this package ships, with your thresholds. Mimir, VictoriaMetrics (vmalert)
and Grafana read the same file. Eight alerts: one that wakes somebody (critical), when conversations break
their own cache again and again; five tickets (warning): efficiency below its objective in an hour or in
six, drift against the day before, lost money, a slower first token; and two to be read (info): follow-ups
without a conversation id, answers without a cached count."""
_ALERTS_EPILOG = """\
efficiency:
  1 - lost / potential tokens, without what was expected and what idled for more than ten minutes.
  What your service can do, its own first week says: dashboards/runbook.md has the query.

examples:
  xai-otel alerts --out xai-alerts.yaml
  xai-otel alerts --objective 0.92 --budget-usd-per-hour 5 --label team=search --out xai-alerts.yaml
  xai-otel alerts --accept history_truncated --out xai-alerts.yaml      # we slide a window on purpose
  xai-otel alerts --out -                                               # to standard output

exit statuses:
  0  written
  2  wrong usage, a value that is not allowed, or a file that cannot be written"""


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command; what it finds are the arguments of the subcommand's ``run``."""
    root = argparse.ArgumentParser(
        prog="xai-otel",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root.add_argument("--version", action="version", version=f"xai-otel {__version__}")
    commands = root.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_doctor(commands)
    _add_explain(commands)
    _add_dashboards(commands)
    _add_alerts(commands)
    return root


def _add(commands: _Commands, name: str, summary: str, description: str, epilog: str) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _add_doctor(commands: _Commands) -> None:
    doctor = _add(commands, "doctor", "what is on, why, and what would stop telemetry", _DOCTOR, _DOCTOR_EPILOG)
    doctor.add_argument("--json", dest="as_json", action="store_true", help="the same facts as one JSON object")


def _add_explain(commands: _Commands) -> None:
    summary = "would a request reuse the cache of another, and if not, why and where"
    explain = _add(commands, "explain", summary, _EXPLAIN, _EXPLAIN_EPILOG)
    explain.add_argument("first", metavar="A.json", help="the body of the earlier request")
    explain.add_argument("second", metavar="B.json", help="the body of the later request")
    explain.add_argument(
        "--endpoint",
        choices=("chat", "responses", "messages"),
        help="which endpoint they are for, if their fields do not tell",
    )
    explain.add_argument("--json", dest="as_json", action="store_true", help="the same as one JSON object")


def _add_dashboards(commands: _Commands) -> None:
    boards = _add(commands, "dashboards", "the Grafana boards that are shipped", _DASHBOARDS, _DASHBOARDS_EPILOG)
    boards.add_argument("--out", metavar="DIR", required=True, help="the folder to write them to; made if need be")


def _add_alerts(commands: _Commands) -> None:
    """What is not given is left to ``Thresholds``, whose defaults the help texts repeat."""
    rules = _add(commands, "alerts", "the Prometheus rules that are shipped, adapted", _ALERTS, _ALERTS_EPILOG)
    rules.add_argument(
        "--objective",
        metavar="R",
        type=float,
        default=argparse.SUPPRESS,
        help="the efficiency promised, between 0 and 1 (0.85)",
    )
    rules.add_argument(
        "--budget-usd-per-hour",
        metavar="X",
        type=float,
        default=argparse.SUPPRESS,
        help="money that may be lost in an hour, by each job and model (25)",
    )
    rules.add_argument(
        "--accept",
        metavar="REASON",
        action="append",
        default=[],
        help="a reason that is on purpose: its losses count nowhere; may be repeated",
    )
    rules.add_argument(
        "--label", metavar="K=V", action="append", default=[], help="a label for every alert; may be repeated"
    )
    rules.add_argument(
        "--grafana-url",
        metavar="URL",
        default=argparse.SUPPRESS,
        help="where alerts find the boards (http://localhost:3000)",
    )
    rules.add_argument(
        "--runbook-url",
        metavar="URL",
        default=argparse.SUPPRESS,
        help="where you have put the runbook (dashboards/runbook.md, as in this project)",
    )
    rules.add_argument("--out", metavar="FILE", required=True, help='the file to write; "-" is standard output')

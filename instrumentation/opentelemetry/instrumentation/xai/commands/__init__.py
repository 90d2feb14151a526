"""The command ``xai-otel``: which subcommand is meant. What each does is in its own module, loaded when asked for.

Exit statuses are the same for all: 0 all is well, 1 it is not, 2 the command was used wrongly.
"""

import argparse
import os
import sys
from importlib import import_module
from pathlib import Path

from ..version import __version__

_LATER = ("dashboards", "alerts", "watch")
_INTERRUPTED = 130
_DESCRIPTION = """\
Looks after the telemetry of calls to xAI's Grok API
(OpenTelemetry, package opentelemetry-instrumentation-xai)."""
_EPILOG = f"""\
examples:
  xai-otel doctor              would telemetry arrive, and if not, what to do
  xai-otel doctor --help       what it looks at
  xai-otel explain A.json B.json
                               would request B reuse the cache of request A, and if not, why and where

exit statuses:
  0  all is well
  1  it is not: the output says what to do
  2  wrong usage

Also as: python -m opentelemetry.instrumentation.xai
Reserved for later versions: {", ".join(_LATER)}."""
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


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    if given and given[0] in _LATER:
        sys.stderr.write(f"xai-otel {given[0]} comes with a later version.\n")
        return 2
    if sys.stdout is None:  # closed by whoever started it: the status is what is wanted
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115  for the rest of the process
    try:
        status = _run(given)
        sys.stdout.flush()
    except SystemExit as left:  # argparse, which has said why
        return left.code if isinstance(left.code, int) else 2
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:  # whoever read the output has enough; the interpreter must not flush into the pipe either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # as on a disk that is full
        sys.stderr.write(f"xai-otel: the output cannot be written ({type(error).__name__}).\n")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def _run(arguments: list[str]) -> int:
    options = vars(_parser().parse_args(arguments))
    run = import_module(f"{__name__}.{options.pop('command')}").run
    return int(run(**options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="xai-otel",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"xai-otel {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    doctor = commands.add_parser(
        "doctor",
        help="what is on, why, and what would stop telemetry",
        description=_DOCTOR,
        epilog=_DOCTOR_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    doctor.add_argument("--json", dest="as_json", action="store_true", help="the same facts as one JSON object")
    explain = commands.add_parser(
        "explain",
        help="would a request reuse the cache of another, and if not, why and where",
        description=_EXPLAIN,
        epilog=_EXPLAIN_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    explain.add_argument("first", metavar="A.json", help="the body of the earlier request")
    explain.add_argument("second", metavar="B.json", help="the body of the later request")
    explain.add_argument(
        "--endpoint",
        choices=("chat", "responses", "messages"),
        help="which endpoint they are for, if their fields do not tell",
    )
    explain.add_argument("--json", dest="as_json", action="store_true", help="the same as one JSON object")
    return parser

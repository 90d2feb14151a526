"""``python -m simulation``: prove a file of alert rules on simulated traffic."""

import argparse
import json
import multiprocessing
import signal
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from . import prometheus, scenarios
from .evaluation import Outcome, Spent, evaluate
from .report import Report
from .rules import Rules, RulesError, read

_TAUGHT: Final = """\
Simulates weeks in which nothing is wrong and regressions that start on a working day, loads them into a real
Prometheus, evaluates the rules on them minute by minute, and tells how many false alarms a week there were and how
long each regression went unnoticed. The same arguments give the same result.

examples:
  python -m simulation --rules generated/xai-alerts.yaml
      one healthy week at three rates, and each regression once at 300 requests an hour: a few minutes
  python -m simulation --rules generated/xai-alerts.yaml --weeks 20 --seeds 5 --regression-rates 30,300,3000
      everything: half an hour or more
  python -m simulation --rules my.yaml --rates 300 --weeks 0 --regressions clock_in_prompt,one_route --seeds 5

exit status: 0 when all targets that were put to the test hold (targets.py), 1 when one does not,
2 when arguments are wrong or a program is missing. Needs prometheus and promtool on the PATH.
"""
_MOST_MINUTES: Final = 6 * 9 * scenarios.DAY  # of a batch: about two gigabytes of text for a moment


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    options = _parser().parse_args(arguments)
    if missing := prometheus.missing():
        print(f"{' and '.join(missing)} cannot be found; on Debian: apt-get install prometheus", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _ended)
    try:
        prometheus.check(options.rules)
        rules = read(options.rules)
        outcomes = _run(_scenarios(options), rules, options.jobs)
    except (RulesError, prometheus.PrometheusError) as fault:
        print(fault, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    report = Report(outcomes, rules)
    for line in report.lines():
        print(line)
    if options.json is not None:
        options.json.write_text(json.dumps(report.as_json(), indent=1) + "\n", encoding="utf-8")
    return 0 if all(verdict.holds for verdict in report.verdicts()) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m simulation", description=_TAUGHT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rules", type=Path, required=True, metavar="FILE", help="a Prometheus rule file")
    parser.add_argument("--weeks", type=_count, default=1, metavar="N", help="healthy weeks at each rate (default 1)")
    parser.add_argument("--noisy", type=_count, metavar="N", help="weeks of a noisy provider (default: weeks / 4)")
    parser.add_argument(
        "--rates", type=_rates, default=[30, 300, 3000], metavar="R,R", help="requests an hour (default 30,300,3000)"
    )
    parser.add_argument("--seeds", type=_count, default=1, metavar="N", help="runs of each regression (default 1)")
    parser.add_argument("--regression-rates", type=_rates, default=[300], metavar="R,R", help="of those (default 300)")
    parser.add_argument(
        "--regressions", type=_regressions, default=list(scenarios.REGRESSIONS), metavar="A,B", help="default: all"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there")
    parser.add_argument("--jobs", type=_processes, default=2, metavar="N", help="processes (default 2)")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no count")
    return int(text)


def _processes(text: str) -> int:
    return max(1, _count(text))


def _rates(text: str) -> list[int]:
    rates = [_count(rate) for rate in text.split(",")]
    if not all(1 <= rate <= 100_000 for rate in rates):
        raise argparse.ArgumentTypeError("a rate is between 1 and 100,000 requests an hour")
    return rates


def _regressions(text: str) -> list[str]:
    for name in (kinds := text.split(",")):
        if name not in scenarios.REGRESSIONS:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(scenarios.REGRESSIONS)}")
    return kinds


def _scenarios(options: argparse.Namespace) -> list[scenarios.Scenario]:
    noisy = options.weeks // 4 if options.noisy is None else options.noisy
    weeks = ((scenarios.HEALTHY, options.weeks), (scenarios.NOISY, noisy))
    return [
        *(scenarios.week(kind, rate, seed) for kind, count in weeks for rate in options.rates for seed in range(count)),
        *(
            scenarios.regressed(kind, rate, seed)
            for kind in options.regressions
            for rate in options.regression_rates
            for seed in range(options.seeds)
        ),
    ]


def _run(planned: list[scenarios.Scenario], rules: Rules, jobs: int) -> list[Outcome]:
    whole = sum(scenario.minutes for scenario in planned)
    most = min(_MOST_MINUTES, max(9 * scenarios.DAY, whole // jobs))
    batches = scenarios.batches(planned, most)
    print(f"{len(planned)} scenarios in {len(batches)} batches, {jobs} at a time", file=sys.stderr, flush=True)
    started = time.monotonic()
    done = 0
    outcomes: list[Outcome] = []
    with multiprocessing.Pool(jobs, _started, maxtasksperchild=1) as pool:
        for found, spent in pool.imap_unordered(partial(evaluate, rules=rules), batches):
            outcomes += found
            done += sum(outcome.scenario.minutes for outcome in found)
            _tell(found, spent, done / whole, time.monotonic() - started)
    return outcomes


def _started() -> None:
    """What ends early leaves nothing behind: the pool asks its processes to end, and they end their servers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _ended)


def _ended(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


def _tell(found: list[Outcome], spent: Spent, part: float, elapsed: float) -> None:
    requests = sum(outcome.requests for outcome in found)
    print(
        f"{part:4.0%} {len(found)} scenarios, {requests:,} requests, {spent.samples:,} samples: simulated in "
        f"{spent.simulating:.0f} s, loaded in {spent.loading:.0f}, recorded in {spent.recording:.0f}, alerts in "
        f"{spent.alerting:.0f}; {elapsed:.0f} s so far, about {elapsed / part - elapsed:.0f} s to go",
        file=sys.stderr,
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())

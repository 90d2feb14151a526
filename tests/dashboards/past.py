"""A past for queries that look back a day or a week, which no test has time for.

It is what the package exposes after some traffic, as if that same traffic had come again and again: counters are
multiples of the exposed ones, and nothing else is made up. Samples lie as close as the queries need them: every two
and a half minutes over the last day, and every 15 seconds around the moments a day and a week ago.
"""

import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

_SERIES = re.compile(r"(?P<name>[a-zA-Z_:]\w*)(?:\{(?P<labels>.*)\})? (?P<value>\S+)")
_DAY, _WEEK = 86_400, 7 * 86_400
_AROUND_S = 600
_ENDS_BEFORE_S = 600
"""The past ends so long before now: what is counted now is told from it."""
_BEGINS_BEFORE_S = _DAY + 3 * 3600
_STEP_S, _DENSE_STEP_S = 150, 15
_LONGEST_BLOCK = "--max-block-duration=200h"  # promtool reads all of its input again for every block


def moments(now: int) -> Iterator[list[int]]:
    """When there are samples, in seconds since the epoch, for each part of the past in turn."""
    yield list(range(now - _WEEK - _AROUND_S, now - _WEEK + _AROUND_S, _DENSE_STEP_S))
    last_day = {*range(now - _BEGINS_BEFORE_S, now - _ENDS_BEFORE_S, _STEP_S)}
    last_day |= {*range(now - _DAY - _AROUND_S, now - _DAY + _AROUND_S, _DENSE_STEP_S)}
    yield sorted(last_day)


def repeated(exposition: str, times: Iterable[int], labels: Mapping[str, str]) -> Iterator[str]:
    """What was exposed once, at many times; series that never counted anything are left out."""
    further = ",".join(f'{name}="{value}"' for name, value in labels.items())
    series = [found for line in exposition.splitlines() if (found := _SERIES.fullmatch(line)) and float(found["value"])]
    times = list(times)
    for found in series:
        if found["name"].endswith("_created"):
            continue
        start = f"{found['name']}{{{','.join(filter(None, (found['labels'], further)))}}}"
        value = float(found["value"])
        constant = found["name"] == "target_info"
        yield from (f"{start} {value if constant else value * turn:.17g} {time}" for turn, time in enumerate(times))


def blocks(exposition: str, now: int, labels: Mapping[str, str], folder: Path) -> None:
    """Put a past into the data folder of a Prometheus that does not run."""
    for part, times in enumerate(moments(now)):
        source = folder.parent / f"past-{part}.txt"
        source.write_text("\n".join([*repeated(exposition, times, labels), "# EOF\n"]), encoding="utf-8")
        _promtool("openmetrics", str(source), str(folder))


def recorded(url: str, now: int, rules: Path, folder: Path) -> None:
    """Put into a data folder what rules would have recorded of the past that a running Prometheus has."""
    # More often than the five minutes for which Prometheus takes a sample to hold.
    bounds = (f"--start={now - _BEGINS_BEFORE_S}", f"--end={now - _ENDS_BEFORE_S}", "--eval-interval=4m")
    _promtool("rules", f"--url={url}", f"--output-dir={folder}", *bounds, str(rules))


def _promtool(kind: str, *arguments: str) -> None:
    command = ["promtool", "tsdb", "create-blocks-from", "--quiet", _LONGEST_BLOCK, kind, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"

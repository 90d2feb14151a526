"""``xai-otel doctor``: examines this process, judges whether telemetry would arrive, and shows both.

The facts are gathered by ``examination`` (from ``installation``, ``switch``, ``libraries``, ``signals``, ``endpoint``
and ``options``), ``verdict`` judges them, ``page`` sets them on one screen. Nothing is changed: no instrumentation, no
provider. No secret is among the facts, so none can be shown.
"""

import json
import os
import shutil
import sys
from dataclasses import asdict

from .examination import examine
from .page import WIDEST, page
from .verdict import judge

_NARROWEST = 60


def run(*, as_json: bool) -> int:
    """Examine and show; 0 when telemetry would arrive, else 1."""
    found = examine(os.environ)
    verdict = judge(found)
    if as_json:
        text = json.dumps({**asdict(found), **asdict(verdict)}, indent=2)
    else:
        columns = shutil.get_terminal_size((WIDEST, 24)).columns
        text = page(found, verdict, min(max(columns, _NARROWEST), WIDEST), coloured=_is_coloured())
    sys.stdout.write(text + "\n")
    return 0 if verdict.arrives else 1


def _is_coloured() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

"""``xai-otel dashboards``: writes the shipped boards and the runbook, as they are in the package."""

import sys
from pathlib import Path

_SHIPPED = ("xai-overview.json", "xai-cache-regressions.json", "runbook.md")
_NEXT = """\

Next:
  by hand        Grafana > Dashboards > New > Import, once for each file
  provisioned    a provider of type "file" whose path is this folder
The boards ask for a Prometheus data source, and for a Tempo one if there is any. Put the runbook where your team
reads, and let the alerts link to it: xai-otel alerts --runbook-url URL
"""


def run(*, out: str) -> int:
    """Write the boards into a folder, which is made if need be; 0 when they are written, 2 when they cannot be."""
    folder, shipped = Path(out), {name: _content(name) for name in _SHIPPED}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in shipped.items():
            (folder / name).write_bytes(content)
            sys.stdout.write(f"Wrote {folder / name}\n")
    except OSError as error:
        sys.stderr.write(
            f"xai-otel dashboards: {error.filename or out} cannot be written: {error.strerror or error}; "
            "allowed is a folder\n"
        )
        return 2
    sys.stdout.write(_NEXT)
    return 0


def _content(name: str) -> bytes:
    """A file's content: in the wheel it lies within this package, in a checkout among the dashboards."""
    inside = Path(__file__).parents[1] / "boards" / name
    if inside.exists():
        return inside.read_bytes()
    dashboards = Path(__file__).parents[5] / "dashboards"
    return (dashboards / name if name.endswith(".md") else dashboards / "generated" / name).read_bytes()

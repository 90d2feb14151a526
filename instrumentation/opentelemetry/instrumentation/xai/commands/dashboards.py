"""``xai-otel dashboards``: writes the shipped boards, as they are in the package."""

import sys
from pathlib import Path

_BOARDS = ("xai-overview.json", "xai-cache-regressions.json")
_NEXT = """\

Next:
  by hand        Grafana > Dashboards > New > Import, once for each file
  provisioned    a provider of type "file" whose path is this folder
The boards ask for a Prometheus data source, and for a Tempo one if there is any.
"""


def run(*, out: str) -> int:
    """Write the boards into a folder, which is made if need be; 0 when they are written, 2 when they cannot be."""
    folder, boards = Path(out), {name: (_shipped() / name).read_bytes() for name in _BOARDS}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, board in boards.items():
            (folder / name).write_bytes(board)
            sys.stdout.write(f"Wrote {folder / name}\n")
    except OSError as error:
        sys.stderr.write(
            f"xai-otel dashboards: {error.filename or out} cannot be written: {error.strerror or error}; "
            "allowed is a folder\n"
        )
        return 2
    sys.stdout.write(_NEXT)
    return 0


def _shipped() -> Path:
    """Where the boards are: in the wheel beside this package, in a checkout where they are generated."""
    inside = Path(__file__).parents[1] / "boards"
    return inside if inside.is_dir() else Path(__file__).parents[5] / "dashboards" / "generated"

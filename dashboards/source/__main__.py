"""The command: ``python -m source [--check]``."""

import argparse
import sys

from .build import FOLDER, boards, drifted


def main() -> int:
    """Write the boards, or with ``--check`` say which of them are not what the source makes."""
    parser = argparse.ArgumentParser(prog="python -m source", description="Write dashboards/generated/*.json.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is not up to date")
    if parser.parse_args().check:
        for name in (old := drifted()):
            sys.stderr.write(f"not up to date: {FOLDER / name}\n")
        return 1 if old else 0
    FOLDER.mkdir(exist_ok=True)
    for name, text in boards().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        sys.stdout.write(f"wrote {FOLDER / name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

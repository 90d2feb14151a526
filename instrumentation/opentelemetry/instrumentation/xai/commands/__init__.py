"""The command ``xai-otel``: which subcommand is meant. What each does is in its own module, loaded when asked for.

Exit statuses are the same for all: 0 all is well, 1 it is not, 2 the command was used wrongly.
"""

import os
import sys
from importlib import import_module
from pathlib import Path

from .parser import LATER, parser

_INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    if given and given[0] in LATER:
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
    options = vars(parser().parse_args(arguments))
    run = import_module(f"{__name__}.{options.pop('command')}").run
    return int(run(**options))

"""``xai-otel explain``: reads two request bodies, and shows what ``stability`` foretells of them.

``rows`` sets the parts of both prompts side by side, ``page`` makes a screen of all. It is the user's own terminal, so
content may be shown.
"""

import json
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

from ...fixes import FIXES
from ...stability import CHAT, MESSAGES, RESPONSES, Body, Prediction, predict
from .page import page
from .rows import Row, rows

_PATHS = {"chat": CHAT, "responses": RESPONSES, "messages": MESSAGES}
_STANDARD_INPUT = "-"
_NARROWEST, _WIDEST = 60, 100


def run(*, first: str, second: str, endpoint: str | None, as_json: bool) -> int:
    """Compare and show; 0 when the second request would reuse the cache of the first, 1 when not."""
    if first == second == _STANDARD_INPUT:
        return _refuse("only one of the two bodies can come from standard input")
    path = _PATHS[endpoint] if endpoint else None
    try:
        earlier, later = _body(first, path), _body(second, path)
    except ValueError as error:
        return _refuse(str(error))
    found = predict(earlier, later)
    table = rows(earlier, later)
    if as_json:
        text = json.dumps(_facts(found, table), indent=2)
    else:
        columns = shutil.get_terminal_size((_WIDEST, 24)).columns
        text = _encodable(page(found, table, min(max(columns, _NARROWEST), _WIDEST)))
    sys.stdout.write(text + "\n")
    return 0 if found.stable else 1


def _body(name: str, path: str | None) -> Body:
    """The body in a file; raises ``ValueError`` that names the file and says what is wrong with it."""
    try:
        return Body.read(_content(name), path)
    except OSError as error:
        raise ValueError(f"{_shown(name)} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise ValueError(f"{_shown(name)} is {error}") from None


def _content(name: str) -> bytes:
    if name != _STANDARD_INPUT:
        return Path(name).read_bytes()
    if sys.stdin is None:
        raise OSError("it is closed")
    return sys.stdin.buffer.read()


def _shown(name: str) -> str:
    return "standard input" if name == _STANDARD_INPUT else name


def _refuse(why: str) -> int:
    sys.stderr.write(f"xai-otel explain: {why}\n".encode("ascii", "backslashreplace").decode())
    return 2


def _facts(found: Prediction, table: list[Row]) -> dict[str, object]:
    facts = asdict(found)
    if found.difference is not None:
        before, after, column = found.difference.excerpts()
        offset = found.difference.offset
        facts["difference"] = {"before": before, "after": after, "column": column, "offset": offset}
    return {**facts, "fix": FIXES[found.reason] if found.reason else None, "parts": [asdict(row) for row in table]}


def _encodable(text: str) -> str:
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)

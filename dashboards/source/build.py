"""The boards as JSON: the same bytes each time, so that a difference is a change."""

import json
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from . import cache_regressions, overview

FOLDER: Final = Path(__file__).resolve().parent.parent / "generated"


def boards() -> dict[str, str]:
    """The text of every board, by the name of its file."""
    made = (overview.board(), cache_regressions.board())
    return {
        f"{board.uid}.json": json.dumps(board, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        for board in made
    }


def drifted() -> list[str]:
    """The files in ``generated`` that the source would write differently, or not at all."""
    wanted = boards()
    kept = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}
    return sorted(name for name in wanted.keys() | kept.keys() if wanted.get(name) != kept.get(name))

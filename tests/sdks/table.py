"""The README's table of clients, from what the tests found: ``python tests/sdks/table.py FOUND`` renews both.

What was found is kept in ``results.json``; a test compares the README with it.
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
RESULTS = Path(__file__).with_name("results.json")
COLUMNS = {"chat": "chat completions", "responses": "responses", "messages": "messages", "grpc": "gRPC"}
MARKS = {"passed": "✓", "failed": "✗", None: "—"}


def render(results: dict[str, dict[str, str]]) -> str:
    """Write the table: a row for each client, two marks in each cell."""
    columns = [(endpoint, stream) for endpoint in COLUMNS for stream in ("", "_stream")]
    head = [f"{COLUMNS[endpoint]}{', streamed' * bool(stream)}" for endpoint, stream in columns]
    lines = [f"| client | {' | '.join(head)} |", "|---|" + ":-:|" * len(head)]
    for row in sorted(results, key=str.casefold):
        cells = [
            " ".join(MARKS[results[row].get(colour + endpoint + stream)] for colour in ("", "async_"))
            for endpoint, stream in columns
        ]
        lines.append(f"| {row} | {' | '.join(cell if cell != '— —' else '—' for cell in cells)} |")
    return "\n".join(lines) + "\n"


def main(found: Path) -> None:
    """Take over what was found."""
    results = json.loads(found.read_text())
    RESULTS.write_text(json.dumps(results, indent=2, sort_keys=True) + "\n")
    text = README.read_text()
    README.write_text(re.sub(r"(?s)(<!-- clients -->\n).*(<!-- /clients -->)", rf"\g<1>{render(results)}\g<2>", text))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

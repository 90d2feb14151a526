"""``xai-otel explain``: the answer in words, the table, the place; for machines the same; and what is wrong with a file."""

import copy
import io
import json
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from opentelemetry.instrumentation.xai import commands
from opentelemetry.instrumentation.xai import conventions as names
from opentelemetry.instrumentation.xai.fixes import FIXES

Json = dict[str, Any]


def tool(name: str) -> Json:
    """A tool."""
    return {"type": "function", "function": {"name": name, "description": f"does {name}", "parameters": {}}}


def turn(place: int) -> list[Json]:
    """What the model says, and what a tool answers."""
    call = {"id": f"c{place}", "type": "function", "function": {"name": "run", "arguments": f'{{"n": {place}}}'}}
    return [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": f"c{place}", "content": f"exit code 0, took 1.{place} s, " + "a line " * 20},
    ]


A: Json = {
    "model": "grok-4.7",
    "tools": [tool(name) for name in ("read", "write", "run", "search")],
    "messages": [
        {"role": "system", "content": "You are careful. " * 20},
        {"role": "user", "content": "Mend the test."},
        *(message for place in range(20) for message in turn(place)),
    ],
}
B: Json = {
    **A,
    "messages": [*A["messages"], {"role": "assistant", "content": "Done."}, {"role": "user", "content": "Thanks."}],
}
EDITED = copy.deepcopy(B)
EDITED["messages"][7]["content"] = EDITED["messages"][7]["content"].replace("1.2 s", "1.9 s")


class Explained:
    """What a run gave."""

    def __init__(self, status: int, output: str, error: str) -> None:
        self.status = status
        self.output = output
        self.error = error

    @property
    def lines(self) -> list[str]:
        """The screen's lines."""
        return self.output.splitlines()

    @property
    def table(self) -> list[list[str]]:
        """The table's rows, in words."""
        start = next(place for place, line in enumerate(self.lines) if line.split()[:1] == ["part"])
        rows = [*self.lines[start + 1 :], ""]
        return [line.split() for line in rows[: rows.index("")] if line]


@pytest.fixture
def explain(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the command on two bodies."""
    monkeypatch.delenv("COLUMNS", raising=False)  # pytest-xdist sets it

    def run(first: Any, second: Any, *options: str) -> Explained:
        for name, content in (("A.json", first), ("B.json", second)):
            text = content if isinstance(content, str) else json.dumps(content)
            (tmp_path / name).write_text(text, encoding="utf-8")
        status = commands.main(["explain", str(tmp_path / "A.json"), str(tmp_path / "B.json"), *options])
        return Explained(status, *capsys.readouterr())

    return run


def test_a_stable_request(explain: Any) -> None:
    """The answer, the folded table, and nothing to mend."""
    found = explain(A, B)
    assert (found.status, found.error) == (0, "")
    assert found.lines[0] == "B would reuse 100 % of A's prompt."
    assert [row[:4] for row in found.table] == [
        ["=", "model", "8", "8"],
        ["=", "tools[0..3]", "4", "same"],
        ["=", "messages[0]", "system", "370"],
        ["=", "messages[1..41]", "41", "same"],
        ["+", "messages[42]", "assistant", "38"],
        ["+", "messages[43]", "user", "35"],
    ]
    assert "Fix:" not in found.output


def test_an_edited_message(explain: Any) -> None:
    """Where, why, whose doing, what is left; the place is pointed at, in the table and in both texts."""
    found = explain(A, EDITED)
    assert found.status == 1
    first = " ".join(found.lines[:2]).strip()
    assert first.startswith("B would NOT reuse A's cache from messages[7] on: history_edited (the client's doing). ")
    assert first.endswith("% of A's bytes stay reusable.")
    (pointed,) = [row for row in found.table if row[0] == ">"]
    assert pointed[:4] == [">", "!", "messages[7]", "tool"]
    assert ["=", "messages[8..41]", "34", "same"] in [row[:4] for row in found.table]
    place = next(place for place, line in enumerate(found.lines) if line.startswith("messages[7], from character"))
    before, after, mark = found.lines[place + 1 : place + 4]
    column = mark.index("^")
    assert (before[column - 2 : column + 3], after[column - 2 : column + 3]) == ("1.2 s", "1.9 s")
    assert found.lines[-2] == f"Fix: {FIXES[names.HISTORY_EDITED]}"
    assert found.lines[-1] == "More: dashboards/runbook.md, section history_edited"


def test_reordered_tools(explain: Any) -> None:
    """The first tool that is another is the place, and nothing is left."""
    found = explain(A, {**B, "tools": B["tools"][::-1]})
    assert found.status == 1
    answer = "B would NOT reuse A's cache from tools[0] on: tools_reordered (the client's doing). Nothing of A stays reusable."
    assert " ".join(found.lines[:2]).strip() == answer
    assert next(row for row in found.table if row[0] == ">")[1:4] == ["+", "tools[0]", "search"]


def test_truncated_turns_are_gone(explain: Any) -> None:
    """What was cut off is told from what returns in another place."""
    found = explain(A, {**B, "messages": [B["messages"][0], *B["messages"][6:]]})
    assert "history_truncated" in found.output
    rows = [row[:4] for row in found.table if "messages" in " ".join(row[:3])]
    assert rows[1:4] == [
        [">", "-", "messages[1]", "user"],
        ["-", "messages[2..5]", "4", "gone"],
        ["=", "messages[1..36]", "36", "same"],
    ]


def test_parameters_are_inferred(explain: Any) -> None:
    """What is no more than probable is said so, and shown."""
    found = explain(A, {**B, "tool_choice": "required"})
    assert found.lines[0].startswith(
        "B would probably NOT reuse A's cache, though the prompt is intact: parameters_changed"
    )
    assert '  B: {"tool_choice":"required"}' in found.lines


def test_another_conversation(explain: Any) -> None:
    """What does not continue is not explained as a change."""
    found = explain(A, {**A, "messages": [A["messages"][0], {"role": "user", "content": "Something else."}]})
    assert found.status == 1
    assert found.lines[0].startswith("B does not continue A's conversation: from messages[1] on it is another one")


def test_conversation_ids(explain: Any) -> None:
    """Another key breaks the cache; one that routes nothing is noted."""
    earlier = {"model": "grok-4.7", "input": "One?", "prompt_cache_key": "first"}
    later = {**earlier, "input": [{"role": "user", "content": "One?"}, {"role": "assistant", "content": "1"}]}
    found = explain(earlier, {**later, "prompt_cache_key": "second"})
    assert (found.status, "conversation_id_changed" in found.lines[0]) == (1, True)
    assert "  B: second" in found.lines
    noted = explain({**A, "prompt_cache_key": "k"}, {**B, "prompt_cache_key": "k"})
    assert noted.status == 0
    assert "Note: prompt_cache_key routes nothing on this endpoint" in noted.output
    named = explain({**A, "prompt_cache_key": "k"}, {**B, "prompt_cache_key": "k"}, "--endpoint", "responses")
    assert "Note:" not in named.output


def test_as_json(explain: Any) -> None:
    """The same facts, of which the excerpts are bounded."""
    found = explain(A, EDITED, "--json")
    facts = json.loads(found.output)
    assert found.status == 1
    assert facts["stable"] is False
    assert (facts["reason"], facts["cause"], facts["confidence"]) == ("history_edited", "client", "certain")
    assert (facts["section"], facts["index"], facts["place"]) == ("messages", 7, "messages[7]")
    assert 0 < facts["kept"] < 1
    difference = facts["difference"]
    assert difference["before"][difference["column"]] == "2"
    assert difference["after"][difference["column"]] == "9"
    assert len(difference["before"]) <= 80
    assert facts["fix"] == FIXES[names.HISTORY_EDITED]
    assert len(facts["parts"]) == 1 + 4 + 44
    assert facts["parts"][12] == {
        "mark": "!", "section": "messages", "part": "messages[7]", "role": "tool",
        "bytes_before": facts["parts"][12]["bytes_before"], "bytes_after": facts["parts"][12]["bytes_after"],
    }  # fmt: skip
    stable = json.loads(explain(A, B, "--json").output)
    assert (stable["stable"], stable["kept"], stable["reason"], stable["difference"], stable["fix"]) == (
        True,
        1,
        None,
        None,
        None,
    )


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_no_line_is_wider_than_the_terminal(explain: Any, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """At any width from sixty columns on, also with names that are long and letters that are wide."""
    monkeypatch.setenv("COLUMNS", str(width))
    wide = copy.deepcopy(EDITED)
    wide["messages"][7]["content"] = "漢字" * 100
    wide["tools"][3]["function"]["name"] = "a_tool_with_a_rather_long_name_" * 3
    first = copy.deepcopy(A)
    first["tools"] = wide["tools"]
    for line in explain(first, wide).lines:
        assert sum(2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in line) <= min(width, 100)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "B.json is not JSON (line 1, column 2: "),
        ("[]", "B.json is not a request body, which is a JSON object"),
        ('{"model": "grok"}', 'B.json is not a request body: there is no prompt in it, neither "messages" nor "input"'),
        ('{"messages": []}', "B.json is a request body whose prompt is empty"),
    ],
)
def test_a_file_that_is_no_body(explain: Any, content: str, why: str) -> None:
    """Status 2, one line that names the file, and nothing on the output."""
    found = explain(A, content)
    assert (found.status, found.output) == (2, "")
    assert found.error.startswith("xai-otel explain: ")
    assert why in found.error
    assert found.error.count("\n") == 1


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And one that is a folder: the system's own word for it."""
    for name, why in (("none.json", "No such file or directory"), (".", "Is a directory")):
        assert commands.main(["explain", str(tmp_path / name), str(tmp_path / name)]) == 2
        assert capsys.readouterr() == ("", f"xai-otel explain: {tmp_path / name} cannot be read: {why}\n")


def test_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """For one of the two; it has a name of its own in messages, and may be closed."""
    (tmp_path / "A.json").write_text(json.dumps(A))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(B).encode())))
    assert commands.main(["explain", str(tmp_path / "A.json"), "-"]) == 0
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"{")))
    assert commands.main(["explain", "-", str(tmp_path / "A.json")]) == 2
    monkeypatch.setattr(sys, "stdin", None)
    assert commands.main(["explain", "-", str(tmp_path / "A.json")]) == 2
    assert commands.main(["explain", "-", "-"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert errors[0].startswith("xai-otel explain: standard input is not JSON")
    assert errors[1:] == [
        "xai-otel explain: standard input cannot be read: it is closed",
        "xai-otel explain: only one of the two bodies can come from standard input",
    ]


def test_wrong_usage_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    """One file is too few; the help says how to get the files."""
    assert commands.main(["explain", "A.json"]) == 2
    assert commands.main(["explain", "A.json", "B.json", "--endpoint", "other"]) == 2
    assert commands.main(["explain", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "event_hooks" in shown
    assert "exit statuses:" in shown
    assert max(map(len, shown.splitlines())) <= 110
    assert commands.main(["--help"]) == 0
    assert "xai-otel explain A.json B.json" in capsys.readouterr().out


def test_a_terminal_without_unicode(tmp_path: Path) -> None:
    """What it cannot show is escaped."""
    for name, text in (("A.json", "caf\u00e9 1"), ("B.json", "caf\u00e9 2")):
        messages = [
            {"role": "user", "content": text},
            {"role": "assistant", "content": "1"},
            {"role": "user", "content": "?"},
        ]
        (tmp_path / name).write_text(json.dumps({"model": "grok", "messages": messages}))
    done = subprocess.run(
        [sys.executable, "-m", "opentelemetry.instrumentation.xai", "explain", "A.json", "B.json"],
        cwd=tmp_path, capture_output=True, timeout=60, check=False, env={"PYTHONIOENCODING": "ascii", "COLUMNS": "100"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, b"")
    assert b"caf\\xe9 1" in done.stdout

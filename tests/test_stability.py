"""What two request bodies foretell: every reason that they can show, where it is, and what means nothing."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from opentelemetry.instrumentation.xai import conventions as names
from opentelemetry.instrumentation.xai.fixes import FIXES
from opentelemetry.instrumentation.xai.stability import Body, Difference, Prediction, predict

Json = dict[str, Any]
RULES = "Answer in short sentences. " * 8


def user(text: str) -> Json:
    """A message of the user."""
    return {"role": "user", "content": text}


def assistant(text: str, **further: Any) -> Json:
    """A message of the model."""
    return {"role": "assistant", "content": text, **further}


def tool(name: str, description: str = "does something") -> Json:
    """A tool of chat completions."""
    parameters = {"type": "object", "properties": {"path": {"type": "string"}, "depth": {"type": "integer"}}}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


def call(arguments: str) -> Json:
    """The model's call of a tool."""
    function = {"name": "read", "arguments": arguments}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c1", "type": "function", "function": function}],
    }


def chat(*messages: Json, **fields: Any) -> Json:
    """A body for chat completions."""
    return {"model": "grok-4.7", "tools": [tool("read"), tool("write")], "messages": list(messages), **fields}


SYSTEM: Json = {"role": "system", "content": RULES}
HISTORY = (
    SYSTEM,
    user("Which files are there?"),
    assistant("", reasoning_content="I need the tool.", tool_calls=call('{"path": ".", "depth": 1}')["tool_calls"]),
    {"role": "tool", "tool_call_id": "c1", "content": "a.py, b.py, c.py and nothing else in this folder"},
    assistant("There are three of them."),
    user("Show the first."),
)
A = chat(*HISTORY)
B = chat(*HISTORY, assistant("Here it is: print(1)"), user("And the second?"))


def foretold(earlier: Json | str, later: Json | str, path: str | None = None) -> Prediction:
    """The prediction for two bodies."""
    first, second = (
        Body.read((each if isinstance(each, str) else json.dumps(each)).encode(), path) for each in (earlier, later)
    )
    return predict(first, second)


def changed(change: Callable[[Json], Any]) -> Json:
    """The later body, with something done to it."""
    body = copy.deepcopy(B)
    change(body)
    return body


def test_what_only_appends_is_stable() -> None:
    """The ordinary next turn reuses everything, and so does the same request once more."""
    assert foretold(A, B) == Prediction(stable=True, kept=1.0)
    assert foretold(A, A).stable


def test_turns_in_between_do_not_matter() -> None:
    """The first and the last request of a long conversation can be compared as well."""
    turns = [message for place in range(6) for message in (assistant(f"Answer {place}."), user(f"Question {place}?"))]
    assert foretold(A, chat(*HISTORY, *turns)).stable
    edited = [{**message} for message in HISTORY]
    edited[1]["content"] = "Which files were there?"
    assert foretold(A, chat(*edited, *turns)).reason == names.HISTORY_EDITED


def _edit(body: Json) -> None:
    body["messages"][3]["content"] = "a.py, b.py and c.py"


def _compact(body: Json) -> None:
    body["messages"][1:5] = [user("In short: a, b, c.")]


REASONS: dict[str, tuple[Callable[[Json], Any], str | None, int | None, str | None]] = {
    names.MODEL_CHANGED: (lambda body: body.update(model="grok-4.3"), "model", None, "model"),
    names.TOOLS_CHANGED: (lambda body: body["tools"].append(tool("list")), "tools", 2, "tools[2]"),
    names.TOOLS_REORDERED: (lambda body: body["tools"].reverse(), "tools", 0, "tools[0]"),
    names.SYSTEM_CHANGED: (
        lambda body: body["messages"][0].update(content=f"It is 12:01. {RULES}"), "system", None, "messages[0]",
    ),
    names.HISTORY_EDITED: (_edit, "messages", 3, "messages[3]"),
    names.HISTORY_TRUNCATED: (lambda body: body["messages"].__delitem__(slice(1, 4)), "messages", 1, "messages[1]"),
    names.COMPACTED: (_compact, "messages", 1, "messages[1]"),
    names.REASONING_DROPPED: (
        lambda body: body["messages"][2].pop("reasoning_content"), "messages", 2, "messages[2]",
    ),
    names.PARAMETERS_CHANGED: (lambda body: body.update(tool_choice="required"), "parameters", None, "parameters"),
}  # fmt: skip


@pytest.mark.parametrize("reason", REASONS)
def test_each_reason_is_named_with_its_place(reason: str) -> None:
    """Model, tools, system, messages and parameters: the reason, whose doing it is, and where it begins."""
    change, section, index, place = REASONS[reason]
    found = foretold(A, changed(change))
    assert (found.stable, found.reason, found.section, found.index, found.place) == (
        False,
        reason,
        section,
        index,
        place,
    )
    assert (found.cause, found.confidence) == names.REASONS[reason]
    assert found.difference is not None
    assert found.difference.before != found.difference.after


@pytest.mark.parametrize("reason", REASONS)
def test_long_conversations_are_read_to_their_beginnings(reason: str) -> None:
    """Also a hundred messages later it is the same reason, at the same place."""
    turns = [message for place in range(50) for message in (assistant(f"Answer {place}."), user(f"Question {place}?"))]
    last = [assistant("The last answer."), user("And now?")]
    change, section, index, place = REASONS[reason]
    later = copy.deepcopy({**B, "messages": [*HISTORY, *turns, *last]})
    if reason != names.COMPACTED:
        change(later)
        found = foretold(chat(*HISTORY, *turns), later)
        assert (found.reason, found.section, found.index, found.place) == (reason, section, index, place)


def test_what_is_kept_is_what_stands_before_the_change() -> None:
    """A change of the tools leaves less of the prompt than one of the last message."""
    early, late = foretold(A, changed(lambda body: body["tools"].reverse())), foretold(A, changed(_edit))
    assert early.kept == 0
    assert 0.6 < late.kept < 1


def test_the_difference_begins_where_the_texts_part() -> None:
    """The excerpts are those of the very message, from the first character that differs on."""
    difference = foretold(A, changed(_edit)).difference
    assert difference is not None
    assert difference.before is not None
    assert difference.before[difference.offset :].startswith(", c.py and nothing else")
    assert difference.after is not None
    assert difference.after[difference.offset :].startswith(" and c.py")


def test_a_parameter_that_is_the_default_changes_nothing() -> None:
    """Null, a choice of ``auto`` and a format of text are the same as none; and no temperature matters."""
    fields = {"tool_choice": "auto", "response_format": {"type": "text"}, "reasoning_effort": None, "temperature": 1}
    assert foretold(A, {**B, **fields}).stable


def test_the_way_messages_are_written_means_nothing() -> None:
    """White space, escapes, null and the order of keys do not reach the model: stable, with a note."""
    later = json.dumps({**B, "messages": [dict(reversed(message.items())) for message in B["messages"]]})
    later = later.replace('"Which files', '"\\u0057hich  files').replace("  files", " files")
    later = later.replace('"content": "There are', '"name": null, "content":\n "There are')
    found = foretold(A, later)
    assert found.stable
    assert found.note is not None
    assert found.note.startswith("messages[0] is written in other bytes")


def test_other_bytes_in_arguments_count() -> None:
    """The arguments of a call are a string that the model wrote: made anew with other spaces, they are another."""

    def rewrite(body: Json) -> None:
        function = body["messages"][2]["tool_calls"][0]["function"]
        function["arguments"] = json.dumps(json.loads(function["arguments"]), separators=(",", ":"))

    found = foretold(A, changed(rewrite))
    assert (found.reason, found.section, found.index) == (names.SERIALIZATION_CHANGED, "messages", 2)
    assert found.note is None


def test_the_order_of_keys_in_a_tool_counts() -> None:
    """A schema whose keys come in another order is another text, with the same meaning."""

    def rewrite(body: Json) -> None:
        parameters = body["tools"][1]["function"]["parameters"]
        parameters["properties"] = dict(reversed(parameters["properties"].items()))

    found = foretold(A, changed(rewrite))
    assert (found.reason, found.section, found.index) == (names.SERIALIZATION_CHANGED, "tools", 1)
    assert found.note is None


def test_white_space_alone_in_a_tool_comes_with_a_note() -> None:
    """A saved body that a program has put anew may not be what was sent."""
    found = foretold(A, json.dumps(B, indent=2))
    assert (found.reason, found.place) == (names.SERIALIZATION_CHANGED, "tools[0]")
    assert found.note is not None
    assert "as they were sent" in found.note


def test_the_order_of_keys_in_the_input_of_a_call_counts() -> None:
    """On /v1/messages, arguments are an object: its keys stay in the order in which the model wrote them."""
    use = {"type": "tool_use", "id": "t1", "name": "read", "input": {"path": ".", "depth": 1}}
    result = user("")
    result["content"] = [{"type": "tool_result", "tool_use_id": "t1", "content": "a.py"}]
    messages = [user("Which files?"), {"role": "assistant", "content": [use]}, result]
    earlier = {"model": "grok-4.7", "system": RULES, "max_tokens": 9, "messages": messages}
    later = copy.deepcopy(earlier)
    later["messages"] += [assistant("One."), user("Show it.")]  # type: ignore[operator]
    assert foretold(earlier, later).stable
    block = later["messages"][1]["content"][0]  # type: ignore[index]
    block["input"] = dict(reversed(block["input"].items()))
    found = foretold(earlier, later)
    assert (found.reason, found.place) == (names.SERIALIZATION_CHANGED, "messages[1]")


def responses(*items: Json | str, **fields: Any) -> Json:
    """A body for /v1/responses."""
    given = items[0] if len(items) == 1 and isinstance(items[0], str) else list(items)
    return {"model": "grok-4.7", "instructions": RULES, "input": given, **fields}


def test_responses_have_items_and_instructions() -> None:
    """A string is one message; instructions are the system prompt; and the place is one in ``input``."""
    answer = ({"type": "reasoning", "id": "r1", "encrypted_content": "x" * 40}, assistant("Three."))
    earlier = responses("How many?", prompt_cache_key="k")
    later = responses({"type": "message", **user("How many?")}, *answer, user("Which?"), prompt_cache_key="k")
    assert foretold(earlier, later) == Prediction(stable=True, kept=1.0)
    other = foretold(earlier, {**later, "instructions": "Sing."})
    assert (other.reason, other.place) == (names.SYSTEM_CHANGED, "instructions")
    third = responses(
        user("How many?"), answer[1], user("Which?"), assistant("These."), user("Why?"), prompt_cache_key="k"
    )
    dropped = foretold(later, third)
    assert (dropped.reason, dropped.index, dropped.place) == (names.REASONING_DROPPED, 1, "input[1]")


def test_a_compaction_item_is_a_compaction() -> None:
    """The item that xAI's own compaction gives is known as such."""
    earlier = responses(user("One?"), assistant("1"), user("Two?"), prompt_cache_key="k")
    later = responses({"type": "compaction", "id": "c", "encrypted_content": "x"}, user("Three?"), prompt_cache_key="k")
    assert foretold(earlier, later).reason == names.COMPACTED


def test_a_response_id_continues_the_earlier_request() -> None:
    """With ``previous_response_id`` the history is on the server, and only the rest can differ."""
    later = {"model": "grok-4.7", "input": "Which?", "previous_response_id": "resp_1", "prompt_cache_key": "k"}
    assert foretold(responses("How many?"), later).stable
    assert foretold(responses("How many?"), {**later, "model": "grok-4.3"}).reason == names.MODEL_CHANGED


def test_conversation_ids_that_the_bodies_state() -> None:
    """Another key is another server; a key on chat completions and none on Responses are worth a word, no more."""
    items = (user("How many?"), assistant("Three."), user("Which?"))
    earlier = responses("How many?", prompt_cache_key="one")
    found = foretold(earlier, responses(*items, prompt_cache_key="two"))
    assert (found.reason, found.section, found.place) == (names.CONVERSATION_ID_CHANGED, None, "prompt_cache_key")
    assert found.difference == Difference("one", "two")
    missing = foretold(earlier, responses(*items))
    assert (missing.stable, missing.problems) == (True, (names.PROBLEM_MISSING,))
    carried = foretold({**A, "prompt_cache_key": "one"}, {**B, "prompt_cache_key": "two"})
    assert (carried.stable, carried.problems) == (True, (names.PROBLEM_WRONG_CARRIER,))


def test_a_changed_prompt_comes_before_a_changed_id() -> None:
    """A new id beside a changed prompt is not blamed."""
    earlier = responses("How many?", prompt_cache_key="one")
    later = responses("How many?", model="grok-4.3", prompt_cache_key="two")
    assert foretold(earlier, later).reason == names.MODEL_CHANGED


@pytest.mark.parametrize(
    ("later", "reason", "place"),
    [
        (chat(user("Hello")), names.FIRST_REQUEST, "messages[1]"),
        (chat(SYSTEM, user("Which files are there?")), names.FIRST_REQUEST, "messages[2]"),
        (chat(*HISTORY[:-1], user("Show the last.")), names.NO_BASELINE, "messages[5]"),
    ],
    ids=["another", "back", "fork"],
)
def test_what_does_not_continue_says_so(later: Json, reason: str, place: str) -> None:
    """Another conversation, a step back, and a fork are no continuation; where they part is shown."""
    found = foretold(A, later)
    assert (found.stable, found.continues, found.reason) == (False, False, reason)
    assert found.difference is not None
    if reason == names.NO_BASELINE or len(later["messages"]) == 2:
        assert found.place == place


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not JSON"),
        (b'{"model": ', "line 1, column 11"),
        (b"\xff\xfe\xfa", "not JSON"),
        (b"[1]", "a JSON object"),
        (b'{"model": "grok"}', 'neither "messages" nor "input"'),
        (b'{"messages": 1}', 'neither "messages" nor "input"'),
        (b'{"messages": []}', "prompt is empty"),
        (b'{"input": ""}', "prompt is empty"),
        (b'{"messages": ' + b"[" * 200_000, "nested too deeply"),
    ],
)
def test_what_is_no_body_is_refused(content: bytes, why: str) -> None:
    """The error says what is wrong with it."""
    with pytest.raises(ValueError, match=why.replace("(", r"\(")):
        Body.read(content)


def test_odd_json_is_read_all_the_same() -> None:
    """A byte order mark, UTF-16, half of an emoji, NaN and messages that are no objects do no harm."""
    text = json.dumps({**A, "temperature": float("nan"), "messages": [*A["messages"], user("\ud83d"), 7, None]})
    for content in (text.encode(), b"\xef\xbb\xbf" + text.encode(), text.encode("utf-16")):
        body = Body.read(content)
        assert predict(body, body).stable
        assert body.parts
    assert foretold(
        {"messages": [{"role": ["odd"], "content": 1}], "tools": "none"}, {"messages": [3], "tools": [4]}
    ).reason


def test_half_an_emoji_leaves_the_rest_as_it_is() -> None:
    """A new message with a broken character in it, or a number that JSON has not, changes no earlier one."""
    assert foretold(A, chat(*HISTORY, assistant("Here: \ud83d"), user("Go on."), temperature=float("nan"))).stable


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"messages": [user("x")]}, "/v1/chat/completions"),
        ({"messages": [user("x")], "system": "y"}, "/v1/messages"),
        ({"input": "x"}, "/v1/responses"),
    ],
)
def test_the_endpoint_is_guessed(body: Json, path: str) -> None:
    """By its fields, unless it is named."""
    assert Body.read(json.dumps(body).encode()).path == path
    assert Body.read(json.dumps(body).encode(), "/v1/messages").path == "/v1/messages"


def test_every_reason_has_a_fix() -> None:
    """One sentence each."""
    assert set(FIXES) == set(names.REASONS)
    assert all(fix.endswith(".") and "\n" not in fix for fix in FIXES.values())


class TestExcerpts:
    """Excerpts that point at the difference."""

    def test_they_are_cut_around_it(self) -> None:
        """Both begin alike, are no wider than asked for, and differ at the column."""
        before, after, column = Difference("x" * 500 + "A" + "y" * 500, "x" * 500 + "B" + "z" * 500).excerpts(60)
        assert before[:column] == after[:column] == "..." + "x" * (column - 3)
        assert (before[column], after[column]) == ("A", "B")
        assert len(before) <= 60
        assert before.endswith("...")

    def test_the_mark_stands_below_it(self) -> None:
        """Also behind characters that take two columns, or none."""
        lines = Difference("漢字 e\u0301 A", "漢字 e\u0301 B").lines(("A: ", "B: "), 80)
        assert lines == ["A: 漢字 e\u0301 A", "B: 漢字 e\u0301 B", " " * (3 + 4 + 1 + 1 + 1) + "^"]

    def test_nothing_reaches_the_terminal_that_acts_on_it(self) -> None:
        """Control characters and marks of direction are shown as escapes."""
        lines = Difference("\x1b[31m\u202eA", "\x1b[31m\u202eB").lines(("", ""), 80)
        assert lines[0] == "\\x1b[31m\\u202eA"

    def test_one_side_may_be_absent_or_shorter(self) -> None:
        """Nothing at all is said so; the end of a text is where it differs from a longer one."""
        assert Difference(None, "text").lines(("A: ", "B: "), 80) == ["A: (nothing)", "B: text", "   ^"]
        assert Difference("text", "text and more").excerpts() == ("text", "text and more", 4)
        assert Difference("", "text").excerpts() == ("(empty)", "text", 0)

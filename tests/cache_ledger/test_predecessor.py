"""Which request a new one continues, where conversations look alike: nothing is claimed between strangers."""

from typing import Any

import pytest

from cache_ledger.traffic import Traffic, assistant, conversation, user
from opentelemetry.instrumentation.xai import conventions as names
from opentelemetry.instrumentation.xai.wire.fingerprint import digest_of_text

SYSTEM = {"role": "system", "content": "You are a help desk."}
LONG = "This answer is long enough that no other conversation has the same one by chance, or so one hopes."


def reason_of(
    traffic: Traffic, messages: list[Any], tokens: int = 4096, cached: int = 1920, **asked: Any
) -> str | None:
    """What a call says."""
    return traffic.call(messages, tokens, cached, **asked).reason


@pytest.mark.parametrize(
    "identities", [(None, None), ("one", "two"), (None, "two")], ids=["no ids", "own ids", "one id"]
)
@pytest.mark.parametrize("answer", ["Understood.", LONG], ids=["short", "long"])
def test_a_common_ending_makes_no_conversation(identities: tuple[str | None, str | None], answer: str) -> None:
    """Two prompts that differ in their first message alone, as where documents are primed, are two conversations."""
    traffic = Traffic()
    for number, identity in enumerate(identities):
        prompt = [SYSTEM, user(f"Document {number}"), assistant(answer), user("Summarise it.")]
        assert reason_of(traffic, prompt, identity=identity) == names.NO_BASELINE


def test_an_edited_first_message_is_found_by_what_returns() -> None:
    """Without an id, an answer that returns together with what followed tells that the beginning was edited."""
    traffic = Traffic()
    traffic.call([SYSTEM, user("Round 1"), assistant(LONG), user("Go on.")])
    prompt = [SYSTEM, user("Round 2"), assistant(LONG), user("Go on."), assistant("Well."), user("And?")]
    verdict = traffic.call(prompt, 4096, 128)
    assert (verdict.reason, verdict.section, verdict.index) == (names.HISTORY_EDITED, names.SECTION_MESSAGES, 1)


def test_a_conversation_comes_before_others_that_said_the_same() -> None:
    """With scripted turns and equal answers, a request continues its own id's conversation, not a longer stranger's."""
    traffic = Traffic()
    script = conversation(3)
    for identity in ("one", "two", "three"):
        for turn in range(1, 4):
            tokens = 2048 + 512 * turn
            verdict = traffic.call([SYSTEM, *script[: 2 * turn - 1]], tokens, tokens - 512, identity=identity)
            assert verdict.cause in (None, names.CAUSE_EXPECTED)


def test_forks_of_one_parent_share_its_baseline() -> None:
    """However many sub-agents go on from one answer under ids of their own, each loss is told."""
    traffic = Traffic()
    traffic.call([SYSTEM, user("Plan.")], identity="parent")
    for number in range(5):
        prompt = [SYSTEM, user("Plan."), assistant(LONG), user(f"Task {number}")]
        assert reason_of(traffic, prompt, cached=128, identity=f"agent-{number}") == names.CONVERSATION_ID_CHANGED


def test_the_answer_tells_conversations_of_one_opening_apart() -> None:
    """Openings recur and each request has a random id: the answer that is sent back tells which one goes on."""
    traffic = Traffic()
    for number in range(3):
        first = traffic.ask([SYSTEM, user("Hi")], f"random-{number}")
        traffic.answer(first, 4096, 1920, marks=(digest_of_text(f"{LONG} {number}"),))
    prompt = [SYSTEM, user("Hi"), assistant(f"{LONG} 1"), user("Well?")]
    assert reason_of(traffic, prompt, cached=128, identity="random-3") == names.CONVERSATION_ID_CHANGED
    prompt = [SYSTEM, user("Hi"), assistant("What nobody here has heard."), user("Well?")]
    assert reason_of(traffic, prompt, cached=128, identity="random-4") == names.NO_BASELINE


def test_a_note_that_is_taken_out_is_an_edit() -> None:
    """Only where a turn of the model is gone has the history been truncated."""
    traffic = Traffic()
    note = {"role": "developer", "content": "Seen lately: 7"}
    traffic.call([SYSTEM, user("0"), assistant(LONG), note, user("1")], identity="one")
    prompt = [SYSTEM, user("0"), assistant(LONG), user("1"), assistant("1!"), user("2")]
    assert reason_of(traffic, prompt, cached=2944, identity="one") == names.HISTORY_EDITED


def test_reasoning_that_is_dropped_altogether_takes_the_whole_loss() -> None:
    """Also where it stood late in the prompt, so that most of the bytes before it are intact."""
    traffic = Traffic()
    reasoned = {**assistant(LONG), "reasoning_content": "because"}
    opening = [SYSTEM, user("a long question " * 100)]
    traffic.call([*opening], identity="one")
    traffic.call([*opening, reasoned, user("1")], identity="one")
    prompt = [*opening, assistant(LONG), user("1"), assistant("2"), user("3")]
    assert reason_of(traffic, prompt, cached=128, identity="one") == names.REASONING_DROPPED


def test_other_escapes_of_the_same_text_go_on() -> None:
    """A first message that is sent as a plain string, then as an item in other bytes, is the same one."""
    traffic = Traffic()
    traffic.call("naïve question", path="/v1/responses")  # type: ignore[arg-type]
    prompt = [{"type": "message", "role": "user", "content": "naïve question"}, assistant("answer"), user("more")]
    assert traffic.call(prompt, 4096, 4096, path="/v1/responses").outcome == names.REUSED


def test_a_rewind_is_a_fork() -> None:
    """Another last question in the place of a former one continues what both share, under the same id too."""
    traffic = Traffic()
    for turn in range(1, 4):
        traffic.call(conversation(turn), 2048 + 512 * turn, identity="one")
    verdict = traffic.call([*conversation(3)[:-1], user("Or rather this?")], 3600, 3072, identity="one")
    assert (verdict.outcome, verdict.potential) == (names.REUSED, 3072)

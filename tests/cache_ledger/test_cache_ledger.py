"""The ledger: what it remembers, for how long, and that what it says always adds up."""

import gc
import json
import os
import random
import statistics
import threading
import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from cache_ledger.traffic import SECOND, Traffic, assistant, conversation, user
from conftest import examples
from opentelemetry.instrumentation.xai import conventions as names
from opentelemetry.instrumentation.xai.cache_ledger import CacheLedger
from opentelemetry.instrumentation.xai.observation import (
    CacheVerdict,
    Ending,
    Observation,
    Request,
    Timeline,
    Usage,
)
from opentelemetry.instrumentation.xai.settings import Settings
from opentelemetry.instrumentation.xai.telemetry.destination import Destination
from opentelemetry.instrumentation.xai.telemetry.recorder import Recorder
from opentelemetry.instrumentation.xai.wire.chat_completions import ChatCompletions
from opentelemetry.instrumentation.xai.wire.request import read_request

CHAT = ChatCompletions()
WORDS = 'the cache of a prompt is read when its first messages are those of the "last" request'.split()
HEADERS = [(b"x-grok-conv-id", b"chat")]


def reasons(*verdicts: Any) -> list[Any]:
    """Outcome and reason of each."""
    return [(verdict.outcome, verdict.reason) for verdict in verdicts]


# --- what becomes a baseline --------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [Ending.FAILED, Ending.HTTP_ERROR, Ending.ERROR_EVENT, Ending.ABANDONED])
def test_what_got_no_answer_is_no_baseline(ending: Ending) -> None:
    """A request that failed or was broken off is nothing that the next one could have read from."""
    traffic = Traffic()
    traffic.call(conversation(1), 2000)
    failed = traffic.ask(conversation(2))
    assert traffic.answer(failed, None, ending=ending, finish_reasons=()) is None
    verdict = traffic.call(conversation(2), 3000, 1920)
    assert (verdict.outcome, verdict.potential) == (names.REUSED, 1920)


def test_an_answer_that_never_ends_blocks_nothing() -> None:
    """While one request is under way the next is concurrent; once that is over, it has no say."""
    traffic = Traffic()
    traffic.call(conversation(1), 2000)
    pending = traffic.ask(conversation(2))
    assert traffic.call(conversation(3), 4096).reason == names.CONCURRENT
    traffic.answer(pending, None, ending=Ending.FAILED, finish_reasons=())
    assert traffic.call(conversation(4), 4096, 4096).outcome == names.REUSED


def test_the_predecessor_is_fixed_when_the_request_is_issued() -> None:
    """An answer that comes while the request is under way makes no baseline for it."""
    traffic = Traffic()
    first = traffic.ask(conversation(1))
    second = traffic.ask(conversation(2))
    traffic.answer(first, 2000)
    assert reasons(traffic.answer(second, 3000)) == [(names.NOT_APPLICABLE, names.CONCURRENT)]


def test_others_that_ran_elsewhere_leave_no_baseline() -> None:
    """A request two turns ahead of what was seen went through another process in between."""
    traffic = Traffic()
    traffic.call(conversation(1), 2000)
    assert traffic.call(conversation(3), 4000).reason == names.NO_BASELINE
    assert traffic.call(conversation(4), 5000, 3968).outcome == names.REUSED


def test_a_verdict_needs_an_answer() -> None:
    """An exchange without usage has no outcome if it broke off, and is unreported if it is complete."""
    traffic = Traffic()
    assert traffic.answer(traffic.ask(conversation(1)), None, ending=Ending.ABANDONED) is None
    assert reasons(traffic.answer(traffic.ask(conversation(1)), None)) == [(names.UNREPORTED, names.UNREPORTED)]
    assert reasons(traffic.answer(traffic.ask(conversation(1)), 2000, None)) == [(names.UNREPORTED, names.UNREPORTED)]


def test_a_prompt_that_cannot_be_read_has_no_baseline() -> None:
    """Of a body that is unknown nothing is claimed."""
    traffic = Traffic()
    assert traffic.call([], 2000).reason == names.NO_BASELINE


# --- which of many ------------------------------------------------------------------------------------------------


def test_interleaved_conversations_with_a_clock_in_the_system_prompt() -> None:
    """Fifty conversations without ids, all with another system prompt at each call: each finds its own predecessor."""
    traffic, order = Traffic(), random.Random(7)
    turns = dict.fromkeys(range(50), 0)
    found = 0
    for step in range(350):
        which = order.choice(list(turns))
        turns[which] += 1
        prompt = [{"role": "system", "content": f"It is {step}."}, *conversation(turns[which], str(which))]
        verdict = traffic.call(prompt, 2000 + 1000 * turns[which] + which)
        if turns[which] > 1:
            before = 2000 + 1000 * (turns[which] - 1) + which
            assert verdict.potential == before // 128 * 128
            assert verdict.reason == names.SYSTEM_CHANGED
            found += 1
    assert found == sum(turns.values()) - sum(1 for taken in turns.values() if taken)


def test_many_conversations_that_begin_alike_are_told_apart_by_id() -> None:
    """A thousand chats open with the same word: the id decides, and no change of id is claimed."""
    traffic = Traffic()
    for chat in range(1000):
        traffic.call([user("Hi")], 2000, identity=f"chat-{chat}")
    for chat in (0, 1, 500, 999):
        verdict = traffic.call([user("Hi"), assistant(f"Hello {chat}"), user("?")], 3000, identity=f"chat-{chat}")
        assert verdict.cause == names.CAUSE_PROVIDER
    verdict = traffic.call([user("Hi"), assistant("Hello x"), user("?")], 3000, identity="chat-x")
    assert verdict.reason == names.NO_BASELINE


def test_repeated_losses_are_those_of_one_conversation() -> None:
    """The second loss of a conversation for the same reason is a repeated one, another conversation's first is not."""
    traffic = Traffic()
    for name in ("one", "other"):
        said = []
        for turn in range(1, 4):
            prompt = [{"role": "system", "content": f"{name} {turn}"}, *conversation(turn, name)]
            said.append(traffic.call(prompt, 4000).repeated)
        assert said == [False, False, True]


# --- bounds ---------------------------------------------------------------------------------------------------------


def test_the_oldest_conversations_go_first() -> None:
    """Beyond the bound in number the conversation that was silent longest is forgotten."""
    traffic = Traffic(CacheLedger(most_conversations=10))
    for chat in range(11):
        traffic.call(conversation(1, str(chat)), 2000)
    assert len(traffic.ledger) == 10
    assert traffic.call(conversation(2, "0"), 3000).reason == names.NO_BASELINE
    assert traffic.call(conversation(2, "10"), 3000, 1920).outcome == names.REUSED


def test_the_bound_in_bytes_holds() -> None:
    """However long conversations are, all together stay within the bytes allowed."""
    traffic = Traffic(CacheLedger(most_bytes=200_000))
    for chat in range(100):
        traffic.call(conversation(60, str(chat)), 2000)
        assert traffic.ledger.bytes <= 200_000
    assert 10 < len(traffic.ledger) < 100


def test_conversations_expire() -> None:
    """After its lifetime a conversation is forgotten."""
    traffic = Traffic(CacheLedger(lifetime_ns=100 * SECOND))
    traffic.call(conversation(1), 2000)
    traffic.moment += 200 * SECOND
    traffic.call(conversation(1, "other"), 2000)
    assert len(traffic.ledger) == 1
    assert traffic.call(conversation(2), 2000).reason == names.NO_BASELINE


def test_memory_is_what_the_ledger_says() -> None:
    """The bytes that it counts are those that it takes, so 10,000 conversations of 50 turns fit into 64 MiB."""
    traffic = Traffic()
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for chat in range(50):
            for turn in range(1, 51):
                traffic.call(conversation(turn, str(chat)), 2000, identity=f"chat-{chat}")
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 0.8 < traffic.ledger.bytes / taken < 1.3
    assert taken / 50 * 10_000 < 64 * 1024 * 1024


def test_random_traffic_leaves_memory_flat() -> None:
    """After the bound is reached, further calls of every kind take no further memory."""
    traffic, order = Traffic(CacheLedger(most_conversations=50)), random.Random(1)
    live: list[list[Any]] = []

    def run(calls: int) -> None:
        for _ in range(calls):
            if not live or order.random() < 0.2:
                live.append(conversation(1, str(order.random())))
            if len(live) > 20:
                live.pop(0)
            messages = order.choice(live)
            if order.random() < 0.1:
                messages[order.randrange(len(messages))] = user(order.random())
            identity = str(order.random()) if order.random() < 0.5 else None
            path = "/v1/responses" if order.random() < 0.3 else "/v1/chat/completions"
            asked = traffic.ask(messages, identity, path=path)
            ending = order.choice([Ending.COMPLETE, Ending.COMPLETE, Ending.FAILED, Ending.ABANDONED])
            traffic.answer(asked, 2000, order.randrange(2000), ending, response_id=str(order.random()))
            messages += [assistant(order.random()), user(order.random())]
            del messages[:-30]

    run(3000)
    gc.collect()
    tracemalloc.start()
    try:
        run(1000)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        run(4000)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 300_000


# --- threads and processes ------------------------------------------------------------------------------------------


def test_threads_get_verdicts_of_their_own() -> None:
    """Sixteen threads with a conversation each on one ledger: no verdict is torn, none is lost."""
    ledger, wrong = CacheLedger(), []

    def work(which: int) -> None:
        traffic = Traffic(ledger)
        for turn in range(1, 30):
            tokens = 2000 + 128 * which + 4096 * turn
            verdict = traffic.call(conversation(turn, str(which)), tokens, identity=f"chat-{which}")
            before = tokens - 4096
            expected = (
                None if turn == 1 else before // 128 * 128,
                names.FIRST_REQUEST if turn == 1 else names.PROVIDER_MISS,
            )
            if (verdict.potential or None, verdict.reason) != expected:
                wrong.append((which, turn, verdict))

    threads = [threading.Thread(target=work, args=(which,)) for which in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(ledger) == 16


@pytest.mark.timing
def test_threads_do_not_slow_each_other_down() -> None:
    """Sixteen threads get through at least half as many calls as one does alone."""

    def calls_per_second(threads: int, ledger: CacheLedger) -> float:
        ready = threading.Barrier(threads + 1)

        def work(which: int) -> None:
            traffic = Traffic(ledger)
            ready.wait()
            for turn in range(800 // threads):
                traffic.call(conversation(turn % 8 + 1, f"{which} {turn // 8}"), 4000)

        workers = [threading.Thread(target=work, args=(which,)) for which in range(threads)]
        for worker in workers:
            worker.start()
        started = time.perf_counter()
        ready.wait()
        for worker in workers:
            worker.join()
        return 800 / (time.perf_counter() - started)

    calls_per_second(1, CacheLedger())  # warm
    best = max(calls_per_second(16, CacheLedger()) / calls_per_second(1, CacheLedger()) for _ in range(5))
    assert best > 0.5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_begins_anew() -> None:
    """A child has a lock and a memory of its own, even if the fork came while a thread held the lock."""
    traffic = Traffic()
    traffic.call(conversation(1), 2000)
    with traffic.ledger._lock:
        child = os.fork()
        if child == 0:
            verdict = traffic.call(conversation(2), 3000)
            os._exit(0 if verdict.reason == names.NO_BASELINE and len(traffic.ledger) == 1 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert traffic.call(conversation(2), 3000, 1920).outcome == names.REUSED


# --- sums -----------------------------------------------------------------------------------------------------------


class Books:
    """A recorder of metrics, and the sums that it has exported."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader])
        self.recorder = Recorder(Settings(spans="never"), Destination(meter_provider=self.provider))

    def record(self, request: Request, tokens: int | None, cached: int | None, verdict: CacheVerdict) -> None:
        """Record an answered request."""
        usage = None if tokens is None else Usage(tokens, 10, cached)
        observation = Observation(request, Timeline(0, SECOND), Ending.COMPLETE, usage=usage)
        self.recorder.record(observation, verdict, Context())

    def sums(self) -> dict[str, float]:
        """Potential, reused and lost tokens, as one export gives them."""
        found = dict.fromkeys(("potential_tokens", "reused_tokens", "lost_tokens"), 0.0)
        data = self.reader.get_metrics_data()
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    name = metric.name.rpartition(".")[2]
                    if metric.name.startswith("xai.client.cache.") and name in found:
                        found[name] = sum(point.value for point in metric.data.data_points)
        return found

    def close(self) -> None:
        """Shut the provider down."""
        self.provider.shutdown()


_messages = st.sampled_from(
    [
        user("a" * 40),
        user("b"),
        assistant("x" * 70),
        assistant("y"),
        {"role": "tool", "tool_call_id": "1", "content": "t"},
    ]
)
_calls = st.tuples(
    st.lists(_messages, max_size=6),
    st.sampled_from([None, "one", "two"]),
    st.sampled_from(["grok-4.7", "grok-4.6"]),
    st.sampled_from(["system", "other"]),
    st.none() | st.integers(0, 10_000),
    st.none() | st.integers(0, 12_000),
    st.sampled_from([Ending.COMPLETE, Ending.COMPLETE, Ending.COMPLETE, Ending.FAILED, Ending.ABANDONED]),
)


@settings(max_examples=examples(150), deadline=None)
@given(st.lists(_calls, min_size=1, max_size=25))
def test_reused_and_lost_are_the_potential(calls: list[Any]) -> None:
    """In whatever order conversations grow, fork, change and fail: reused + lost = potential, and losses have a reason."""
    traffic, books = Traffic(), Books()
    try:
        for messages, identity, model, system, tokens, cached, ending in calls:
            prompt = [{"role": "system", "content": system}, *messages]
            asked = traffic.ask(prompt, identity, model=model)
            verdict = traffic.answer(asked, tokens, cached, ending)
            if verdict is None:
                continue
            assert 0 <= verdict.lost <= (verdict.potential or 0)
            assert (verdict.reason is None) == (verdict.outcome == names.REUSED)
            assert bool(verdict.lost) == (verdict.outcome in (names.PARTIAL, names.MISSED))
            if verdict.reason is not None:
                assert (verdict.cause, verdict.confidence) == names.REASONS[verdict.reason]
            books.record(asked[0], tokens, cached, verdict)
        sums = books.sums()
        assert sums["reused_tokens"] + sums["lost_tokens"] == sums["potential_tokens"]
    finally:
        books.close()


def test_every_export_adds_up_under_load() -> None:
    """While threads record, each single export has reused + lost = potential."""
    books, stop, exports = Books(), threading.Event(), 0
    traffic = Traffic()
    traffic.call(conversation(1), 4096)
    asked = traffic.ask(conversation(2))
    verdict = traffic.answer(asked, 4096, 1024)
    assert verdict is not None
    assert verdict.lost

    def work() -> None:
        while not stop.is_set():
            books.record(asked[0], 4096, 1024, verdict)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        until = time.monotonic() + 2
        while time.monotonic() < until:
            sums = books.sums()
            assert sums["reused_tokens"] + sums["lost_tokens"] == sums["potential_tokens"]
            exports += 1
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        books.close()
    assert exports > 10
    assert sums["potential_tokens"] > 0


# --- cost -----------------------------------------------------------------------------------------------------------


@pytest.mark.timing
def test_a_long_prompt_costs_less_than_half_of_reading_it() -> None:
    """Fingerprint and look-up of 200 messages of 1.2 kB take at most half the time that ``json.loads`` takes."""
    words = random.Random(3)
    texts = ["\n".join(" ".join(words.choices(WORDS, k=12)) for _ in range(14)) for _ in range(201)]
    messages = [(assistant if index % 2 else user)(text) for index, text in enumerate(texts)]
    body = json.dumps({"model": "grok-4.7", "messages": messages}).encode()
    added, whole = [], []
    for _ in range(20):
        traffic = Traffic()
        traffic.call(messages[:-2], 50_000, identity="chat")
        plain = seconds(lambda: read_request(CHAT, "api.x.ai", 443, HEADERS, body))
        observed = seconds(
            lambda: traffic.ledger.issued(  # noqa: B023  called at once
                read_request(CHAT, "api.x.ai", 443, HEADERS, body, traffic.fingerprinter)[1],  # noqa: B023
                traffic.moment,  # noqa: B023
            )
        )
        added.append(observed - plain)
        whole.append(seconds(lambda: json.loads(body)))
    assert statistics.median(added) < 0.5 * statistics.median(whole)


def seconds(work: Any) -> float:
    """How long something takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started

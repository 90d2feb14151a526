"""Prices: what cached tokens save, by the real library, loaded in a thread of its own and never missed when it is not there."""

import importlib
import importlib.util
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from opentelemetry.instrumentation.xai import prices as module
from opentelemetry.instrumentation.xai.conventions import TICKS_PER_USD
from opentelemetry.instrumentation.xai.prices import Prices

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("genai_prices") is None, reason="prices need the library genai-prices"
)

MILLION = 1_000_000
SMALL, LARGE = 199_999, 200_000  # xAI's higher rate is that of all tokens of a prompt of 200,000 or more


@pytest.fixture(scope="module")
def loaded() -> Prices:
    """Prices that are known."""
    prices = Prices()
    prices.start()
    assert prices.wait(60)
    return prices


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """An import that lasts until the event is set; set after the test in any case."""
    go_on, imported = threading.Event(), module._imported

    def hold() -> Any:
        go_on.wait(30)
        return imported()

    monkeypatch.setattr(module, "_imported", hold)
    yield go_on
    go_on.set()
    module._await_loading()


def usd(amount: int) -> float:
    """An amount in dollars."""
    return amount / TICKS_PER_USD


def a_library(calc_price: Callable[..., Any]) -> Any:
    """A stand-in for the library."""
    return SimpleNamespace(calc_price=calc_price, Usage=SimpleNamespace)


@pytest.mark.parametrize(
    ("model", "uncached", "cached", "uncached_large", "cached_large"),
    [
        ("grok-4.7", 2.00, 0.50, 4.00, 1.00),
        ("grok-4.6", 2.00, 0.50, 4.00, 1.00),
        ("grok-4.5", 2.00, 0.30, 4.00, 0.60),
        ("grok-4.3", 1.25, 0.20, 2.50, 0.40),
        ("grok-build-0.1", 1.00, 0.20, 2.00, 0.40),
        ("grok-4-1-fast-reasoning", 0.20, 0.05, 0.20, 0.05),
        ("grok-4-1-fast-non-reasoning", 0.20, 0.05, 0.20, 0.05),
        ("grok-code-fast-1", 0.20, 0.02, 0.20, 0.02),
        ("grok-4-0709", 3.00, 0.75, 3.00, 0.75),
        ("grok-3", 3.00, 0.75, 3.00, 0.75),
        ("grok-3-mini", 0.30, 0.075, 0.30, 0.075),
    ],
)
def test_what_xai_asks(
    loaded: Prices, model: str, uncached: float, cached: float, uncached_large: float, cached_large: float
) -> None:
    """Savings are the difference of xAI's prices per million tokens, and from 200,000 input tokens on all are at the higher rate."""
    for input_tokens, saved in ((SMALL, uncached - cached), (LARGE, uncached_large - cached_large)):
        amounts = loaded.savings(model, input_tokens, MILLION, 2 * MILLION)
        assert amounts is not None
        assert [usd(amount) for amount in amounts] == pytest.approx([saved, 2 * saved])


def test_amounts_are_exact(loaded: Prices) -> None:
    """A single token is priced to the ten-billionth of a dollar, in whole numbers."""
    assert loaded.savings("grok-4.7", 5000, 1, 0) == (15_000, 0)
    assert loaded.savings("grok-3-mini", 5000, 128, 1) == (128 * 2250, 2250)
    assert loaded.savings("grok-4.7", 0, 0, 0) == (0, 0)


def test_more_cached_than_input(loaded: Prices) -> None:
    """A cached count above the input, which has been seen, is priced like any other."""
    assert loaded.savings("grok-4.6", 4142, 4328, 0) == (4328 * 15_000, 0)


@pytest.mark.parametrize("model", ["grok-4.7-latest", "grok-4.7-20260921", "x-ai/grok-4.7", "xai/grok-4.7", "Grok-4.7"])
def test_other_names_of_a_model(loaded: Prices, model: str) -> None:
    """Aliases and dated names are what the library makes of them, with or without a gateway's prefix."""
    assert loaded.savings(model, 1000, 1, 1) == (15_000, 15_000)


@pytest.mark.parametrize("model", ["grok-99", "gpt-4o", "", "xai/", "grok-4.7-mine", None])
def test_an_unknown_model_has_no_price(loaded: Prices, model: str | None, caplog: pytest.LogCaptureFixture) -> None:
    """What the library does not know, and what another provider sells, is never guessed at, and nobody is told."""
    caplog.set_level(logging.DEBUG)
    added: list[Any] = []
    assert loaded.savings(model, 1000, 1, 1) is None
    loaded.count(model, 1000, 1, 1, lambda *amounts: added.append(amounts))
    assert added == []
    assert caplog.records == []


@pytest.mark.parametrize("model", ["grok-2", "grok-voice-latest"])
def test_without_a_price_for_cached_tokens_there_is_none(loaded: Prices, model: str) -> None:
    """A model of which cached tokens have no price, or that is not sold by tokens, is like an unknown one."""
    assert loaded.savings(model, 1000, 1, 1) is None


def test_counting_when_prices_are_known(loaded: Prices) -> None:
    """Amounts are added at once, in the caller's thread."""
    added: list[Any] = []
    loaded.count("grok-4.3", 1000, 100, 10, lambda *amounts: added.append((*amounts, threading.current_thread())))
    assert added == [(100 * 10_500, 10 * 10_500, threading.current_thread())]


@pytest.mark.timing
def test_what_was_asked_too_early_is_added_later(slow: threading.Event) -> None:
    """Calls that end while the library is being loaded do not wait, and none of their money is lost."""
    prices, added = Prices(), []
    started = time.perf_counter()
    for _ in range(100):
        prices.count("grok-4.7", 1000, 2, 3, lambda saved, lost: added.append((saved, lost)))
    assert time.perf_counter() - started < 1
    assert added == []
    assert prices.savings("grok-4.7", 1000, 2, 3) is None
    assert not prices.wait(0.01)
    slow.set()
    assert prices.wait(30)
    assert added == [(30_000, 45_000)] * 100
    prices.count("grok-4.7", 1000, 1, 0, lambda saved, lost: added.append((saved, lost)))
    assert added[100:] == [(15_000, 0)]


def test_the_import_is_not_in_the_callers_thread() -> None:
    """The library and what it brings along are imported by another thread, and only when there is something to price."""
    code = """
import sys, threading
from opentelemetry.instrumentation.xai.prices import Prices
where = []
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("genai_prices", "pydantic"):
            where.append(threading.current_thread().name)
sys.meta_path.insert(0, Finder())
prices, added = Prices(), []
assert prices.wait(60) and "genai_prices" not in sys.modules
prices.count("grok-4.7", 1000, 1, 1, lambda *amounts: added.append(amounts))
assert prices.wait(60)
assert added == [(15000, 15000)], added
looked, *imported = where  # the caller only asks whether it is there
print(looked, sorted(set(imported)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout, done.returncode) == ("MainThread ['xai-prices']\n", 0), done.stderr


def test_loading_begins_once(slow: threading.Event) -> None:
    """However often it is asked for, there is one thread."""
    prices = Prices()
    for _ in range(10):
        prices.start()
        prices.count("grok-4.7", 1, 1, 1, lambda *_: None)
    assert sum(thread.name == "xai-prices" for thread in threading.enumerate()) == 1
    slow.set()
    assert prices.wait(30)


def test_many_threads(slow: threading.Event) -> None:
    """Calls that end around the moment at which prices become known are each counted once."""
    prices, lock, total = Prices(), threading.Lock(), [0, 0]

    def add(saved: int, lost: int) -> None:
        with lock:
            total[0] += saved
            total[1] += lost

    def ask() -> None:
        for number in range(500):
            prices.count(f"grok-4.{5 + number % 3}", 1000, 1, 2, add)
            if number == 100:
                slow.set()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert prices.wait(30)
    rates = [(17_000, 15_000, 15_000)[number % 3] for number in range(500)]
    assert total == [8 * sum(rates), 16 * sum(rates)]


@pytest.mark.parametrize("spec", [None, ValueError("genai_prices.__spec__ is None")])
def test_without_the_library_there_are_no_prices(monkeypatch: pytest.MonkeyPatch, spec: Exception | None) -> None:
    """Where the extra is not installed, nothing is started, kept, waited for or added."""

    def find_spec(_name: str) -> None:
        if spec is not None:
            raise spec

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    prices, added = Prices(), []
    prices.count("grok-4.7", 1000, 1, 1, lambda *amounts: added.append(amounts))
    assert not [thread for thread in threading.enumerate() if thread.name == "xai-prices"]
    assert prices.wait(0)
    assert (prices.savings("grok-4.7", 1000, 1, 1), prices._owed, added) == (None, None, [])


@pytest.mark.parametrize("error", [ImportError("secret"), RuntimeError("secret"), TypeError("secret")])
def test_a_broken_library_is_like_none(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    """A library that cannot be imported costs one line of debug output, without what the error says."""

    def broken(_name: str) -> None:
        raise error

    monkeypatch.setattr(importlib, "import_module", broken)
    caplog.set_level(logging.DEBUG)
    prices, added = Prices(), []
    for _ in range(5):
        prices.count("grok-4.7", 1000, 1, 1, lambda *amounts: added.append(amounts))
    assert prices.wait(30)
    prices.count("grok-4.7", 1000, 1, 1, lambda *amounts: added.append(amounts))
    assert (prices._owed, added) == (None, [])
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (
        logging.DEBUG,
        f"No prices from genai_prices: {type(error).__name__}.",
    )


def test_where_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the end of a process Python starts no more threads: then there are no prices, and nobody waits for them."""

    def start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", start)
    prices = Prices()
    prices.count("grok-4.7", 1000, 1, 1, lambda *_: None)
    assert prices.wait(0)
    assert prices._owed is None
    assert not module._under_way


def test_a_library_that_fails_later(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A model whose price cannot be worked out has none, and is not tried again."""
    tried = []

    def calc_price(usage: Any, model: str, provider_id: str) -> Any:
        tried.append(model)
        raise ValueError("secret")

    caplog.set_level(logging.DEBUG)
    prices = Prices()
    monkeypatch.setattr(module, "_imported", lambda: a_library(calc_price))
    prices.start()
    assert prices.wait(30)
    assert [prices.savings("grok-4.7", 1000, 1, 1) for _ in range(5)] == [None] * 5
    assert tried == ["grok-4.7"]
    assert [record.getMessage() for record in caplog.records] == ["No prices from genai_prices: ValueError."]


def test_a_call_that_ends_while_a_price_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A garbage collection in the middle may end another call in the same thread, which is then counted too."""
    added: list[Any] = []
    nested: list[int] = []

    def calc_price(usage: Any, model: str, provider_id: str) -> Any:
        if model == "m" and not nested:
            nested.append(1)
            prices.count("m", 1, 1, 0, lambda *amounts: added.append(amounts))
        cached = getattr(usage, "cache_read_tokens", 0)
        return SimpleNamespace(total_price=usage.input_tokens - cached, model_price=SimpleNamespace())

    prices = Prices()
    monkeypatch.setattr(module, "_imported", lambda: a_library(calc_price))
    prices.start()
    assert prices.wait(30)
    prices.count("m", 1, 2, 0, lambda *amounts: added.append(amounts))
    assert added == [(TICKS_PER_USD, 0), (2 * TICKS_PER_USD, 0)]


def test_the_library_is_asked_once_for_each_tier(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many calls there are, each tier of a model is worked out once, at an input that belongs to it."""
    asked = []

    def calc_price(usage: Any, model: str, provider_id: str) -> Any:
        cached = getattr(usage, "cache_read_tokens", 0)
        asked.append((usage.input_tokens, cached))
        rate = 3 if usage.input_tokens > 1000 else 2 if usage.input_tokens > 100 else 1
        tiers = [SimpleNamespace(start=1000), SimpleNamespace(start=100)]
        return SimpleNamespace(
            total_price=(usage.input_tokens - cached) * rate,
            model_price=SimpleNamespace(input_mtok=SimpleNamespace(tiers=tiers), output_mtok=1),
        )

    monkeypatch.setattr(module, "_imported", lambda: a_library(calc_price))
    prices = Prices()
    prices.start()
    assert prices.wait(30)
    for _ in range(5):
        for tokens, rate in ((0, 1), (100, 1), (101, 2), (1000, 2), (1001, 3), (10**6, 3)):
            assert prices.savings("m", tokens, 7, 0) == (7 * rate * TICKS_PER_USD, 0)
    assert asked == [(1, 0), (1, 0), (1, 1), (101, 0), (101, 101), (1001, 0), (1001, 1001)]


def test_what_is_kept_is_bounded(slow: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither calls that wait for prices nor names of models grow without end."""
    monkeypatch.setattr(module, "_MOST_OWED", 50)
    prices, added = Prices(), []
    for _ in range(80):
        prices.count("grok-4.7", 1, 1, 1, lambda *amounts: added.append(amounts))
    slow.set()
    assert prices.wait(30)
    assert len(added) == 50
    for number in range(2 * module._MOST_MODELS):
        assert prices.savings(f"model-{number}", 1, 1, 1) is None
    assert len(prices._models) == module._MOST_MODELS
    assert prices.savings("grok-4.7", 1, 1, 1) == (15_000, 15_000)
    assert prices.savings("grok-4.6", 1, 1, 1) is None  # came too late, and is not guessed at


FORK = """
import os, signal, sys, threading, time
from opentelemetry.instrumentation.xai import prices as module
prices, added = module.Prices(), []
def ask():
    prices.count("grok-4.7", 1000, 1, 1, lambda *amounts: added.append(amounts))
def child_of(work):
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        os._exit(7 if work() else 8)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""


def run(code: str) -> str:
    """The output of a program that forks; Python warns of forks beside threads from 3.12 on."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK + code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@needs_fork
def test_a_fork_waits_for_an_import(tmp_path: Any) -> None:
    """A child never finds a module half imported by a thread that it does not have; its own calls are priced."""
    code = """
ask()
time.sleep(0.02)  # into the import
def work():
    import pydantic, genai_prices
    ask()
    return prices.wait(20) and added == [(15000, 15000)] * 2
print(child_of(work), prices.wait(60), added)
"""
    assert run(code) == "7 True [(15000, 15000)]\n"


@needs_fork
def test_a_child_begins_anew() -> None:
    """Where a fork came in the middle all the same, the child has a lock and a loader of its own, and what was owed is kept."""
    code = """
asked, held, release, imported = threading.Event(), threading.Event(), threading.Event(), module._imported
module._PATIENCE_S = 0.1
parent = os.getpid()
def hold():
    if os.getpid() == parent and asked.wait(60):
        with prices._lock:
            held.set()
            release.wait(60)
    return imported()
module._imported = hold
ask()
asked.set()
held.wait(60)
def work():
    started = time.perf_counter()
    if child_of(lambda: time.perf_counter() - started < 5) != 7:  # nor does a fork of the child wait for what never ends
        return False
    ask()
    return prices.wait(20) and added == [(15000, 15000)] * 2
print(child_of(work))
release.set()
print(prices.wait(60), added)
"""
    assert run(code) == "7\nTrue [(15000, 15000)]\n"


@needs_fork
def test_a_child_knows_what_its_parent_knew() -> None:
    """A fork after loading copies the prices: a child starts no thread."""
    code = """
ask()
assert prices.wait(60)
def work():
    ask()
    return added == [(15000, 15000)] * 2 and prices.wait(0) and threading.active_count() == 1
print(child_of(work))
"""
    assert run(code) == "7\n"


def test_the_end_of_a_process_waits_for_an_import() -> None:
    """A short script's only call is priced before the process ends, and the process ends well."""
    code = """
from opentelemetry.instrumentation.xai.prices import Prices
Prices().count("grok-4.7", 1000, 1, 1, lambda *amounts: print(amounts, flush=True))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "(15000, 15000)\n", "")


def test_the_network_is_left_alone() -> None:
    """Loading and asking open no socket: the prices are those that the library came with."""
    code = """
import sys
used = []
sys.addaudithook(lambda event, args: used.append(event) if event.startswith("socket.") else None)
from opentelemetry.instrumentation.xai.prices import Prices
prices = Prices()
prices.start()
assert prices.wait(60) and prices.savings("grok-4.7", 1000, 1, 1)
print(used)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr

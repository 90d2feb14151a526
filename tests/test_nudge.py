"""A signal that interrupts nothing is sent again, until its handler has begun: in a process of its own each time."""

import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs signals for a thread")

MISSED = """
import multiprocessing, os, signal, sys, threading, time
from opentelemetry.instrumentation.xai.nudge import Nudge
begun = []
def handler(*_):
    begun.append(1)
    print("handled", flush=True)
    os._exit(0)
signal.signal(signal.SIGTERM, handler)
def miss():  # what another thread gets interrupts no wait of the main one, as what comes just before it does not
    time.sleep(0.3)
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
lock = multiprocessing.get_context("fork").Lock()
lock.acquire()
nudge = Nudge()
{before}
threading.Thread(target=miss, daemon=True).start()
lock.acquire()
"""
WATCH = "nudge.watch(signal.SIGTERM, lambda: not begun)"


def outcome(before: str, seconds: float) -> str:
    """What a program prints that waits for ever, and is sent a signal which it misses."""
    process = subprocess.Popen([sys.executable, "-c", MISSED.format(before=before)], stdout=subprocess.PIPE, text=True)
    try:
        return process.communicate(timeout=seconds)[0].strip()
    except subprocess.TimeoutExpired:
        return "waits"
    finally:
        process.kill()
        process.communicate()


def test_without_it_the_program_waits_on() -> None:
    """What this is for: the handler is never run."""
    assert outcome("", 3) == "waits"


def test_the_main_thread_is_woken() -> None:
    """The handler runs soon after."""
    began = time.monotonic()
    assert outcome(WATCH, 30) == "handled"
    assert time.monotonic() - began < 15


def test_what_is_no_longer_due_is_not_sent() -> None:
    """A program that has given the signal another handler since is left alone."""
    assert outcome(WATCH.replace("not begun", "False"), 3) == "waits"


def test_what_somebody_else_is_told_by_stays_his() -> None:
    """An event loop's file descriptor is in its place, and nothing of ours is started."""
    program = f"""
import os, signal, threading
from opentelemetry.instrumentation.xai.nudge import Nudge
begun, (reading, writing), nudge = [], os.pipe(), Nudge()
os.set_blocking(writing, False)
signal.set_wakeup_fd(writing)
{WATCH}
print(signal.set_wakeup_fd(-1) == writing, threading.active_count())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "True 1\n"


def test_a_forked_child_does_not_wake_its_parent() -> None:
    """What comes to a child is its own, and it may watch for itself."""
    program = f"""
import os, signal
from opentelemetry.instrumentation.xai.nudge import Nudge
begun, nudge = [], Nudge()
{WATCH}
child = os.fork()
if child == 0:
    free = signal.set_wakeup_fd(-1) == -1
    {WATCH}
    os._exit(0 if free and signal.set_wakeup_fd(-1) != -1 else 1)
print(os.waitpid(child, 0)[1], signal.set_wakeup_fd(-1) != -1)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "0 True\n"

"""That a signal which has a handler is not missed by a main thread which has just begun to wait.

Python runs a handler in the main thread, between two of its steps. A signal that comes behind the last step before a
wait in C interrupts nothing, and its handler runs when that wait is over: perhaps never. Workers of ``multiprocessing``
wait so for a lock that a pool keeps once it terminates them, right then. Without a handler the signal would have ended
them, and the pool would not wait for them in vain. So whoever sets one there sees to it that it is run.

The interpreter writes a byte to a file descriptor the moment a signal comes (``signal.set_wakeup_fd``). A thread reads
it, and if the handler has not begun a little later sends the signal again, to the main thread: that interrupts it.
"""

import os
import signal
import threading
import time
from collections.abc import Callable

from .forking import after_fork

_PATIENCE_S = 0.1


class Nudge:
    """What wakes the main thread of this process."""

    def __init__(self) -> None:
        self._ends: tuple[int, int] | None = None
        after_fork(self)

    def forked(self) -> None:
        """Wake nobody for a forked child: what reads of its signals is in the parent."""
        ends, self._ends = self._ends, None
        if ends is not None:
            current = signal.set_wakeup_fd(-1)
            if current != ends[1]:
                signal.set_wakeup_fd(current)
            for end in ends:
                os.close(end)

    def watch(self, number: int, is_due: Callable[[], bool]) -> None:
        """Whenever this signal has come, send it again as long as its handler ``is_due``. From the main thread only."""
        if self._ends is not None or not hasattr(signal, "pthread_kill"):
            return
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        current = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        if current != -1:  # somebody else's, an event loop's perhaps
            signal.set_wakeup_fd(current)
            os.close(reading)
            os.close(writing)
            return
        self._ends = reading, writing
        threading.Thread(target=_wake, args=(reading, number, is_due), name="xai-nudge", daemon=True).start()


def _wake(reading: int, number: int, is_due: Callable[[], bool]) -> None:
    main = threading.main_thread().ident
    while main is not None:
        if number in os.read(reading, 64):
            time.sleep(_PATIENCE_S)
            while is_due():
                signal.pthread_kill(main, number)
                time.sleep(_PATIENCE_S)

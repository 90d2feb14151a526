"""What cached tokens save in money, by the prices that the library ``genai-prices`` came with (extra ``prices``).

They are list prices: no batch, priority or regional factor, and the network is never asked for newer ones. Importing
the library takes a fifth of a second, and most of one the first time, so a thread of its own does that, and what is
asked meanwhile is owed. What that takes:

* The thread starts with the first call that has something to price, when the application's own imports are done: two
  threads that import parts of one package at a time can each be handed a half-made module.
* Neither a fork nor the end of the process may fall into an import. A forked child would find modules locked by a
  thread that it does not have, and hang when it imports them; a thread that is ended inside of native code can abort
  the process. Both wait, for five seconds at the most.
"""

import atexit
import importlib
import importlib.util
import logging
import os
import threading
from bisect import bisect_left
from collections.abc import Callable
from contextlib import suppress
from types import ModuleType
from typing import Final, TypeAlias

from .conventions import TICKS_PER_USD
from .forking import after_fork
from .guard import guarded

_logger = logging.getLogger(__name__)
_LIBRARY: Final = "genai_prices"
_PROVIDER: Final = "x-ai"
_PREFIXES: Final = ("xai/", "x-ai/")  # as gateways write them; the library knows some models with them and others not
_MILLION: Final = 1_000_000
_MOST_MODELS: Final = 256
_MOST_OWED: Final = 10_000
_PATIENCE_S: Final = 5.0

Add: TypeAlias = Callable[[int, int], None]
"""Takes what was saved and what was lost, in ten-billionths of a dollar."""
_Question: TypeAlias = tuple[str | None, int, int, int, Add]
_Tiers: TypeAlias = tuple[list[int], list[int | None]]
"""The input tokens above which each further tier begins, and per tier what a million cached tokens save, if known."""

_under_way: set[threading.Event] = set()
"""One for each library that is being loaded; set when it is done."""


class Prices:
    """Says what cached tokens saved and what lost ones cost, now or as soon as prices are known."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a forgotten stream may be collected, and so counted, while it is held
        self._started = False
        self._done = threading.Event()
        self._owed: list[_Question] | None = []
        """What was asked too early; ``None`` once nothing more has to wait."""
        self._library: ModuleType | None = None
        self._models: dict[str, _Tiers | None] = {}
        after_fork(self)

    def forked(self) -> None:
        """Begin anew in a child where loading had not ended. What is owed stays so: counters keep their sums too."""
        _under_way.clear()
        self._lock = threading.RLock()
        self._done = threading.Event()
        if self._owed is None:
            self._done.set()
        else:
            self._started = False

    @property
    def absent(self) -> bool:
        """Whether there is no library, so that asking is in vain."""
        return self._owed is None and self._library is None

    def start(self) -> None:
        """Begin to load the library in a thread, if it is installed; another time nothing happens."""
        with self._lock:
            if self._started:
                return
            self._started = True
        try:
            if importlib.util.find_spec(_LIBRARY) is not None:
                _under_way.add(self._done)
                threading.Thread(target=self._load, name="xai-prices", daemon=True).start()
                return
        except Exception as error:
            _not_usable(error)
        self._settle_all()

    def wait(self, timeout_s: float) -> bool:
        """Wait until nothing is owed any more; false where it took too long. Without a start there is no waiting."""
        return not self._started or self._done.wait(timeout_s)

    def count(self, model: str | None, input_tokens: int, cached_tokens: int, lost_tokens: int, add: Add) -> None:
        """Call ``add`` with the two amounts: at once, or from another thread when prices are known, or never."""
        if self._owed is None or not self._owe((model, input_tokens, cached_tokens, lost_tokens, add)):
            amounts = self.savings(model, input_tokens, cached_tokens, lost_tokens)
            if amounts is not None:
                add(*amounts)

    def savings(
        self, model: str | None, input_tokens: int, cached_tokens: int, lost_tokens: int
    ) -> tuple[int, int] | None:
        """What cached tokens cost less than uncached ones, and lost tokens more than cached ones.

        In ten-billionths of a dollar, at the rate that an input of this size has. ``None`` where the library is not
        there (yet), or knows no price, or none for cached tokens.
        """
        if model is None or self._library is None:
            return None
        try:
            tiers = self._models[model]
        except KeyError:
            tiers = self._look_up(model, self._library)
        if tiers is None:
            return None
        starts, rates = tiers
        rate = rates[bisect_left(starts, input_tokens)]
        if rate is None:
            return None
        return cached_tokens * rate // _MILLION, lost_tokens * rate // _MILLION

    def _look_up(self, model: str, library: ModuleType) -> _Tiers | None:
        with self._lock:
            # The library never forgets a name that it was asked for, so that too is bounded here.
            if model not in self._models and len(self._models) < _MOST_MODELS:
                self._models[model] = _tiers(library, model)
            return self._models.get(model)

    def _owe(self, question: _Question) -> bool:
        """Keep a question for later; false where it can be answered now."""
        self.start()
        with self._lock:
            if self._owed is None:
                return False
            if len(self._owed) < _MOST_OWED:
                self._owed.append(question)
            return True

    def _load(self) -> None:
        try:
            self._library = _imported()
        except Exception as error:
            _not_usable(error)
        finally:
            self._settle_all()

    def _settle_all(self) -> None:
        try:
            while owed := self._taken():
                for question in owed:
                    self._settle(question)
        finally:
            self._done.set()
            _under_way.discard(self._done)

    def _taken(self) -> list[_Question]:
        with self._lock:
            owed = self._owed or []
            self._owed = [] if owed else None
            return owed

    @guarded
    def _settle(self, question: _Question) -> None:
        model, input_tokens, cached_tokens, lost_tokens, add = question
        amounts = self.savings(model, input_tokens, cached_tokens, lost_tokens)
        if amounts is not None:
            add(*amounts)


def _imported() -> ModuleType:
    library = importlib.import_module(_LIBRARY)
    with suppress(LookupError):  # the data are read when a price is first asked for
        library.calc_price(library.Usage(input_tokens=1), "grok-4", provider_id=_PROVIDER)
    return library


def _tiers(library: ModuleType, model: str) -> _Tiers | None:
    """What the library says that cached tokens save in each tier of a model: the same usage, with them and without."""
    for prefix in _PREFIXES:
        model = model.removeprefix(prefix)
    try:
        prices = library.calc_price(library.Usage(input_tokens=1), model, provider_id=_PROVIDER).model_price
        starts = sorted({tier.start for price in vars(prices).values() for tier in getattr(price, "tiers", ())})
        return starts, [_saved_per_million(library, model, tokens) for tokens in (1, *(start + 1 for start in starts))]
    except LookupError:  # how the library says that it does not know a model
        return None
    except Exception as error:
        _not_usable(error)
        return None


def _saved_per_million(library: ModuleType, model: str, tokens: int) -> int | None:
    uncached, cached = (
        library.calc_price(
            library.Usage(input_tokens=tokens, cache_read_tokens=cached_tokens), model, provider_id=_PROVIDER
        ).total_price
        for cached_tokens in (0, tokens)
    )
    saved = round((uncached - cached) * TICKS_PER_USD * _MILLION / tokens)
    return saved if saved > 0 else None  # without a price of their own, cached tokens cost as much as others


def _not_usable(error: Exception) -> None:
    _logger.debug("No prices from %s: %s.", _LIBRARY, type(error).__name__)


def _await_loading() -> None:
    for done in tuple(_under_way):
        done.wait(_PATIENCE_S)


atexit.register(_await_loading)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_await_loading)

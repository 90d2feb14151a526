"""What requests that are none of ours pay: a method of any shape is called as it would be, past a cheap question."""

import asyncio
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import attrgetter
from types import FrameType, SimpleNamespace
from typing import Any

import pytest

from clients.replay import replaying
from opentelemetry.instrumentation.xai.clients.bystanders import let_pass, request_concerns, url_concerns
from opentelemetry.instrumentation.xai.wire.routes import Hosts

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"
DEFAULT = object()


def plain(self: Any, url: Any, body: Any = DEFAULT) -> Any:
    """Take all by name or by place."""
    return "original", self, url, body


def open_ended(self: Any, url: Any, **kwargs: Any) -> Any:
    """Take any keywords."""
    return "original", self, url, list(kwargs.items())


async def coroutine(self: Any, url: Any, body: Any = DEFAULT) -> Any:
    """Take the same in a coroutine."""
    return "original", self, url, body


def observing(original: Any) -> tuple[Any, list[Any]]:
    """A wrapper around a method for which only the URL ``ours`` is ours, and what came to be observed."""
    observed: list[Any] = []

    def observe(*args: Any, **kwargs: Any) -> Any:
        observed.append((args, kwargs))
        return original(*args, **kwargs)

    return let_pass(original, observe, lambda url: url == "ours", ("url",), ("timeout", "stream")), observed


@pytest.mark.parametrize("url", ["ours", "theirs"])
@pytest.mark.parametrize("original", [plain, open_ended])
def test_a_method_gets_what_it_was_given(original: Any, url: str) -> None:
    """By place or by name, with what was left out, whether or not it is observed."""
    wrapped, observed = observing(original)
    ways: list[Callable[[Any], Any]] = [
        lambda method: method(1, url),
        lambda method: method(1, url=url),
        lambda method: method(self=1, url=url),
    ]
    if original is plain:
        ways += [lambda method: method(1, url, 2), lambda method: method(1, body=None, url=url)]
    else:
        ways += [
            lambda method: method(1, url, timeout=None, stream=False),
            lambda method: method(1, url, timeout=0),
            lambda method: method(1, url, timeout=1, stream=True, more=2),
            lambda method: method(1, url, rest=3),
        ]
    for way in ways:
        assert way(wrapped) == way(original)
    unusual = [] if original is plain else [way for way in ways if way not in (ways[3], ways[5])]
    assert len(observed) == len(ways if url == "ours" else unusual)
    assert all(args == (1,) and kwargs["url"] == url for args, kwargs in observed)


@pytest.mark.parametrize("arguments", [(), (1,), (1, 2, 3, 4)])
def test_a_wrong_call_is_wrong(arguments: Any) -> None:
    """As it is for the method itself."""
    wrapped, observed = observing(plain)
    with pytest.raises(TypeError):
        wrapped(*arguments)
    assert observed == []


@pytest.mark.parametrize("url", ["ours", "theirs"])
def test_a_coroutine_stays_one(url: str) -> None:
    """Also for those who ask before they call."""
    wrapped, observed = observing(coroutine)
    assert inspect.iscoroutinefunction(wrapped)
    assert asyncio.run(wrapped(1, url)) == ("original", 1, url, DEFAULT)
    assert len(observed) == (url == "ours")


@pytest.mark.parametrize(
    "original",
    [
        lambda *args: args,
        lambda self, /, url: (self, url),
        lambda self, url, *, body=1: (self, url, body),
        lambda self, link: (self, link),
        type("Callable", (), {"__call__": lambda _, *args: args})(),
    ],
    ids=["any", "by place only", "by name only", "without what is asked for", "no function"],
)
def test_a_method_of_another_shape_is_observed_always(original: Any) -> None:
    """Then it is for what observes to tell whose the call is."""
    wrapped, observed = observing(original)
    assert wrapped(1, "theirs") == original(1, "theirs")
    assert len(observed) == 1


def test_an_argument_that_became_one_of_the_methods_own_is_passed_by_its_place() -> None:
    """A newer version may name what an older one took among any keywords."""

    def newer(self: Any, url: Any, timeout: Any = DEFAULT, **kwargs: Any) -> Any:
        return self, url, timeout, kwargs

    wrapped, observed = observing(newer)
    assert wrapped(1, "theirs", stream=True) == (1, "theirs", DEFAULT, {"stream": True})
    assert wrapped(1, "theirs", timeout=5, stream=True) == (1, "theirs", 5, {"stream": True})
    assert observed == []


class Unaskable:
    """What cannot be asked what it has in it."""

    def __contains__(self, _name: object) -> bool:
        raise RuntimeError


@pytest.mark.parametrize("url", [None, 7, b"https://api.x.ai/v1", Unaskable()], ids=lambda url: type(url).__name__)
@pytest.mark.parametrize("question", [url_concerns, request_concerns])
def test_what_is_no_text_concerns_nobody(question: Any, url: Any) -> None:
    """An application may give whatever its client library takes, and hears nothing from us."""
    concerns = question(SimpleNamespace(observer=SimpleNamespace(hosts=Hosts())))
    assert concerns(url) is False
    assert concerns(SimpleNamespace(url=url)) is False


# --- what it costs ----------------------------------------------------------------------------------------------------


@contextmanager
def counting() -> Iterator[list[str]]:
    """Note the functions of ours that are called meanwhile."""
    called: list[str] = []

    def note(frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call" and str(frame.f_globals.get("__name__")).startswith("opentelemetry.instrumentation.xai"):
            called.append(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        yield called
    finally:
        sys.setprofile(None)


def by_requests(url: str) -> None:
    """With requests, and urllib3 beneath."""
    session = pytest.importorskip("requests").Session
    with session() as requests:
        requests.post(url, json={}, timeout=5)


def by_niquests(url: str) -> None:
    """With niquests, and urllib3-future beneath."""
    session = pytest.importorskip("niquests").Session
    with session() as niquests:
        niquests.post(url, json={}, timeout=5)


def by_urllib3(url: str) -> None:
    """With a manager of pools."""
    with pytest.importorskip("urllib3").PoolManager() as manager:
        manager.request("POST", url, body=b"{}")


WAYS = {
    by_requests: ["method", "concerns", "method", "method", "concerns", "method", "method", "concerns"],
    by_niquests: ["method", "concerns", "method", "method", "concerns"],
    by_urllib3: ["urlopen", "concerns", "method", "concerns"],
}


@pytest.mark.parametrize("way", WAYS)
def test_a_bystander_pays_for_a_question_where_one_is_asked(way: Callable[[str], None], instrument: Any) -> None:
    """Each method that is wrapped is one call more, and to ask is another: whatever else would be paid by all traffic."""
    instrument(hosts="gateway.example")
    with replaying(ANSWER) as url:
        way(url)  # what is looked up the first time
        with counting() as called:
            way(url)
    assert called == WAYS[way]


METHODS = [
    ("requests", "Session.request"),
    ("requests.adapters", "HTTPAdapter.send"),
    ("urllib3", "HTTPConnectionPool.urlopen"),
]


@pytest.mark.parametrize(("library", "name"), METHODS)
def test_what_is_given_with_a_dozen_keywords_is_not_collected(library: str, name: str, instrument: Any) -> None:
    """The wrapper's parameters are those of the method, for a dictionary of them costs several times the question."""
    method = attrgetter(name)(pytest.importorskip(library))
    instrument()
    wrapped = attrgetter(name)(sys.modules[library])
    assert wrapped is not method
    own = inspect.signature(wrapped, follow_wrapped=False)
    assert own.parameters.keys() == inspect.signature(method).parameters.keys()

"""Calls that are none of ours: they pass through our wrappers at the price of one cheap question.

A wrapper that takes whatever comes (``*args, **kwargs``) makes a tuple and a dictionary of it, and takes them apart
again: with the dozen keywords that client libraries give each other, that costs ten times what the question does. So a
method is given a wrapper with the very parameters that it has itself, which hands them on by their places. As they
differ between versions, it is made of what the method says of itself, as ``dataclasses`` makes an ``__init__``.

The question may be answered yes too often, never no: whoever is let in looks again.
"""

from collections.abc import Callable, Sequence
from inspect import CO_COROUTINE, CO_VARARGS, CO_VARKEYWORDS
from types import FunctionType
from typing import Any

from ..guard import fault
from . import CurrentObserver

_ABSENT = object()
_TEMPLATE = """
{define} method({parameters}):
    if {question}:
        return {wait}_observed({given})
{rest}    return {wait}_original({arguments})
"""
_REST = """    if {rest}:
        return {wait}_original({arguments}, **{rest})
"""
"""With no other keywords, which is as it mostly is, they are not passed on: that is cheaper."""


def let_pass(
    original: Any, observed: Any, concerns: Callable[..., Any], asked: Sequence[str] = (), usual: Sequence[str] = ()
) -> Any:
    """A wrapper of ``original`` that calls it, unless what ``concerns`` returns is true: then it calls ``observed``.

    ``concerns`` is given the arguments whose names are ``asked``, and never raises. Of a method that takes any keywords
    ``usual`` are those that it is given as a rule; when it is not given them all, ``observed`` is called, too. That one
    gets all but the first by name.

    Somebody else's wrapper, or a method that takes its arguments in another way, has no wrapper but ``observed``.
    """
    if type(original) is not FunctionType:
        return observed
    code = original.__code__
    places = code.co_varnames[: code.co_argcount]
    if code.co_flags & CO_VARARGS or code.co_kwonlyargcount or code.co_posonlyargcount or not {*asked} <= {*places}:
        return observed
    parameters, arguments, question = [*places], [*places], [f"_concerns({', '.join(asked)})"]
    given = [*places[:1], *(f"{name}={name}" for name in places[1:])]
    define, wait, passing_rest = ("async def", "await ", "") if code.co_flags & CO_COROUTINE else ("def", "", "")
    if code.co_flags & CO_VARKEYWORDS:
        rest, usual = code.co_varnames[code.co_argcount], [name for name in usual if name not in places]
        keywords = [f"{name}={name}" for name in usual]
        parameters += ["*"] * bool(usual) + [f"{name}=_ABSENT" for name in usual] + [f"**{rest}"]
        arguments += keywords
        given += [f"**_given({', '.join([rest, *keywords])})"]
        question = [*(f"{name} is _ABSENT" for name in usual), *question]
        passing_rest = _REST.format(rest=rest, wait=wait, arguments=", ".join(arguments))
    source = _TEMPLATE.format(
        define=define,
        wait=wait,
        rest=passing_rest,
        parameters=", ".join(parameters),
        question=" or ".join(question),
        given=", ".join(given),
        arguments=", ".join(arguments),
    )
    space = {"_concerns": concerns, "_observed": observed, "_original": original, "_given": _given, "_ABSENT": _ABSENT}
    space["__name__"] = __name__
    exec(compile(source, f"<{__name__}>", "exec"), space)  # noqa: S102  made of nothing but names of parameters
    method: Any = space["method"]
    method.__defaults__ = original.__defaults__
    return method


def _given(rest: dict[str, Any], /, **usual: Any) -> dict[str, Any]:
    """The keywords that were given."""
    return {**{name: value for name, value in usual.items() if value is not _ABSENT}, **rest}


def url_concerns(current: CurrentObserver) -> Callable[[Any], bool]:
    """The question whether a request to a URL may be ours."""

    def concerns(url: Any) -> bool:
        try:
            observer = current.observer
            if observer is not None:
                for name in observer.hosts.names:
                    if name in url:
                        return True
        except Exception:  # whatever it is, it is no text: the request that is prepared of it has one
            return False
        return False

    return concerns


def request_concerns(current: CurrentObserver) -> Callable[[Any], bool]:
    """The same of a request that is prepared."""

    def concerns(request: Any) -> bool:
        try:
            observer = current.observer
            if observer is not None:
                url = request.url
                for name in observer.hosts.names:
                    if name in url:
                        return True
        except Exception:  # nor a request that could be sent
            return False
        return False

    return concerns


def pool_concerns(current: CurrentObserver) -> Callable[[Any], bool]:
    """The same of what a pool of connections sends."""

    def concerns(pool: Any) -> bool:
        try:
            observer = current.observer
            return observer is not None and observer.hosts[pool.host]
        except Exception as error:
            fault("pool_concerns", error)
            return False

    return concerns

"""For test suites of applications: fail where a request would break the cache of the one before.

``assert_cache_stable`` takes the bodies of consecutive requests. The fixture ``xai_cache_stable``, which pytest finds
by itself where this package is installed, takes them from the client library while a test runs.
"""

import json
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from ..stability import Body, predict
from .report import report


def assert_cache_stable(*bodies: Mapping[str, Any] | str | bytes) -> None:
    """Fail unless each request would reuse the cache of the one before; of each its body, as a dict or as JSON.

    Raises ``AssertionError`` that names section, index and reason, shows the place, and says what to do; ``TypeError``
    or ``ValueError`` for what are no request bodies. Conversation ids that are sent in a header are not seen.
    """
    __tracebackhide__ = True
    if len(bodies) < 2:
        raise TypeError(f"give two or more request bodies, each as an argument (*bodies), not {len(bodies)}")
    requests = [_read(place, body) for place, body in enumerate(bodies, 1)]
    for place, (earlier, later) in enumerate(pairwise(requests), 1):
        found = predict(earlier, later)
        if not found.stable:
            raise AssertionError(report(found, f"request {place}", f"request {place + 1}"))


def _read(place: int, body: Any) -> Body:
    __tracebackhide__ = True
    try:
        return Body.read(_content(body))
    except (TypeError, ValueError) as error:
        raise type(error)(f"request {place}: {error}") from None


def _content(body: Any) -> bytes:
    __tracebackhide__ = True
    if isinstance(body, (bytes, bytearray)):
        return bytes(body)
    if isinstance(body, str):
        return body.encode("utf-8", "surrogatepass")
    if not isinstance(body, Mapping):
        raise TypeError(f"a body is a dict, or JSON as str or bytes, not {type(body).__name__}")
    try:
        return json.dumps(dict(body), separators=(",", ":")).encode()
    except RecursionError:
        raise ValueError("a dict that is nested too deeply") from None


__all__ = ["assert_cache_stable"]

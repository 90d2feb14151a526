"""Answers in outline: status, headers, and the delivery that will carry them.

The wire shapes come from elsewhere as JSON or events; the bytes are the delivery's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from starlette.datastructures import Headers, QueryParams
from starlette.responses import Response
from starlette.types import Scope

from xai_server.arrivals import Call
from xai_server.delivery import BodyDelivery, Pace, StreamDelivery
from xai_server.errors import ApiError, error_body
from xai_server.generation import Generation, new_id
from xai_server.prompt import JSON
from xai_server.sse import Event, disturbed, dump
from xai_server.trouble import Trouble

_RATE_LIMITS = {
    "x-ratelimit-limit-requests": "7200",
    "x-ratelimit-remaining-requests": "7199",
    "x-ratelimit-limit-tokens": "16000000",
    "x-ratelimit-remaining-tokens": "16000000",
}


@dataclass(frozen=True)
class Work:
    """A generation, its pace, and what is to be done once prefill is over."""

    generation: Generation
    pace: Pace
    on_prefilled: Callable[[], None]


def success(value: JSON, call: Call) -> Response:
    """Answer with JSON that was there already."""
    return BodyDelivery(200, _headers(limits=True), "application/json", _encode(value, call), call.trouble)


def not_ready(call: Call) -> Response:
    """Answer that a deferred completion is still under way: 202 without a body."""
    return BodyDelivery(202, _headers(limits=True), "application/json", b"", call.trouble)


def whole(call: Call, work: Work, events: Sequence[Event], value: JSON) -> Response:
    """Answer with a generation in one piece, after the time that its events would take."""
    first, last = work.pace.whole(events)
    deltas = sum(event.is_delta for event in events)

    def timing() -> dict[str, str]:
        # On a stream the headers leave before any of this is known, so it is only sent here.
        milliseconds = {
            "ttft": first - call.arrived,
            "e2e": asyncio.get_running_loop().time() - call.arrived,
            "mean-itl": (last - first) / max(1, deltas - 1),
        }
        return {f"x-metrics-{name}-ms": f"{1000 * seconds:.1f}" for name, seconds in milliseconds.items()}

    return BodyDelivery(
        200,
        _headers(limits=True),
        "application/json",
        _encode(value, call),
        call.trouble,
        prefilled_at=work.pace.empty(),
        ready_at=last,
        on_prefilled=work.on_prefilled,
        timing=timing,
    )


def stream(
    call: Call, work: Work, events: Sequence[Event], error: JSON | None, *, event_lines: bool = False
) -> Response:
    """Answer with a generation event by event; `error` is the event that breaks it off, if one does."""
    return StreamDelivery(
        {**_headers(limits=True), "cache-control": "no-cache"},
        disturbed(events, call.trouble, error),
        work.pace,
        call.trouble,
        on_prefilled=work.on_prefilled,
        event_lines=event_lines,
    )


def failure(error: ApiError, trouble: Trouble) -> Response:
    """Answer with an error; rate limits are only told on successes."""
    content_type, body = error_body(error.status, error.message, trouble.error or "flat")
    headers = _headers()
    if trouble.retry_after is not None:
        headers["retry-after"] = str(trouble.retry_after)
    return BodyDelivery(error.status, headers, content_type, body, trouble)


def forced(scope: Scope, headers: Headers, trouble: Trouble) -> Response | None:
    """Answer as a switch demands, before anyone looks at the request."""
    hop = QueryParams(scope["query_string"]).get("hop", "0")
    done = int(hop) if hop.isdecimal() else 0
    if trouble.redirect is not None and done < trouble.redirect:
        location = {"location": f"{scope['path']}?hop={done + 1}"}
        return BodyDelivery(307, {**_headers(), **location}, "text/plain", b"", trouble)
    if trouble.status is None and trouble.error is None:
        return None
    attempt = headers.get("x-stainless-retry-count", "0")
    if trouble.recovers is not None and attempt.isdecimal() and int(attempt) >= trouble.recovers:
        return None
    return failure(ApiError(trouble.status or 400, "This error was asked for."), trouble)


def _headers(*, limits: bool = False) -> dict[str, str]:
    return {"x-request-id": new_id(), "x-zero-data-retention": "false", **(_RATE_LIMITS if limits else {})}


def _encode(value: JSON, call: Call) -> bytes:
    return dump(value, call.trouble).encode()

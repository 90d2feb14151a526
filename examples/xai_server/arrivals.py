"""Requests as they arrive: reading them, keeping a record, letting them in.

What an endpoint may ask of its request is here too: the body with the fields it
needs, limits, parameters that a model refuses. What is answered is not known here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Receive

from xai_server.answers import is_reasoning
from xai_server.coding import coder_for
from xai_server.errors import ApiError
from xai_server.models import resolve
from xai_server.prompt import JSON
from xai_server.trouble import Trouble, TroubleError, parse_trouble

_MISFIT = "Failed to deserialize the JSON body into the target type"


@dataclass(frozen=True)
class RecordedRequest:
    """A request as it arrived."""

    method: str
    path: str
    headers: Headers
    body: bytes

    def json(self) -> Any:
        """Parse the body."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Call:
    """A request that was let in, with the switches in force for it."""

    arrived: float
    headers: Headers
    body: bytes
    trouble: Trouble
    path: str = ""


def call_of(request: Request) -> Call:
    """Find what the front door noted down about a request."""
    call: Call = request.scope["xai.call"]
    return call


async def read_body(receive: Receive, limit: int) -> bytes:
    """Read a whole body."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > limit:
            raise ApiError(413, "The request body is too large.")
        if not message.get("more_body"):
            return bytes(body)


def trouble_of(everywhere: str, headers: Headers) -> Trouble:
    """Read the switches for one request: its header over those that hold for all."""
    try:
        trouble = parse_trouble(everywhere, headers.get("x-trouble", ""))
    except TroubleError as error:
        raise ApiError(400, str(error)) from None
    coder_for(trouble.encoding)  # refuses what is not installed, while that can still be said
    return trouble


def authenticate(path: str, headers: Headers) -> None:
    """Refuse a request without a key, or with the one that is known to be wrong."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    key = key.strip() if scheme.lower() == "bearer" else ""
    if path == "/v1/messages":
        key = key or headers.get("x-api-key", "")
    if not key:
        raise ApiError(401, "No credentials were sent; expected `Authorization: Bearer <key>`.")
    if key == "bad-key":
        # xAI answers a wrong key with 400, not 401.
        raise ApiError(400, "Incorrect API key provided. You can obtain an API key from https://console.x.ai.")


def body_of(call: Call, *required: str) -> JSON:
    """Parse a body and make sure that the fields which cannot be missing are there."""
    try:
        body = json.loads(call.body)
    except ValueError as error:
        raise ApiError(422, f"{_MISFIT}: {error}") from None
    if not isinstance(body, dict):
        raise ApiError(422, f"{_MISFIT}: expected an object")
    for field in required:
        if body.get(field) is None:
            raise ApiError(422, f"{_MISFIT}: missing field `{field}`")
    return body


def model_of(body: JSON) -> str:
    """Give the model that will answer, which may not be spelled as requested."""
    if not isinstance(body["model"], str):
        raise ApiError(422, f"{_MISFIT}: model: expected a string")
    return resolve(body["model"])


def limit_of(body: JSON, *names: str) -> int | None:
    """Read the first of several spellings of a positive number."""
    for name in names:
        value = body.get(name)
        if value is not None:
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ApiError(400, f"{name} must be a positive integer.")
            return value
    return None


def refuse_unsupported(body: JSON, model: str) -> None:
    """Refuse what reasoning models do not take on chat; xAI names it in camel case."""
    for name in ("stop", "presence_penalty", "frequency_penalty"):
        if body.get(name) and is_reasoning(model):
            first, *rest = name.split("_")
            camel = first + "".join(word.title() for word in rest)
            raise ApiError(400, f"Model {model} does not support parameter {camel}.")

"""Requests and answers for a ledger, made by hand: bodies to fingerprints, counts to observations."""

import json
from collections.abc import Sequence
from typing import Any

from opentelemetry.instrumentation.xai.cache_ledger import CacheLedger, Inquiry
from opentelemetry.instrumentation.xai.observation import (
    CacheVerdict,
    Ending,
    Observation,
    Request,
    Timeline,
    Usage,
)
from opentelemetry.instrumentation.xai.wire.fingerprint import Fingerprint, Fingerprinter
from opentelemetry.instrumentation.xai.wire.request import read_request
from opentelemetry.instrumentation.xai.wire.routes import dialect_of

SECOND = 1_000_000_000


def user(text: Any) -> dict[str, Any]:
    """A message of the user."""
    return {"role": "user", "content": str(text)}


def assistant(text: Any) -> dict[str, Any]:
    """A message of the model."""
    return {"role": "assistant", "content": str(text)}


def conversation(turns: int, name: str = "") -> list[dict[str, Any]]:
    """A prompt that asks for the answer of its last turn."""
    messages = [user(f"question {name} 0")]
    for turn in range(1, turns):
        messages += [assistant(f"answer {name} {turn}"), user(f"question {name} {turn}")]
    return messages


class Traffic:
    """A ledger, and the requests that pass it, one second after the other."""

    def __init__(self, ledger: CacheLedger | None = None) -> None:
        self.ledger = CacheLedger() if ledger is None else ledger
        self.fingerprinter = Fingerprinter()
        self.moment = 0

    def fingerprint(
        self, messages: Sequence[Any], identity: str | None = None, path: str = "/v1/chat/completions", **fields: Any
    ) -> tuple[Request, Fingerprint]:
        """A request as the observer reads it."""
        dialect = dialect_of("POST", path)
        assert dialect is not None
        prompt = "input" if path.endswith("responses") else "messages"
        body = json.dumps({"model": "grok-4.7", prompt: messages, **fields}).encode()
        headers = [(b"x-grok-conv-id", identity.encode())] if identity else []
        request, fingerprint = read_request(dialect, "api.x.ai", 443, headers, body, self.fingerprinter)
        assert fingerprint is not None
        return request, fingerprint

    def ask(self, messages: Sequence[Any], identity: str | None = None, **fields: Any) -> tuple[Request, Inquiry]:
        """Issue a request."""
        request, fingerprint = self.fingerprint(messages, identity, **fields)
        self.moment += SECOND
        return request, self.ledger.issued(fingerprint, self.moment)

    def answer(
        self,
        asked: tuple[Request, Inquiry],
        tokens: int | None = 4096,
        cached: int | None = 0,
        ending: Ending = Ending.COMPLETE,
        **facts: Any,
    ) -> CacheVerdict | None:
        """Answer a request and hear what the ledger says."""
        request, inquiry = asked
        self.moment += SECOND
        usage = None if tokens is None else Usage(tokens, 10, cached)
        timeline = Timeline(self.moment - SECOND, self.moment)
        facts = {"finish_reasons": ("stop",), **facts}
        return inquiry.explain(Observation(request, timeline, ending, usage=usage, **facts))

    def call(self, messages: Sequence[Any], tokens: int = 4096, cached: int = 0, **asked: Any) -> CacheVerdict:
        """Issue a request and answer it."""
        verdict = self.answer(self.ask(messages, **asked), tokens, cached)
        assert verdict is not None
        return verdict

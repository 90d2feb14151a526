"""The application: a help desk that chats with many customers at once, over the openai SDK and, for some, plain HTTP.

It knows nothing of telemetry. A release of it has one habit: the healthy one sends every earlier turn again as it was,
under one conversation id; each of the others breaks the prompt cache in a way that is often met.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import sys
import threading
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from openai import APIError, OpenAI

httpx: Any
try:
    httpx = import_module("httpx")
except ImportError:  # openai 3 brings httpx2 instead
    httpx = import_module("httpx2")

HANDBOOK = (Path(__file__).parents[1] / "demo" / "handbook.md").read_text(encoding="utf-8")
HABITS = {
    "none": "every earlier turn is sent again as it was, under one conversation id",
    "clock": "a clock at the head of the system prompt",
    "random_ids": "another conversation id for each request",
    "reasoning_dropped": "the model's reasoning is sent back once, and then no more",
}
MODELS = ("grok-4.7", "grok-4.3")
QUESTIONS = (
    "My chain skips.",
    "What does a new one cost?",
    "And fitted?",
    "Can I come on Saturday?",
    "Do you hire out bikes, too?",
    "Is a child seat extra?",
    "My brakes squeal.",
    "Which pads are quiet?",
    "Are you open now?",
    "Is there a pump outside?",
)
TURNS = (6, 12)  # how many questions a customer asks


@dataclass
class Customer:
    """One conversation: what was said so far, and how the next question is sent."""

    number: int
    habit: str
    turns: list[Any] = field(default_factory=list)

    @property
    def model(self) -> str:
        return MODELS[self.number % len(MODELS)]

    @property
    def streams(self) -> bool:
        return self.number % 3 != 0

    @property
    def plain_http(self) -> bool:
        return self.number % 8 == 5

    def request(self, question: str) -> dict[str, Any]:
        """Add a question, and give the body of the request that asks it."""
        # Who asks is in the first turn, so that no two conversations begin alike.
        greeting = "" if self.turns else f"I am customer {os.getpid()}-{self.number}. "
        self.turns.append({"role": "user", "content": greeting + question})
        clock = f"It is {datetime.now():%A, %H:%M:%S.%f}.\n\n" if self.habit == "clock" else ""  # noqa: DTZ005  # the shop's own time
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": "system", "content": clock + HANDBOOK}, *self.turns],
        }
        return body | ({"stream": True, "stream_options": {"include_usage": True}} if self.streams else {})

    def headers(self) -> dict[str, str]:
        """Give the header that leads to the server with this conversation's cache."""
        mine = uuid.uuid4().hex if self.habit == "random_ids" else f"customer-{os.getpid()}-{self.number}"
        return {"x-grok-conv-id": mine}

    def heard(self, turn: dict[str, Any]) -> None:
        """Keep an answer, with its reasoning: without it the next prompt's prefix would end early."""
        if self.habit == "reasoning_dropped":  # of all turns but the newest, to save what it costs
            for earlier in self.turns:
                earlier.pop("reasoning_content", None)
        self.turns.append(turn)


class HelpDesk:
    """Serves customers until it is closed."""

    def __init__(self, base_url: str, key: str, *, habit: str, rate: float, errors: float) -> None:
        self._sdk = OpenAI(base_url=base_url, api_key=key)
        self._http = httpx.Client(
            base_url=base_url, headers={"authorization": f"Bearer {key}"}, trust_env=False, timeout=60
        )
        self._habit, self._rate, self._errors = habit, rate, errors
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._next = time.monotonic()
        self.closed = threading.Event()

    def serve(self) -> None:
        """Take one customer after the other."""
        while not self.closed.is_set():
            with self._lock:
                customer = Customer(next(self._numbers), self._habit)
            for question in random.sample(QUESTIONS, min(len(QUESTIONS), random.randint(*TURNS))):
                self._wait_for_turn()
                if self.closed.is_set():
                    return
                try:
                    customer.heard(self._ask(customer, question))
                except (APIError, httpx.HTTPError):
                    customer.turns.pop()  # the customer sighs, and asks something else

    def _wait_for_turn(self) -> None:
        """Spread requests evenly, at the rate that was asked for."""
        with self._lock:
            now = time.monotonic()
            self._next = max(self._next, now) + random.uniform(0.5, 1.5) / self._rate
            pause = self._next - now
        self.closed.wait(pause)

    def _ask(self, customer: Customer, question: str) -> dict[str, Any]:
        body, headers = customer.request(question), customer.headers()
        if random.random() < self._errors:
            # Three in four answers 429 or 503 once, and the SDK tries again; the others fail for good.
            status = random.choice((429, 429, 503))
            headers["x-trouble"] = f"status={status}" + (", recovers=1" if random.random() < 0.75 else "")
        if customer.plain_http:
            answer = self._http.post("chat/completions", json=body | {"stream": False}, headers=headers)
            message: dict[str, Any] = answer.raise_for_status().json()["choices"][0]["message"]
            return {name: value for name, value in message.items() if value is not None}
        answer = self._sdk.chat.completions.create(**body, extra_headers=headers)
        return _whole_turn(answer) if customer.streams else answer.choices[0].message.model_dump(exclude_none=True)


def _whole_turn(stream: Iterable[Any]) -> dict[str, Any]:
    turn = {"role": "assistant", "reasoning_content": "", "content": ""}
    for chunk in stream:
        for choice in chunk.choices:
            turn["reasoning_content"] += getattr(choice.delta, "reasoning_content", None) or ""
            turn["content"] += choice.delta.content or ""
    return turn


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve customers for a time."""
    habits = "\n".join(f"  {name:18} {meaning}" for name, meaning in HABITS.items())
    parser = argparse.ArgumentParser(
        prog="python -m stack.chat",
        description="One release of the application. Key: XAI_API_KEY (any will do for the local server).",
        epilog=f"Habits:\n{habits}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--base-url", required=True, help="for example http://127.0.0.1:8080/v1")
    parser.add_argument("--habit", choices=HABITS, default="none", help="how requests are sent (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=4, help="requests a second (default: %(default)s)")
    parser.add_argument("--duration", type=float, default=60, help="seconds (default: %(default)s)")
    parser.add_argument("--customers", type=int, default=8, help="served at the same time (default: %(default)s)")
    parser.add_argument("--errors", type=float, default=0.03, help="part of requests that fail (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    key = os.environ.get("XAI_API_KEY", "any")
    desk = HelpDesk(chosen.base_url, key, habit=chosen.habit, rate=chosen.rate, errors=chosen.errors)
    threads = [threading.Thread(target=desk.serve, daemon=True) for _ in range(chosen.customers)]
    for thread in threads:
        thread.start()
    time.sleep(chosen.duration)
    desk.closed.set()
    for thread in threads:
        thread.join(10)
    return 0


if __name__ == "__main__":
    sys.exit(main())

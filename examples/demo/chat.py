"""The help desk of a bicycle shop: five customers at once, one assistant, the openai SDK.

It stands for your own application: it talks to a model and knows nothing of telemetry. Its conversations differ in
how they are sent, which decides what xAI's prompt cache can do for them.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from threading import Thread
from typing import Any

from openai import OpenAI

HANDBOOK = (Path(__file__).parent / "handbook.md").read_text(encoding="utf-8")
READING_S = (0.6, 1.4)  # how long a customer takes to read an answer and to ask again


@dataclass
class Conversation:
    """What one customer asks, and how the application sends it."""

    habit: str
    questions: Sequence[str]
    id: str | None = None
    system: Callable[[], str] = lambda: HANDBOOK
    api: str = "chat"
    turns: list[Any] = field(default_factory=list)

    def hold(self, client: OpenAI, model: str) -> None:
        """Ask all questions, one after the other."""
        ask = self._ask_responses if self.api == "responses" else self._ask_chat
        for question in self.questions:
            ask(client, model, question)
            time.sleep(random.uniform(*READING_S))

    def _ask_chat(self, client: OpenAI, model: str, question: str) -> None:
        self.turns.append({"role": "user", "content": question})
        stream = client.chat.completions.create(
            model=model,
            messages=[{"role": "system", "content": self.system()}, *self.turns],
            stream=True,
            stream_options={"include_usage": True},
            extra_headers={"x-grok-conv-id": self.id} if self.id else {},
        )
        self.turns.append(_whole_turn(stream))

    def _ask_responses(self, client: OpenAI, model: str, question: str) -> None:
        if not self.turns:
            self.turns.append({"role": "system", "content": self.system()})
        self.turns.append({"role": "user", "content": question})
        stream: Any = client.responses.create(
            model=model,
            input=self.turns,
            prompt_cache_key=self.id or "",
            include=["reasoning.encrypted_content"],
            stream=True,
        )
        for event in stream:
            if event.type == "response.completed":
                # Reasoning goes back as well, sealed as it came: without it the prefix would end there.
                self.turns += [item.model_dump(exclude_none=True) for item in event.response.output]


def _whole_turn(stream: Iterable[Any]) -> dict[str, str]:
    """Put the pieces of a streamed turn together, the reasoning too: without it the next prompt's prefix ends early."""
    turn = {"role": "assistant", "reasoning_content": "", "content": ""}
    for chunk in stream:
        for choice in chunk.choices:
            turn["reasoning_content"] += getattr(choice.delta, "reasoning_content", None) or ""
            turn["content"] += choice.delta.content or ""
    return turn


def _with_clock() -> str:
    return f"It is {datetime.now():%A, %H:%M:%S.%f}.\n\n{HANDBOOK}"  # noqa: DTZ005  # the shop's own time


def conversations() -> list[Conversation]:
    """Make the customers of this afternoon."""
    gears = ("My chain skips.", "It has 11 speeds.", "What does it cost?", "And fitted?", "Can I come on Saturday?")
    hire = ("Can we hire two bikes?", "Three days.", "Is a child seat extra?", "What is the deposit?", "Book it!")
    brakes = ("My brakes squeal.", "Disc, two pistons.", "Which pads are quiet?", "Is riding safe?", "Do you collect?")
    returns = ("The lock does not fit.", "It is unused.", "I have lost the receipt.", "My order is 4711.", "Thank you!")
    hours = ("Are you open now?", "And the café?", "When does it close?", "Is there a pump?", "Until when today?")
    return [
        Conversation("id in a header", gears, id="ada-gears"),
        Conversation("id in a header", hire, id="ben-weekend"),
        Conversation("Responses API, cache key", brakes, id="cleo-pads", api="responses"),
        Conversation("no id at all", returns),
        Conversation("a clock in the prompt", hours, id="emil-hours", system=_with_clock),
    ]


def run(client: OpenAI, model: str, customers: Sequence[Conversation]) -> None:
    """Serve all customers at the same time; the first failure is raised once all have left."""
    failures: list[Exception] = []

    def serve(customer: Conversation) -> None:
        try:
            customer.hold(client, model)
        except Exception as failure:
            failures.append(failure)

    # Daemons, so that who closes the shop need not wait until the last customer has left.
    threads = [Thread(target=serve, args=(customer,), daemon=True) for customer in customers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]

"""The matrix: which client reaches which endpoint in which mode, read off the drivers' own methods.

A driver has a method for each cell that its SDK has: ``chat``, ``chat_stream``, ``async_chat``, ``async_chat_stream``,
and the same for the other endpoints. Each takes an ``Ask`` and gives what the application would see, piece by piece.
"""

import asyncio
import gc
import importlib.util
import os
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import Any

ENDPOINTS = ("chat", "responses", "messages", "grpc")
KEY = "key-of-the-application"
SYSTEM = "You are a patient teacher of geography. " * 40
QUESTION = "Which river is the longest? Please use a tool, if you have one."

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else it is fetched when litellm is imported
os.environ.setdefault("OPENAI_AGENTS_DISABLE_TRACING", "1")  # else its own traces go to OpenAI


@dataclass(frozen=True)
class Ask:
    """What the application wants to know, of which server, and how the server is to misbehave."""

    url: str
    grpc: str = ""
    turns: tuple[tuple[str, str], ...] = (("system", SYSTEM), ("user", QUESTION))
    conversation: str = ""
    trouble: str = ""
    model: str = "grok-4.7"

    @property
    def headers(self) -> dict[str, str]:
        """The headers that an application adds."""
        named = {"x-grok-conv-id": self.conversation, "x-trouble": self.trouble}
        return {name: value for name, value in named.items() if value}

    @property
    def messages(self) -> list[dict[str, str]]:
        """The prompt as chat completions take it."""
        return [{"role": role, "content": text} for role, text in self.turns]

    @property
    def system(self) -> str:
        """What stands before the conversation."""
        return self.turns[0][1]

    @property
    def conversation_so_far(self) -> list[dict[str, str]]:
        """The turns after that."""
        return self.messages[1:]

    @property
    def prompt(self) -> str:
        """The last word, which is the user's."""
        return self.turns[-1][1]

    def after(self, answer: str) -> "Ask":
        """The next turn: everything so far, the answer, and a further question."""
        return replace(self, turns=(*self.turns, ("assistant", answer), ("user", f"And then? {QUESTION}")))


@dataclass
class Wire:
    """The server as one cell reaches it: where it is, what came there, and what it answered."""

    url: str
    grpc: str
    arrived: list[Any]
    app: Any

    @property
    def answers(self) -> list[Any]:
        """What the server says that it answered."""
        answers: list[Any] = self.app.answers
        return answers

    def forget(self) -> None:
        """Begin anew: nothing is cached, nothing recorded."""
        self.app.evict()
        self.arrived.clear()
        self.answers.clear()


@dataclass
class Seen:
    """What the application saw: the pieces of the answer, and the exception, if there was one."""

    pieces: list[Any] = field(default_factory=list)
    error: BaseException | None = None


class Driver:
    """One SDK, in one way of using it."""

    name: str
    """The row of the table."""
    variant = ""
    """Another way of using the same SDK: its cells are those of the row."""
    package: str
    """The distribution whose version is told."""
    needs: tuple[str, ...]
    """The modules without which there is nothing to drive."""
    keeps_turns = True
    """Whether an application can hand it a conversation that has begun."""
    names_conversations = True
    """Whether an application can make it send a conversation id."""

    @property
    def installed(self) -> bool:
        """Whether this environment has the SDK."""
        return all(_found(module) for module in self.needs)

    @property
    def row(self) -> str:
        """The row of the table, with the line of versions that is tested."""
        return row_of(self.name, version(self.package))


def row_of(name: str, version: str) -> str:
    """Name a client with its line of versions: the major one, or the minor one before there is a major."""
    major, minor, *_ = version.split(".")
    return f"{name} {f'0.{minor}' if major == '0' else major}"


def _found(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package around it
        return False


@dataclass(frozen=True)
class Cell:
    """One client on one endpoint in one mode."""

    driver: Driver
    endpoint: str
    streamed: bool
    asynchronous: bool

    @property
    def method(self) -> str:
        """The driver's method."""
        return f"{'async_' * self.asynchronous}{self.endpoint}{'_stream' * self.streamed}"

    @property
    def id(self) -> str:
        """The name of the cell in the names of tests."""
        words = (self.driver.name, self.driver.variant, self.method)
        return "-".join(word.replace(" ", "-") for word in words if word)

    def carry(self, ask: Ask) -> Seen:
        """Make the call, as an application would, and keep what it gives or raises."""
        seen = Seen()
        work = getattr(self.driver, self.method)
        gc.freeze()  # what was there before need not be looked through
        try:
            if self.asynchronous:
                asyncio.run(work(ask, seen.pieces))
            else:
                work(ask, seen.pieces)
        except Exception as error:
            seen.error = error
            _forget_frames(error)
            gc.collect()
        return seen


def _forget_frames(error: BaseException) -> None:
    """Let go of what the frames of an error hold: litellm leaves streams open, and they end when they are collected."""
    error.__traceback__ = None
    for within in (error.__cause__, error.__context__, *vars(error).values()):
        if isinstance(within, BaseException) and within.__traceback__ is not None:
            _forget_frames(within)


def cells_of(driver: Driver) -> list[Cell]:
    """The cells that a driver has methods for."""
    modes = [(streamed, asynchronous) for streamed in (False, True) for asynchronous in (False, True)]
    every = [Cell(driver, endpoint, *mode) for endpoint in ENDPOINTS for mode in modes]
    return [cell for cell in every if hasattr(driver, cell.method)]

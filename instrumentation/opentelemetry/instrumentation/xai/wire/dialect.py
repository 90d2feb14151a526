"""What a dialect is: how one endpoint's answers are to be read.

A dialect gets whole JSON documents (a body, or the data of one server-sent event), never bytes of a
connection, and writes what they say into an ``Answer``. It is stateless: one object serves all exchanges.
"""

from collections.abc import Mapping
from typing import ClassVar, Protocol, TypeAlias

from .answer import Answer

Shape: TypeAlias = Mapping[str, "Shape | None"]
"""Which members of a large document are of interest: a nested shape, or ``None`` for the member whole.

A shape describes the elements of an array as it does an object.
"""


class Operation(Protocol):
    """What is to be known of an endpoint to read a request to it."""

    @property
    def operation(self) -> str:
        """The conventions' name of what the endpoint does."""

    @property
    def body_first(self) -> bool:
        """Whether the conversation id in the body (``prompt_cache_key``) precedes the header."""

    @property
    def takes_key(self) -> bool:
        """Whether ``prompt_cache_key`` in the body routes the call at all."""

    @property
    def usage_on_request(self) -> bool:
        """Whether a stream reports usage only where the request asks for it."""


class Dialect(Operation, Protocol):
    """One endpoint of xAI's HTTP API."""

    body_shape: ClassVar[Shape]
    event_shape: ClassVar[Shape]

    def read_body(self, document: bytes, answer: Answer) -> None:
        """Read an answer that was not streamed; raises ``msgspec.MsgspecError`` where it is no JSON object."""

    def read_event(self, document: bytes, answer: Answer) -> None:
        """Read the data of one event; raises ``msgspec.MsgspecError`` where it is no JSON object."""

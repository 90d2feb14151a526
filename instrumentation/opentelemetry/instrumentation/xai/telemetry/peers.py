"""Other instrumentations that describe the same calls: how to know their spans, and which metrics they record beside.

Each row was seen in the version that it names; a peer that is not here is taken to record no metrics.
"""

from typing import NamedTuple

from .. import conventions as names

_DURATION = names.OPERATION_DURATION.name
_FIRST_CHUNK = names.OPERATION_TIME_TO_FIRST_CHUNK.name
_TOKENS = names.TOKEN_USAGE.name
NO_METRICS: frozenset[str] = frozenset()


class Peer(NamedTuple):
    """Another instrumentation, as far as it concerns us."""

    metrics: frozenset[str] = NO_METRICS
    """Those of the conventions' metrics that it records for each call that its span covers."""
    omits_failures: bool = False
    """Whether it records them of answered calls alone."""
    omits_broken_streams: bool = False
    """Whether it knows no end of a stream but the last event: else its span is never ended, and nothing recorded."""
    suppresses: bool = False
    """Whether it suppresses instrumentation below its span, so that there is no second one: we make none."""


_PEERS = {  # by how the names of their instrumentation scopes begin
    "opentelemetry.instrumentation.genai": Peer(frozenset({_DURATION, _TOKENS, _FIRST_CHUNK})),  # util-genai 1.3b0
    "opentelemetry.util.genai": Peer(frozenset({_DURATION, _TOKENS})),  # util-genai 1.1b0, under openai-v2 2.4b0
    "opentelemetry.instrumentation.openai": Peer(frozenset({_DURATION, _TOKENS})),  # traceloop's, 0.62.4
    "opentelemetry.instrumentation.anthropic": Peer(frozenset({_DURATION, _TOKENS})),  # traceloop's, 0.62.4
    "openlit.instrumentation": Peer(  # 1.45.0
        frozenset({_DURATION, _TOKENS, _FIRST_CHUNK}), omits_broken_streams=True
    ),
    "openlit": Peer(frozenset({_DURATION, _TOKENS}), omits_failures=True),  # 1.34.43
    "logfire.openai": Peer(suppresses=True),  # 5.4.0
    "logfire.anthropic": Peer(suppresses=True),
    "pydantic-ai": Peer(frozenset({_TOKENS, _FIRST_CHUNK})),  # 2.68.0
    # openinference 0.1.66, anthropic's own 2.14.0 and xai-sdk's own 1.21.0 record no metrics
}
UNKNOWN = Peer()
_GENAI = _PEERS["opentelemetry.instrumentation.genai"]


def peer_of(scope: str | None) -> Peer:
    """Whose spans have this instrumentation scope."""
    if scope is not None:
        for beginning, peer in _PEERS.items():
            if scope.startswith(beginning):
                return peer
    return UNKNOWN


def users_of_util_genai() -> Peer:
    """Whoever uses ``opentelemetry-util-genai``, which records for all of them."""
    return _GENAI

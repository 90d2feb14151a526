"""OpenTelemetry instrumentation for xAI's Grok API.

The house, from the roof down; a file imports only from floors below its own:

===== ========================================================================================================
floor what
===== ========================================================================================================
7     ``commands``: what ``xai-otel`` does, each in a module of its own; ``testing``: the same for test suites
6     ``instrumentor``: ``XAIInstrumentor`` switches all on and off
5     ``clients``: one adapter for each client library, which tells bytes or messages, and moments;
      ``private_providers``: a place for telemetry where the application has set up none, made by ``sdk_providers``;
      ``servers``: that SIGTERM loses none
4     ``tap``: a body's chunks on their way; ``observer``: the one face of core, clock and recorder, and ``observed``:
      the calls that it gives; ``stability``: what the ledger would say, foretold from two bodies
3     ``exchange``: the state machine of a call over HTTP (no I/O, no clock); ``message_exchange``: the same over gRPC;
      ``course``: what they have in common; ``telemetry``: observations to OpenTelemetry; ``stream_usage``: usage that
      was not asked for, asked for and hidden again
2     ``wire``: xAI's wire format, bytes to facts
      ``settings``; ``environment``: what OpenTelemetry's own variables ask for; ``alerting``: rules for Prometheus
1     ``observation``: the nouns that all floors share; ``fixes``: what to do about each reason; ``promql``: the metrics
      as Prometheus spells them; ``nudge``: that a waiting program hears its signals
0     ``conventions``: every name that leaves in telemetry; ``limits``: how much of anything is kept;
      ``notices``: what the user is told; ``guard``: where our own faults stop; ``forking``: what a child makes anew
===== ========================================================================================================
"""

from . import propagators as _propagators  # before all that imports OpenTelemetry's own
from .instrumentor import XAIInstrumentor
from .version import __version__

del _propagators

__all__ = ["XAIInstrumentor", "__version__"]

"""A server that speaks xAI's wire format, with its prompt cache and its bad days.

It needs no API key and no network, gives the same answers every time, and counts
cached tokens the way xAI has been seen to. Where to look:

    app               which path leads where, and how the parts meet
    arrivals, replies requests on their way in, answers in outline
    settings          what can be chosen beforehand
    trouble           the switches that make it misbehave
    prompt, tokens    request body -> pieces -> tokens
    prefix_cache      which prefixes are known, and to which virtual server
    answers           what the model says
    generation        the facts about one answer;  prices, models: what it costs
    chat_completions, responses, messages, errors     the wire shapes
    sse, coding, delivery     events -> bytes -> socket, at their pace
    running           all of it in a thread, for tests
    grpc_service      the same chats over gRPC, with the official SDK's stubs
"""

from xai_server.app import XAIServer, create_app
from xai_server.arrivals import RecordedRequest
from xai_server.generation import RecordedAnswer
from xai_server.prices import cost_in_usd_ticks
from xai_server.running import RunningServer, running
from xai_server.settings import ServerSettings
from xai_server.trouble import Trouble, TroubleError, parse_trouble

__all__ = [
    "RecordedAnswer",
    "RecordedRequest",
    "RunningServer",
    "ServerSettings",
    "Trouble",
    "TroubleError",
    "XAIServer",
    "cost_in_usd_ticks",
    "create_app",
    "parse_trouble",
    "running",
]

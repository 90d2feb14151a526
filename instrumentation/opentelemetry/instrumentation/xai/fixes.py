"""What to do about each reason and each problem, in one sentence. The runbook says it at length."""

from collections.abc import Mapping
from typing import Final

from . import conventions as names

RUNBOOK: Final = "dashboards/runbook.md"
"""Where each reason has a section of its own name."""

FIXES: Final[Mapping[str, str]] = {
    names.FIRST_REQUEST: (
        "If this was to continue a conversation, send its earlier turns as messages of their own, unchanged."
    ),
    names.NO_BASELINE: "Compare a request with the one right before it in the same conversation.",
    names.CONCURRENT: "Let the first request be answered before the ones that share its prompt are sent.",
    names.COMPACTED: "Nothing, if it is rare: compact seldom and by much, never a little on each turn.",
    names.BELOW_MINIMUM: "Nothing: too short a prompt is not cached; put what requests share first.",
    names.UNSUPPORTED: "Call xAI itself if the price of the input matters, or ask the reseller.",
    names.MODEL_CHANGED: "Choose the model for the conversation, not for the turn.",
    names.TOOLS_CHANGED: "Fix the tools when the conversation begins, and keep what changes out of their descriptions.",
    names.TOOLS_REORDERED: "Sort the tools by name, in the last place before the request.",
    names.SYSTEM_CHANGED: "Keep the system prompt constant, and put what changes into the newest user message.",
    names.PARAMETERS_CHANGED: (
        "Keep response format, tool choice and reasoning effort the same for the whole conversation."
    ),
    names.HISTORY_EDITED: "Only append: send every earlier message again exactly as it was sent.",
    names.HISTORY_TRUNCATED: "Cut rarely and by much, at the start of a user's turn, instead of a little on each turn.",
    names.REASONING_DROPPED: "Send the model's turns back whole, with the reasoning that came with them.",
    names.SERIALIZATION_CHANGED: (
        "Keep strings as they came, and write JSON the same way each time: keys sorted, separators given."
    ),
    names.CONVERSATION_ID_MISSING: (
        "Send one id per conversation: the header x-grok-conv-id, or prompt_cache_key on /v1/responses."
    ),
    names.CONVERSATION_ID_CHANGED: "Make the id once, with the conversation, and send the same on every turn.",
    names.CREDENTIALS_CHANGED: "Let the conversation choose the API key, and keep it until it ends.",
    names.ENDPOINT_CHANGED: "Keep a conversation on one host: balance conversations, not requests.",
    names.IDLE: "Mostly nothing: after a long pause, compact the conversation before it goes on.",
    names.PROVIDER_MISS: "Give each conversation an id of its own; if it has one, tell xAI the ids of the requests.",
    names.UNREPORTED: 'Ask for usage on chat streams: stream_options={"include_usage": true}.',
}
"""By reason."""

PROBLEMS: Final[Mapping[str, str]] = {
    names.PROBLEM_MISSING: (
        "no prompt_cache_key, though there are earlier turns: conversation_id_missing, unless the header "
        "x-grok-conv-id is sent"
    ),
    names.PROBLEM_WRONG_CARRIER: (
        "prompt_cache_key routes nothing on this endpoint, where only the header x-grok-conv-id does"
    ),
}
"""By problem of the conversation id that a body alone may show: what it means."""

"""Every name, unit, bucket and enumerated value that leaves in telemetry. Pure data.

The GenAI names follow the OpenTelemetry GenAI semantic conventions; they are written out because
the Python constants are deprecated and lack the newer names. Names of our own start with ``xai.``.
"""

from typing import Final, NamedTuple

PROVIDER: Final = "x_ai"  # the well-known value of gen_ai.provider.name

# --- span attributes -------------------------------------------------------------------------
OPERATION_NAME: Final = "gen_ai.operation.name"
PROVIDER_NAME: Final = "gen_ai.provider.name"
CONVERSATION_ID: Final = "gen_ai.conversation.id"
OUTPUT_TYPE: Final = "gen_ai.output.type"
REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_STREAM: Final = "gen_ai.request.stream"
REQUEST_CHOICE_COUNT: Final = "gen_ai.request.choice.count"
REQUEST_SEED: Final = "gen_ai.request.seed"
REQUEST_TEMPERATURE: Final = "gen_ai.request.temperature"
REQUEST_TOP_P: Final = "gen_ai.request.top_p"
REQUEST_TOP_K: Final = "gen_ai.request.top_k"
REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
REQUEST_FREQUENCY_PENALTY: Final = "gen_ai.request.frequency_penalty"
REQUEST_PRESENCE_PENALTY: Final = "gen_ai.request.presence_penalty"
REQUEST_STOP_SEQUENCES: Final = "gen_ai.request.stop_sequences"
REQUEST_REASONING_LEVEL: Final = "gen_ai.request.reasoning.level"
REQUEST_PREVIOUS_RESPONSE_ID: Final = "gen_ai.request.previous_response.id"
RESPONSE_ID: Final = "gen_ai.response.id"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
RESPONSE_TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
USAGE_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
USAGE_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
USAGE_CACHE_READ_INPUT_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
USAGE_REASONING_OUTPUT_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
ERROR_TYPE: Final = "error.type"
HTTP_STATUS_CODE: Final = "http.response.status_code"
HTTP_RESEND_COUNT: Final = "http.request.resend_count"

XAI_CONVERSATION_ID_SOURCE: Final = "xai.conversation.id.source"
XAI_CONVERSATION_ID_PROBLEMS: Final = "xai.conversation.id.problems"
XAI_TIME_TO_FIRST_TOKEN: Final = "xai.response.time_to_first_token"
XAI_TIME_TO_FIRST_ANSWER_TOKEN: Final = "xai.response.time_to_first_answer_token"
XAI_SERVER_TIME_TO_FIRST_TOKEN: Final = "xai.server.time_to_first_token"
XAI_COST_USD: Final = "xai.response.cost_usd"
XAI_REQUEST_ID: Final = "xai.request.id"
XAI_CACHE_OUTCOME: Final = "xai.cache.outcome"
XAI_CACHE_REASON: Final = "xai.cache.reason"
XAI_CACHE_CAUSE: Final = "xai.cache.cause"
XAI_CACHE_CONFIDENCE: Final = "xai.cache.confidence"
XAI_CACHE_CHANGED_SECTION: Final = "xai.cache.changed.section"
XAI_CACHE_CHANGED_INDEX: Final = "xai.cache.changed.index"
XAI_CACHE_POTENTIAL_TOKENS: Final = "xai.cache.potential_tokens"
XAI_CACHE_LOST_TOKENS: Final = "xai.cache.lost_tokens"
XAI_CACHE_REPEATED: Final = "xai.cache.repeated"
XAI_CACHE_IDLE: Final = "xai.cache.idle_s"

# --- metric attributes beyond those --------------------------------------------------------------
TOKEN_TYPE: Final = "gen_ai.token.type"
TOKEN_MODALITY: Final = "gen_ai.token.modality"
XAI_TOKEN_KIND: Final = "xai.token.kind"
XAI_CACHE_WARM: Final = "xai.cache.warm"
XAI_CONVERSATION_ID_PRESENCE: Final = "xai.conversation.id.presence"

TICKS_PER_USD: Final = 10_000_000_000  # xAI states costs in ticks

OTHER: Final = "_other"  # what takes the place of a value beyond a bound

# --- enumerated values -----------------------------------------------------------------------------
CHAT: Final = "chat"
COMPACT: Final = "compact"
"""Of ours: the conventions have no name for replacing a conversation by a digest of it."""
OUTPUT_JSON: Final = "json"
OUTPUT_TEXT: Final = "text"
FINISH_ERROR: Final = "error"
TOKEN_INPUT: Final = "input"
TOKEN_OUTPUT: Final = "output"
KIND_REASONING: Final = "reasoning"
KIND_ANSWER: Final = "answer"

SOURCE_HEADER: Final = "header"
SOURCE_BODY: Final = "body"
SOURCE_METADATA: Final = "metadata"
SOURCE_RESPONSE: Final = "response"

PROBLEM_MISSING: Final = "missing"
PROBLEM_WRONG_CARRIER: Final = "wrong_carrier"
PROBLEM_TELEMETRY_ONLY: Final = "telemetry_only"
PROBLEM_CONFLICTING: Final = "conflicting"

PRESENT: Final = "present"
ABSENT: Final = "absent"

REUSED: Final = "reused"
PARTIAL: Final = "partial"
MISSED: Final = "missed"
NOT_APPLICABLE: Final = "not_applicable"
UNREPORTED: Final = "unreported"  # an outcome and its reason

FIRST_REQUEST: Final = "first_request"
NO_BASELINE: Final = "no_baseline"
CONCURRENT: Final = "concurrent"
COMPACTED: Final = "compacted"
BELOW_MINIMUM: Final = "below_minimum"
UNSUPPORTED: Final = "unsupported"
MODEL_CHANGED: Final = "model_changed"
TOOLS_CHANGED: Final = "tools_changed"
TOOLS_REORDERED: Final = "tools_reordered"
SYSTEM_CHANGED: Final = "system_changed"
PARAMETERS_CHANGED: Final = "parameters_changed"
HISTORY_EDITED: Final = "history_edited"
HISTORY_TRUNCATED: Final = "history_truncated"
REASONING_DROPPED: Final = "reasoning_dropped"
SERIALIZATION_CHANGED: Final = "serialization_changed"
CONVERSATION_ID_MISSING: Final = "conversation_id_missing"
CONVERSATION_ID_CHANGED: Final = "conversation_id_changed"
CREDENTIALS_CHANGED: Final = "credentials_changed"
ENDPOINT_CHANGED: Final = "endpoint_changed"
IDLE: Final = "idle"
PROVIDER_MISS: Final = "provider_miss"

CAUSE_EXPECTED: Final = "expected"
CAUSE_UNKNOWN: Final = "unknown"
CAUSE_CLIENT: Final = "client"
CAUSE_PROVIDER: Final = "provider"
CERTAIN: Final = "certain"
INFERRED: Final = "inferred"

REASONS: Final = {  # in the order in which they are told: whose doing each is, and how sure we can be
    FIRST_REQUEST: (CAUSE_EXPECTED, CERTAIN),
    NO_BASELINE: (CAUSE_UNKNOWN, CERTAIN),
    CONCURRENT: (CAUSE_EXPECTED, CERTAIN),
    COMPACTED: (CAUSE_EXPECTED, CERTAIN),
    BELOW_MINIMUM: (CAUSE_EXPECTED, CERTAIN),
    UNSUPPORTED: (CAUSE_EXPECTED, CERTAIN),
    MODEL_CHANGED: (CAUSE_CLIENT, CERTAIN),
    TOOLS_CHANGED: (CAUSE_CLIENT, CERTAIN),
    TOOLS_REORDERED: (CAUSE_CLIENT, CERTAIN),
    SYSTEM_CHANGED: (CAUSE_CLIENT, CERTAIN),
    PARAMETERS_CHANGED: (CAUSE_CLIENT, INFERRED),
    HISTORY_EDITED: (CAUSE_CLIENT, CERTAIN),
    HISTORY_TRUNCATED: (CAUSE_CLIENT, CERTAIN),
    REASONING_DROPPED: (CAUSE_CLIENT, CERTAIN),
    SERIALIZATION_CHANGED: (CAUSE_CLIENT, CERTAIN),
    CONVERSATION_ID_MISSING: (CAUSE_CLIENT, CERTAIN),
    CONVERSATION_ID_CHANGED: (CAUSE_CLIENT, CERTAIN),
    CREDENTIALS_CHANGED: (CAUSE_CLIENT, CERTAIN),
    ENDPOINT_CHANGED: (CAUSE_CLIENT, CERTAIN),
    IDLE: (CAUSE_PROVIDER, INFERRED),
    PROVIDER_MISS: (CAUSE_PROVIDER, INFERRED),
    UNREPORTED: (CAUSE_UNKNOWN, CERTAIN),
}
LOSSES: Final = tuple(reason for reason, (cause, _) in REASONS.items() if cause in {CAUSE_CLIENT, CAUSE_PROVIDER})
"""The reasons for which tokens are lost that somebody could have kept."""

SECTION_MODEL: Final = "model"
SECTION_PARAMETERS: Final = "parameters"
SECTION_TOOLS: Final = "tools"
SECTION_SYSTEM: Final = "system"
SECTION_MESSAGES: Final = "messages"

ERROR_EVENT: Final = "error_event"
STREAM_INTERRUPTED: Final = "stream_interrupted"
TIMEOUT: Final = "timeout"

# --- metrics -----------------------------------------------------------------------------------------
_SECONDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_FIRST_TOKEN: Final = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 30.0, 60.0)
"""Finer where people wait: between powers of two a 95th percentile of 1.4 s reads as 2.2 s."""
_TOKENS: Final = tuple(4**power for power in range(14))


class Histogram(NamedTuple):
    """A distribution: recorded once per exchange, in the context of its span."""

    name: str
    unit: str
    description: str
    buckets: tuple[float, ...]


class Counter(NamedTuple):
    """A sum: kept in our own table and reported when metrics are collected."""

    name: str
    unit: str
    description: str
    parts: int = 1
    """How many of what is added make one of the unit: sums of whole parts stay exact."""


OPERATION_DURATION: Final = Histogram(
    "gen_ai.client.operation.duration",
    "s",
    "Time from issuing the request to the end of the answer.",
    _SECONDS,
)
OPERATION_TIME_TO_FIRST_CHUNK: Final = Histogram(
    "gen_ai.client.operation.time_to_first_chunk",
    "s",
    "Time from issuing a streamed request to the first chunk of its answer.",
    _SECONDS,
)
TOKEN_USAGE: Final = Histogram(
    "gen_ai.client.token.usage",
    "{token}",
    "Input and output tokens of a call; input includes cached, output includes reasoning.",
    _TOKENS,
)
CLIENT_TIME_TO_FIRST_TOKEN: Final = Histogram(
    "xai.client.time_to_first_token",
    "s",
    "Time from issuing a streamed request to its first non-empty reasoning or answer token.",
    _FIRST_TOKEN,
)
SERVER_TIME_TO_FIRST_TOKEN: Final = Histogram(
    "xai.server.time_to_first_token",
    "s",
    "Time to first token as xAI states it for calls that are not streamed.",
    _FIRST_TOKEN,
)
INPUT_TOKENS: Final = Counter(
    "gen_ai.client.inference.usage.input_tokens", "{token}", "Input tokens, cached ones included."
)
OUTPUT_TOKENS: Final = Counter(
    "gen_ai.client.inference.usage.output_tokens", "{token}", "Output tokens, reasoning included."
)
CACHE_READ_INPUT_TOKENS: Final = Counter(
    "gen_ai.client.inference.usage.cache_read.input_tokens", "{token}", "Input tokens read from xAI's prompt cache."
)
REASONING_OUTPUT_TOKENS: Final = Counter(
    "gen_ai.client.inference.usage.reasoning.output_tokens", "{token}", "Output tokens spent on reasoning."
)
COST: Final = Counter("xai.client.cost", "{USD}", "What xAI says the calls cost.", TICKS_PER_USD)
CACHE_REQUESTS: Final = Counter(
    "xai.client.cache.requests", "{request}", "Answered calls by what became of their prompt's cache, and why."
)
CACHE_POTENTIAL_TOKENS: Final = Counter(
    "xai.client.cache.potential_tokens", "{token}", "Input tokens that could have been read from the cache."
)
CACHE_REUSED_TOKENS: Final = Counter(
    "xai.client.cache.reused_tokens", "{token}", "Of the potential tokens, those that were read."
)
CACHE_LOST_TOKENS: Final = Counter(
    "xai.client.cache.lost_tokens", "{token}", "Of the potential tokens, those that were not read, and why."
)
CACHE_SAVED_COST: Final = Counter(
    "xai.client.cache.saved_cost", "{USD}", "What cached tokens cost less than others would have.", TICKS_PER_USD
)
CACHE_LOST_COST: Final = Counter(
    "xai.client.cache.lost_cost", "{USD}", "What lost tokens cost more than cached ones would have.", TICKS_PER_USD
)

HISTOGRAMS: Final = (
    OPERATION_DURATION,
    OPERATION_TIME_TO_FIRST_CHUNK,
    TOKEN_USAGE,
    CLIENT_TIME_TO_FIRST_TOKEN,
    SERVER_TIME_TO_FIRST_TOKEN,
)
COUNTERS: Final = (
    INPUT_TOKENS,
    OUTPUT_TOKENS,
    CACHE_READ_INPUT_TOKENS,
    REASONING_OUTPUT_TOKENS,
    COST,
    CACHE_REQUESTS,
    CACHE_POTENTIAL_TOKENS,
    CACHE_REUSED_TOKENS,
    CACHE_LOST_TOKENS,
    CACHE_SAVED_COST,
    CACHE_LOST_COST,
)

"""Requests and observations to attributes: of the span, and the few, bounded ones of metrics."""

import hashlib
import hmac

from .. import conventions as names
from ..observation import AttributeValue, CacheVerdict, Observation, Request, Timeline, Usage
from ..settings import Settings

_NANOSECOND = 1e-9


def request_attributes(request: Request, settings: Settings) -> dict[str, AttributeValue]:
    """What a span carries from its start, where samplers can see it."""
    attributes: dict[str, AttributeValue] = {
        names.OPERATION_NAME: request.operation,
        names.PROVIDER_NAME: names.PROVIDER,
        names.SERVER_ADDRESS: request.host,
        names.SERVER_PORT: request.port,
        **request.parameters,
    }
    if request.model is not None:
        attributes[names.REQUEST_MODEL] = request.model
    if request.stream:
        attributes[names.REQUEST_STREAM] = True
    if request.conversation_id is not None and request.conversation_id_source is not None:
        _conversation(attributes, request.conversation_id, request.conversation_id_source, settings)
    if request.problems:
        attributes[names.XAI_CONVERSATION_ID_PROBLEMS] = request.problems
    if request.resend_count:
        attributes[names.HTTP_RESEND_COUNT] = request.resend_count
    return attributes


def answer_attributes(observation: Observation, settings: Settings) -> dict[str, AttributeValue]:
    """What a span learns from the answer. A reported 0 is kept, what was not reported is left out."""
    attributes: dict[str, AttributeValue] = {}
    request, usage = observation.request, observation.usage
    if observation.status_code is not None:
        attributes[names.HTTP_STATUS_CODE] = observation.status_code
    if observation.response_id is not None:
        attributes[names.RESPONSE_ID] = observation.response_id
    if observation.response_model is not None:
        attributes[names.RESPONSE_MODEL] = observation.response_model
    if observation.finish_reasons:
        attributes[names.RESPONSE_FINISH_REASONS] = observation.finish_reasons
    if observation.error_type is not None:
        attributes[names.ERROR_TYPE] = observation.error_type
    if observation.request_id is not None:
        attributes[names.XAI_REQUEST_ID] = observation.request_id
    if observation.server_time_to_first_token is not None:
        attributes[names.XAI_SERVER_TIME_TO_FIRST_TOKEN] = observation.server_time_to_first_token
    if request.conversation_id is None and observation.conversation_id is not None:
        _conversation(attributes, observation.conversation_id, names.SOURCE_RESPONSE, settings)
    if usage is not None:
        _add_usage(attributes, usage)
    if observation.streamed:
        timeline = observation.timeline
        for name, moment in (
            (names.RESPONSE_TIME_TO_FIRST_CHUNK, timeline.first_chunk),
            (names.XAI_TIME_TO_FIRST_TOKEN, first_token(timeline)),
            (names.XAI_TIME_TO_FIRST_ANSWER_TOKEN, timeline.first_answer_token),
        ):
            if moment is not None:
                attributes[name] = seconds(timeline, moment)
    return attributes


def add_cache(attributes: dict[str, AttributeValue], verdict: CacheVerdict) -> None:
    """What a span says of the cache. What there is no reason for is left out, as is what does not apply."""
    attributes[names.XAI_CACHE_OUTCOME] = verdict.outcome
    if verdict.reason is not None and verdict.cause is not None and verdict.confidence is not None:
        attributes[names.XAI_CACHE_REASON] = verdict.reason
        attributes[names.XAI_CACHE_CAUSE] = verdict.cause
        attributes[names.XAI_CACHE_CONFIDENCE] = verdict.confidence
    if verdict.section is not None:
        attributes[names.XAI_CACHE_CHANGED_SECTION] = verdict.section
    if verdict.index is not None:
        attributes[names.XAI_CACHE_CHANGED_INDEX] = verdict.index
    if verdict.idle_s is not None:
        attributes[names.XAI_CACHE_IDLE] = verdict.idle_s
    if verdict.potential is not None:
        attributes[names.XAI_CACHE_POTENTIAL_TOKENS] = verdict.potential
        attributes[names.XAI_CACHE_LOST_TOKENS] = verdict.lost
    if verdict.lost:
        attributes[names.XAI_CACHE_REPEATED] = verdict.repeated


def _add_usage(attributes: dict[str, AttributeValue], usage: Usage) -> None:
    if usage.input_tokens is not None:
        attributes[names.USAGE_INPUT_TOKENS] = usage.input_tokens
    if usage.output_tokens is not None:
        attributes[names.USAGE_OUTPUT_TOKENS] = usage.output_tokens
    if usage.cached_tokens is not None:
        attributes[names.USAGE_CACHE_READ_INPUT_TOKENS] = usage.cached_tokens
    if usage.reasoning_tokens is not None:
        attributes[names.USAGE_REASONING_OUTPUT_TOKENS] = usage.reasoning_tokens
    if usage.cost_ticks is not None:
        attributes[names.XAI_COST_USD] = usage.cost_ticks / names.TICKS_PER_USD


def is_warm(observation: Observation) -> bool | None:
    """Whether at least half of the input came from the cache; ``None`` where xAI did not say."""
    usage = observation.usage
    if usage is None or usage.cached_tokens is None or usage.input_tokens is None:
        return None
    return usage.cached_tokens * 2 >= usage.input_tokens


def first_token(timeline: Timeline) -> int | None:
    """The moment of the first token of either kind."""
    moments = [moment for moment in (timeline.first_reasoning_token, timeline.first_answer_token) if moment is not None]
    return min(moments, default=None)


def seconds(timeline: Timeline, moment: int) -> float:
    """Seconds from the request's issue to a moment of its exchange."""
    return (moment - timeline.issued) * _NANOSECOND


def _conversation(attributes: dict[str, AttributeValue], identity: str, source: str, settings: Settings) -> None:
    attributes[names.XAI_CONVERSATION_ID_SOURCE] = source
    if settings.conversation_id == "plain":
        attributes[names.CONVERSATION_ID] = identity
    elif settings.conversation_id == "hashed":
        attributes[names.CONVERSATION_ID] = hmac.new(settings.key, identity.encode(), hashlib.sha256).hexdigest()[:32]

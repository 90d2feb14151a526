"""The four shapes in which xAI reports usage, brought to the one way in which the conventions count.

=====================  ======================================  =====================
endpoint               input                                   output
=====================  ======================================  =====================
chat completions       includes cached                         excludes reasoning
responses              includes cached                         includes reasoning
messages               excludes cached (Anthropic's way)       includes reasoning
gRPC                   includes cached                         excludes reasoning
=====================  ======================================  =====================

Gateways and older answers deviate, so the total decides where there is one. Null and wrong types are
absence; a reported 0 is a value.
"""

from typing import Any

from ..observation import Usage

_TOOLS = "num_server_side_tools_used"
_MOST = 1 << 53  # beyond is no count, and exporters have 64 bits for their sum


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value <= _MOST else None


def openai_usage(counts: Any) -> Usage | None:
    """Usage in OpenAI's shapes: chat completions (``prompt_tokens``) and Responses (``input_tokens``).

    Both spellings are read on both endpoints, since xAI's stored responses use the chat names.
    """
    if type(counts) is not dict or not counts:
        return None
    get = counts.get
    prompt, completion = _count(get("prompt_tokens")), _count(get("completion_tokens"))
    split, answer_split = get("prompt_tokens_details"), get("completion_tokens_details")
    if prompt is None and completion is None:
        prompt, completion = _count(get("input_tokens")), _count(get("output_tokens"))
        split, answer_split = get("input_tokens_details"), get("output_tokens_details")
    cached = _count(split.get("cached_tokens")) if type(split) is dict else None
    reasoning = _count(answer_split.get("reasoning_tokens")) if type(answer_split) is dict else None
    input_tokens, output_tokens = prompt, completion
    if prompt is not None and completion is not None:
        total = _count(get("total_tokens"))
        if total != prompt + completion or (reasoning or 0) > completion:
            input_tokens, output_tokens = _by_total(total, prompt, completion, cached or 0, reasoning or 0)
    return Usage(
        input_tokens,
        output_tokens,
        cached,
        reasoning,
        _count(get("cost_in_usd_ticks")) or None,  # xAI: 0 means unbilled or unreported
        _modalities(split, input_tokens),
        *(_tools_on_server(counts) if "server_side_tool_usage_details" in counts or _TOOLS in counts else ()),
    )


def _tools_on_server(counts: dict[str, Any]) -> tuple[bool, int | None]:
    """Whether tools ran on the server, and the input of the last turn there."""
    details, context = counts.get("server_side_tool_usage_details"), counts.get("context_details")
    used = [counts.get(_TOOLS), *(details.values() if type(details) is dict else ())]
    if not any(_count(number) for number in used):
        return False, None
    return True, _count(context.get("input_tokens")) if type(context) is dict else None


def _by_total(total: int | None, prompt: int, completion: int, cached: int, reasoning: int) -> tuple[int, int]:
    """Input and output where they do not simply add up to the total: which parts does the total count apart?

    Without a total that fits, a part that is larger than what should include it cannot be included in it.
    """
    for input_tokens in (prompt, prompt + cached):
        for output_tokens in (completion + reasoning, completion):
            if total == input_tokens + output_tokens and (input_tokens >= cached and output_tokens >= reasoning):
                return input_tokens, output_tokens
    return (
        prompt + cached if cached > prompt else prompt,
        completion + reasoning if reasoning > completion else completion,
    )


def _modalities(split: Any, input_tokens: int | None) -> tuple[tuple[str, int], ...]:
    """The input by kind, if xAI's split adds up to it."""
    if type(split) is not dict or not input_tokens:
        return ()
    text = _count(split.get("text_tokens"))
    if text == input_tokens:
        return (("text", text),)
    parts = (("text", text), ("image", _count(split.get("image_tokens"))), ("audio", _count(split.get("audio_tokens"))))
    known = tuple((kind, tokens) for kind, tokens in parts if tokens)
    return known if sum(tokens for _, tokens in known) == input_tokens else ()


def sampling_usage(usage: Any) -> Usage | None:
    """Usage of gRPC, a ``SamplingUsage`` message, whose counts are 0 where they are absent.

    Whether its text tokens include the cached ones is told by whether the kinds add up to the prompt.
    """
    prompt, completion, reasoning = usage.prompt_tokens, usage.completion_tokens, usage.reasoning_tokens
    cached, text, images = usage.cached_prompt_text_tokens, usage.prompt_text_tokens, usage.prompt_image_tokens
    return openai_usage(
        {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": usage.total_tokens or prompt + completion + reasoning,
            "prompt_tokens_details": {
                "cached_tokens": cached,
                "text_tokens": text + cached if text + cached + images == prompt else text,
                "image_tokens": images,
            },
            "completion_tokens_details": {"reasoning_tokens": reasoning},
            "cost_in_usd_ticks": getattr(usage, "cost_in_usd_ticks", None),  # not in every version of the SDK
            _TOOLS: len(getattr(usage, "server_side_tools_used", ())),
        }
    )


def anthropic_usage(counts: Any) -> Usage | None:
    """Usage of ``/v1/messages``: cache reads and writes come beside ``input_tokens`` and belong to the input."""
    if type(counts) is not dict or not counts:
        return None
    get = counts.get
    fresh, cached = _count(get("input_tokens")), _count(get("cache_read_input_tokens"))
    return Usage(
        None if fresh is None else fresh + (cached or 0) + (_count(get("cache_creation_input_tokens")) or 0),
        _count(get("output_tokens")),
        cached,
        cost_ticks=_count(get("cost_in_usd_ticks")) or None,
    )

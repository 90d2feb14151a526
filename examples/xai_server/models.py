"""The models: which names are known, what /v1/models says about them."""

from __future__ import annotations

from xai_server.errors import ApiError
from xai_server.prices import LONG_CONTEXT, PRICES, price_of
from xai_server.prompt import JSON

_ALIASES = {"grok-4.20": "grok-4.20-0309-reasoning"}


def resolve(name: str) -> str:
    """Give the model that answers to a name; any name will do unless it starts with "no-such"."""
    if name.startswith("no-such"):
        raise ApiError(404, f"The model {name} does not exist or your team does not have access to it.")
    return _ALIASES.get(name, name)


def all_models() -> list[JSON]:
    """List the models that have a price."""
    return [_described(name) for name in PRICES]


def one_model(name: str) -> JSON:
    """Describe one model of the list."""
    if resolve(name) not in PRICES:
        raise ApiError(404, f"The model {name} does not exist or your team does not have access to it.")
    return _described(resolve(name))


def _described(name: str) -> JSON:
    price = price_of(name)
    described: JSON = {
        "id": name,
        "object": "model",
        "created": 1_758_412_800,
        "owned_by": "xai",
        "aliases": [alias for alias, model in _ALIASES.items() if model == name],
        # 10,000 units are $1 per million tokens, which is the same as ticks per token.
        "prompt_text_token_price": price.input,
        "cached_prompt_text_token_price": price.cached,
        "completion_text_token_price": price.output,
    }
    if price.long > 1:
        described["long_context_threshold"] = LONG_CONTEXT
        described["prompt_text_token_price_long_context"] = price.input * price.long
        described["cached_prompt_text_token_price_long_context"] = price.cached * price.long
        described["completion_text_token_price_long_context"] = price.output * price.long
    return described

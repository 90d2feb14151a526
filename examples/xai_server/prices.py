"""What tokens cost, and the sum that xAI reports as `cost_in_usd_ticks`.

Prices are those of docs.x.ai in autumn 2026, kept in ticks per token: one US
dollar is 10,000,000,000 ticks, so $1 per million tokens is 10,000 ticks a token
and every price is a whole number. Tiers, regions and batches are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

TICKS_PER_USD = 10_000_000_000
LONG_CONTEXT = 200_000


@dataclass(frozen=True)
class Price:
    """Ticks per token; `long` is the factor from 200,000 prompt tokens on."""

    input: int
    cached: int
    output: int
    long: int = 2


_GROK_4_7 = Price(20_000, 5_000, 60_000)
_GROK_4_3 = Price(12_500, 2_000, 25_000)
_GROK_4_FAST = Price(2_000, 500, 5_000, long=1)
_GROK_3 = Price(30_000, 7_500, 150_000, long=1)

PRICES: Mapping[str, Price] = {
    "grok-4.7": _GROK_4_7,
    "grok-4.6": _GROK_4_7,
    "grok-4.5": Price(20_000, 3_000, 60_000),
    "grok-4.3": _GROK_4_3,
    "grok-4.20-0309-reasoning": _GROK_4_3,
    "grok-4.20-0309-non-reasoning": _GROK_4_3,
    "grok-4.20-multi-agent-0309": _GROK_4_3,
    "grok-build-0.1": Price(10_000, 2_000, 20_000),
    "grok-4-1-fast-reasoning": _GROK_4_FAST,
    "grok-4-1-fast-non-reasoning": _GROK_4_FAST,
    "grok-code-fast-1": Price(2_000, 200, 15_000, long=1),
    "grok-4-0709": _GROK_3,
    "grok-3": _GROK_3,
    "grok-3-mini": Price(3_000, 750, 5_000, long=1),
}

# Ticks per call of a tool that runs at xAI: $5, $10 and $2.50 per thousand.
TOOL_PRICES: Mapping[str, int] = {
    "web_search": 50_000_000,
    "x_search": 50_000_000,
    "code_interpreter": 50_000_000,
    "attachment_search": 100_000_000,
    "file_search": 25_000_000,
}


def price_of(model: str) -> Price:
    """Give the price of a model; one that is not in the table costs as grok-4.7."""
    return PRICES.get(model, _GROK_4_7)


def cost_in_usd_ticks(
    model: str, input: int, cached: int, output_all: int, tool_calls: Mapping[str, int] | None = None
) -> int:
    """Sum up a request; `output_all` includes the reasoning, which costs the output price."""
    price = price_of(model)
    # The high rate applies to all tokens of the request, not to those beyond the limit.
    factor = price.long if input >= LONG_CONTEXT else 1
    tokens = (input - cached) * price.input + cached * price.cached + output_all * price.output
    tools = sum(TOOL_PRICES[name] * calls for name, calls in (tool_calls or {}).items())
    return factor * tokens + tools

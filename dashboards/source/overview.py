"""The board "xAI overview": is the cache working, is it fast, is it healthy, what does it cost."""

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard

from . import cache, coverage, health, links, money, speed, variables
from .layout import Block, Board, Row, built

UID: Final = "xai-overview"


def board() -> Dashboard:
    """The table of contents."""
    return built(
        Board(
            uid=UID,
            title="xAI overview",
            description=(
                "Calls to xAI's Grok API, from opentelemetry-instrumentation-xai. Green is as it should be, red is "
                "yours to fix, orange is the provider's or to be watched; blue and grey are volumes."
            ),
            tags=("xai", "opentelemetry", "llm"),
            since="now-6h",
            variables=(variables.job(), variables.model(), variables.tempo()),
            links=(links.board("xAI cache regressions", "xai-cache-regressions", "What is lost, and why"),),
            annotations=(),
            rows=(
                Row(
                    "Is the cache working?",
                    (
                        Block(
                            (cache.efficiency(), cache.from_cache()),
                            (cache.efficiency_over_time(), cache.input_tokens()),
                        ),
                        Block(
                            (cache.saved(), cache.lost()),
                            (cache.saved_and_lost(), cache.outcomes()),
                        ),
                    ),
                ),
                Row(
                    "Is it fast?",
                    (
                        Block(
                            (speed.first_token(), speed.cold_penalty()),
                            (speed.first_token_percentiles(), speed.warm_against_cold()),
                        ),
                        Block((), (speed.moments(), speed.durations(), speed.output_speed())),
                    ),
                ),
                Row(
                    "Is it healthy?",
                    (
                        Block(
                            (health.answered(), health.failed()),
                            (health.calls(), health.failures(), coverage.unreported()),
                        ),
                    ),
                ),
                Row(
                    "What does it cost?",
                    (
                        Block(
                            (money.cost(), money.per_thousand_calls()),
                            (money.cost_by_model(), money.by_model()),
                            widths=(9, 11),
                        ),
                        Block(
                            (), (money.per_thousand_calls_by_model(), money.output_tokens(), money.tokens_of_a_call())
                        ),
                    ),
                ),
            ),
        )
    )

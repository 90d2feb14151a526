"""The board "xAI cache regressions": what is lost, why, since when, and to whom."""

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard

from . import cache, conversations, coverage, deployments, links, losses, speed, variables
from .layout import Block, Board, Row, built

UID: Final = "xai-cache-regressions"


def board() -> Dashboard:
    """The table of contents."""
    return built(
        Board(
            uid=UID,
            title="xAI cache regressions",
            description=(
                "Why xAI's prompt cache was not used, from opentelemetry-instrumentation-xai. Green is reused, red is "
                "lost by the client and yours to fix, orange is lost by the provider; grey is expected. Each reason "
                "has a section in the runbook."
            ),
            tags=("xai", "opentelemetry", "llm", "cache"),
            since="now-24h",
            variables=(variables.job(), variables.model(), variables.objective(), variables.tempo()),
            links=(links.board("xAI overview", "xai-overview", "Cache, speed, health and cost"),),
            annotations=(deployments.from_target_info(), deployments.from_labels()),
            rows=(
                Row(
                    "What is lost, and why?",
                    (
                        Block(
                            (cache.efficiency(), losses.per_hour(), losses.worst_reason()),
                            (losses.cost_by_reason(), cache.against_objective()),
                            height=9,
                        ),
                        Block((cache.margin(), losses.repeated()), (losses.what_to_do(),), height=10),
                        Block((), (losses.tokens_by_reason(), losses.by_cause(), cache.potential())),
                    ),
                ),
                Row(
                    "Compared with before, and between models",
                    (Block((), (cache.by_model(), cache.drift())),),
                ),
                Row(
                    "Can it be seen? Conversation ids and telemetry",
                    (
                        Block(
                            (coverage.ids(), coverage.telemetry()),
                            (coverage.ids_over_time(), coverage.blind_spots()),
                        ),
                    ),
                ),
                Row(
                    "What do misses cost in time?",
                    (
                        Block(
                            (speed.first_token(), speed.cold_penalty()),
                            (speed.warm_against_cold(), speed.warm_against_cold_unstreamed()),
                        ),
                    ),
                ),
                Row(
                    "Conversations (traces)",
                    (
                        Block((), (conversations.lost_by_conversation(), conversations.cached_by_conversation())),
                        Block((), (conversations.worst_calls(), conversations.id_problems()), (16, 8)),
                    ),
                    collapsed=True,
                ),
            ),
        )
    )

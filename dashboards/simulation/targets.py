"""What the rules have to reach, in one place."""

from typing import Final, NamedTuple

from .scenarios import HEALTHY, NOISY

PAGE: Final = "critical"
TICKET: Final = "warning"
INFO: Final = "info"
SEVERITIES: Final = (PAGE, TICKET, INFO)


class Quiet(NamedTuple):
    """At most so many false alarms of a severity a week, at each rate."""

    severity: str
    weeks: tuple[str, ...]
    most_a_week: float


class Prompt(NamedTuple):
    """A regression is told of by alerts of a severity within so many minutes, as the median of the seeds."""

    regression: str
    severity: str
    within: int
    rate: int = 300


QUIET: Final = (Quiet(PAGE, (HEALTHY, NOISY), 0.0), Quiet(TICKET, (HEALTHY,), 0.2))
PROMPT: Final = (
    Prompt("clock_in_prompt", PAGE, 15),
    Prompt("random_conversation_ids", PAGE, 15),
    Prompt("reasoning_dropped", PAGE, 15),
    Prompt("one_route", PAGE, 60),
    Prompt("flag_10_percent", PAGE, 60),
    Prompt("provider_loss", TICKET, 120),
)

"""The colours, each of which means one thing on both boards.

Green is as it should be: reused, saved, warm. Red is lost by the client: ours to fix. Orange is lost by the provider,
or another thing to watch. What has no merit or blame, volumes and models, is blue or grey.
"""

import colorsys
from collections.abc import Mapping
from typing import Final

from opentelemetry.instrumentation.xai import conventions as names

GOOD: Final = "green"
OURS: Final = "red"
THEIRS: Final = "orange"
VOLUME: Final = "blue"
LIGHT: Final = "super-light-blue"
HIGH: Final = "purple"
PAST: Final = "#8e8e8e"
LONG_PAST: Final = "#5f6570"
LINE: Final = "text"

MODELS: Final[Mapping[str, str]] = {
    "/grok-4[.]7/": VOLUME,
    "/grok-4[.]6/": "light-blue",
    "/grok-4[.]5/": "#3fb8c9",
    "/grok-4[.]3/": "light-purple",
    "/grok-4[.]2/": "#7c8bd9",
    "/grok-(4-0|[23])/": "#b3a1c9",
    "/code|build/": HIGH,
    "/fast|mini/": LIGHT,
}
"""Of families of models, by what is in their names; the others are shades of blue."""

CAUSES: Final[Mapping[str, str]] = {
    names.CAUSE_CLIENT: OURS,
    names.CAUSE_PROVIDER: THEIRS,
    names.CAUSE_EXPECTED: "#9fa7b3",
    names.CAUSE_UNKNOWN: "#6e7687",
}


_HUES: Final = {  # of each cause: first and last hue, saturation
    names.CAUSE_CLIENT: (335.0, 369.0, 0.80),
    names.CAUSE_PROVIDER: (28.0, 44.0, 0.95),
    names.CAUSE_EXPECTED: (215.0, 215.0, 0.10),
    names.CAUSE_UNKNOWN: (215.0, 215.0, 0.16),
}


def _of_reasons() -> dict[str, str]:
    colors = {}
    for cause, (first, last, saturation) in _HUES.items():
        reasons = [reason for reason, (its_cause, _) in names.REASONS.items() if its_cause == cause]
        for place, reason in enumerate(reasons):
            hue = first + (last - first) * place / max(1, len(reasons) - 1)
            lightness = (0.62, 0.50, 0.72)[place % 3]
            parts = colorsys.hls_to_rgb(hue % 360 / 360, lightness, saturation)
            colors[reason] = "#" + "".join(f"{round(part * 255):02x}" for part in parts)
    return colors


REASONS: Final[Mapping[str, str]] = _of_reasons()
"""A shade of its cause's colour for each reason, neighbours in the runbook told apart by lightness."""

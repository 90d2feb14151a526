"""Whether what a server answers is data, and whether it is what was expected."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .totals import Labels, Vector

TOLERANCE = 0.01


def has_data(series: Sequence[Mapping[str, Any]]) -> bool:
    """Whether there is a number to draw."""
    values = [value for one in series for _, value in one.get("values", [one.get("value")])]
    return any(not math.isnan(float(value)) for value in values)


def vector(series: Sequence[Mapping[str, Any]]) -> Vector:
    """An instant result by its labels."""
    return {frozenset(one["metric"].items()): float(one["value"][1]) for one in series}


def differences(found: Vector, expected: Vector) -> dict[Labels, tuple[float | None, float | None]]:
    """What differs by more than is allowed; a group that is missing has counted nothing."""
    return {
        labels: (found.get(labels), expected.get(labels))
        for labels in {*found, *expected}
        if not math.isclose(found.get(labels, 0), expected.get(labels, 0), rel_tol=TOLERANCE, abs_tol=1e-9)
    }

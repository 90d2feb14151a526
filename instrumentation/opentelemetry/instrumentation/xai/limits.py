"""How much of anything is kept or exported, where more than one file must agree on it. Pure data."""

from typing import Final

LONGEST_NAME: Final = 256
"""Characters of an id, a model, a finish reason or any other short text; what is longer is cut."""

LARGEST_KEPT: Final = 128 * 1024
"""Bytes of a body, or of one event of it, that are kept whole; a larger one is reduced while it arrives."""

"""Forked children: what must be made anew in them. A lock may be held by a thread that does not exist in the child.

One hook for the whole package, since a hook cannot be taken back; it keeps nothing alive.
"""

import os
from typing import Protocol
from weakref import WeakSet


class Forked(Protocol):
    """What has something to make anew."""

    def forked(self) -> None:
        """Make it anew: called in the child, in whose only thread nothing else runs yet."""


_watched: "WeakSet[Forked]" = WeakSet()


def after_fork(holder: Forked) -> None:
    """Call ``holder.forked()`` in each child that is forked while the holder lives."""
    _watched.add(holder)


def _forked() -> None:
    for holder in list(_watched):
        holder.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)

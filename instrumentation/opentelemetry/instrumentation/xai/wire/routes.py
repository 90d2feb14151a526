"""Which requests are ours: (host, method, path) to a dialect. Everything else is left alone.

Hosts that count by themselves are ``api.x.ai`` and what ends in ``.api.x.ai`` (regions, mTLS). Paths are
matched by their end, since gateways put the API under a path of their own.
"""

from .chat_completions import ChatCompletions
from .dialect import Dialect
from .messages import Messages
from .responses import Responses

_DIALECTS: dict[str, Dialect] = {
    "/chat/completions": ChatCompletions(),
    "/responses": Responses(),
    "/messages": Messages(),
}
_EXACT: dict[str, Dialect] = {f"/v1{end}": dialect for end, dialect in _DIALECTS.items()}
_XAI = "api.x.ai"
_MOST_HOSTS_KEPT = 1024


def dialect_of(method: str, path: str) -> Dialect | None:
    """The dialect of a request to a host that speaks xAI's API, or ``None`` if the request is not ours."""
    if method != "POST":
        return None
    dialect = _EXACT.get(path)
    if dialect is None:
        for end, candidate in _DIALECTS.items():
            if path.endswith(end):
                return candidate
    return dialect


class Hosts(dict[str, bool]):
    """Whether a host may speak xAI's API: ``hosts[name]`` is one dictionary look-up.

    ``further`` are names, ``name:port``, or ``*``. What is asked for is remembered, up to a bound.
    """

    __slots__ = ("_every", "_further", "names")

    def __init__(self, further: tuple[str, ...] = ()) -> None:
        super().__init__()
        self._every = "*" in further
        self._further = frozenset(further)
        self.names = ("",) if self._every else (_XAI, *dict.fromkeys(map(_name_of, further)))
        """One of these is in every URL of a host that may speak it, and hardly in another: the cheapest first look."""

    def __missing__(self, host: str) -> bool:
        ours = self._every or _is_xai(host) or any(_name_of(entry) == host for entry in self._further)
        if len(self) < _MOST_HOSTS_KEPT:
            self[host] = ours
        return ours

    def speaks(self, host: str, port: int) -> bool:
        """Whether this very server speaks xAI's API; for a host of which ``hosts[host]`` is true."""
        if self._every or _is_xai(host):
            return True
        name = f"[{host}]" if ":" in host else host
        return name in self._further or f"{name}:{port}" in self._further


def _is_xai(host: str) -> bool:
    return host == _XAI or host.endswith(f".{_XAI}")


def _name_of(entry: str) -> str:
    """The host of ``host``, ``host:port``, ``[v6]`` or ``[v6]:port``."""
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry

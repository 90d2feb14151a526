"""Which servers and models cache nothing at all, learned from their answers: resellers of xAI's models often do not."""

_ELIGIBLE = 20
_MOST = 1000


class Support:
    """How often each server and model could have read from its cache before it ever did."""

    def __init__(self) -> None:
        self._misses: dict[tuple[tuple[str, int], str | None], int] = {}
        """Eligible exchanges that read nothing; -1 where something was read once."""

    def is_absent(self, endpoint: tuple[str, int], model: str | None) -> bool:
        """Whether this server and model never cached anything, in enough exchanges that could have read."""
        return self._misses.get((endpoint, model), 0) >= _ELIGIBLE and not _is_xai(endpoint[0])

    def learn(self, endpoint: tuple[str, int], model: str | None, cached: int, eligible: bool) -> None:
        """Note an answer: how many tokens it read, and whether there was something to read."""
        key = (endpoint, model)
        known = self._misses.get(key, 0)
        if cached:
            if known < 0:
                return
            known = -1
        elif eligible and known >= 0:
            known += 1
        else:
            return
        if key in self._misses or len(self._misses) < _MOST:
            self._misses[key] = known


def _is_xai(host: str) -> bool:
    """Whether a server is xAI's own, which caches for every model."""
    return host == "x.ai" or host.endswith(".x.ai")

"""The prompt caches: which prefixes a virtual server knows, and which server is asked.

A prefix is kept as a chain of block digests: each digest stands for everything up
to the end of its block, so the longest known prefix is the last digest found.
What the tokens are, and what a hit is worth, is decided elsewhere.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b

from xai_server.settings import ServerSettings


def chain(tokens: Sequence[str], block: int) -> list[bytes]:
    """Digest all whole blocks of a prompt, each together with all before it."""
    digests = []
    digest = b""
    for start in range(0, len(tokens) - block + 1, block):
        text = "\x1f".join(tokens[start : start + block])
        digest = blake2b(digest + text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        digests.append(digest)
    return digests


class PrefixCache:
    """The cache of one virtual server; models do not share."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._blocks: OrderedDict[tuple[str, bytes], None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._blocks)

    def known_blocks(self, model: str, digests: Sequence[bytes]) -> int:
        """Count how many blocks from the start are known, and mark them as used."""
        known = 0
        while known < len(digests) and (model, digests[known]) in self._blocks:
            known += 1
        self._touch(model, digests[:known])
        return known

    def remember(self, model: str, digests: Sequence[bytes]) -> None:
        """Keep a prefix, at the cost of those unused for longest."""
        self._touch(model, digests)
        while len(self._blocks) > self._capacity:
            self._blocks.popitem(last=False)

    def evict(self) -> None:
        """Forget everything."""
        self._blocks.clear()

    def _touch(self, model: str, digests: Sequence[bytes]) -> None:
        # Last block first: the start of a prefix must outlive its end, which is worthless alone.
        for digest in reversed(digests):
            self._blocks[(model, digest)] = None
            self._blocks.move_to_end((model, digest))


class Cluster:
    """The virtual servers and the balancer in front of them."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._random = random.Random(settings.seed)
        self.caches = [PrefixCache(settings.capacity) for _ in range(settings.servers)]

    def server_of(self, conversation: str) -> int:
        """Give the number of the server that a conversation id always leads to."""
        digest = blake2b(conversation.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest, "big") % len(self.caches)

    def pick(self, conversation: str) -> PrefixCache:
        """Choose a server: by conversation id, at random without one."""
        if conversation:
            return self.caches[self.server_of(conversation)]
        return self._random.choice(self.caches)

    def cached_tokens(self, cache: PrefixCache, model: str, tokens: Sequence[str]) -> int:
        """Count the prompt tokens that this server has seen before."""
        block = self._settings.block
        cached = block * cache.known_blocks(model, chain(tokens, block))
        if cached >= max(1, self._settings.minimum_tokens):
            return cached
        # Cold calls with exactly one block have been measured again and again.
        if self._settings.noise and len(tokens) >= block:
            return self._random.choice((0, block))
        return 0

    def remember(self, cache: PrefixCache, model: str, tokens: Sequence[str]) -> None:
        """Put a prompt and its answer into the cache of the server that worked on it."""
        cache.remember(model, chain(tokens, self._settings.block))

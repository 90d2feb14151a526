"""Content codings: compressors that can be flushed after every event.

gzip and deflate come with Python, br and zstd need the packages `brotli` and
`zstandard`; without them those two are refused.
"""

from __future__ import annotations

import importlib
import zlib
from types import ModuleType
from typing import Any, Protocol

from xai_server.errors import ApiError


class Coder(Protocol):
    """A compressor for one body."""

    def encode(self, data: bytes, *, last: bool) -> bytes:
        """Compress so that the reader can decode all of `data` at once."""


class _Plain:
    def encode(self, data: bytes, *, last: bool) -> bytes:
        return data


class _Zlib:
    def __init__(self, window: int) -> None:
        self._zlib = zlib.compressobj(wbits=window)

    def encode(self, data: bytes, *, last: bool) -> bytes:
        return self._zlib.compress(data) + self._zlib.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)


class _Brotli:
    def __init__(self) -> None:
        self._brotli: Any = _optional("brotli").Compressor()

    def encode(self, data: bytes, *, last: bool) -> bytes:
        done = self._brotli.process(data)
        return bytes(done + (self._brotli.finish() if last else self._brotli.flush()))


class _Zstandard:
    def __init__(self) -> None:
        self._module: Any = _optional("zstandard")
        self._zstd = self._module.ZstdCompressor().compressobj()

    def encode(self, data: bytes, *, last: bool) -> bytes:
        how = self._module.COMPRESSOBJ_FLUSH_FINISH if last else self._module.COMPRESSOBJ_FLUSH_BLOCK
        return bytes(self._zstd.compress(data) + self._zstd.flush(how))


def coder_for(encoding: str | None) -> Coder:
    """Make the compressor for a content coding; None leaves bytes as they are."""
    if encoding == "gzip":
        return _Zlib(31)
    if encoding == "deflate":
        return _Zlib(15)
    if encoding == "br":
        return _Brotli()
    if encoding == "zstd":
        return _Zstandard()
    return _Plain()


def _optional(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ApiError(400, f"This encoding needs the Python package {name!r}, which is not installed") from None

"""Content codings: compressed bytes to plain ones, incremental and in bounded pieces.

gzip and deflate come with Python. For br and zstd the decoder that the client library itself uses is taken, if there
is one: where there is none, the client did not ask for that coding, and the body is noted as unreadable.
"""

import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

_PIECE = 64 * 1024
_INPUT = 256  # fed to decoders that cannot bound their output, so that one call cannot inflate to much
_MOST_CODINGS = 3
_LARGEST_WINDOW = 8 * 1024 * 1024  # RFC 9659: what a zstd sender may ask of a receiver over HTTP


DAMAGED = "damaged"
"""Why a body cannot be decoded if the client library cannot decode it either, and raises an exception of its own."""


class UnreadableError(Exception):
    """The body cannot be decoded; says why in one word, and nothing of the body."""


class Decoder(Protocol):
    """One content coding of one body."""

    @property
    def complete(self) -> bool:
        """Whether client libraries take the body for whole if it ends here: not all of them mind a missing end."""

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Take coded bytes, give plain ones in bounded pieces; raises ``UnreadableError``."""


class _Zlib:
    """gzip (with members in sequence) and deflate (with and without its zlib header, as senders disagree).

    What follows a member and is none itself is passed over, as clients do.
    """

    complete = True

    def __init__(self, coding: str) -> None:
        self._deflate = coding == "deflate"
        self._whole = self._over = False
        self._bits = zlib.MAX_WBITS if self._deflate else zlib.MAX_WBITS | 16
        self._decompressor = zlib.decompressobj(self._bits)
        self._first = b""

    def decode(self, data: bytes) -> Iterator[bytes]:
        if self._over:
            return
        try:
            if self._deflate:
                self._first += data
                if len(self._first) < 2:  # the header that tells the two apart has two bytes
                    return
                data, self._deflate = self._first, False
                if data[0] & 0x0F != 8 or int.from_bytes(data[:2], "big") % 31:
                    self._bits = -zlib.MAX_WBITS
                    self._decompressor = zlib.decompressobj(self._bits)
            plain = b""
            while data:
                if self._decompressor.eof:
                    self._decompressor = zlib.decompressobj(self._bits)
                    self._whole = True
                plain = self._decompressor.decompress(data, _PIECE)
                data = self._decompressor.unconsumed_tail or self._decompressor.unused_data
                if plain:
                    yield plain
            while len(plain) == _PIECE and not self._decompressor.eof:  # there may be more of it
                plain = self._decompressor.decompress(b"", _PIECE)
                if plain:
                    yield plain
        except zlib.error:
            if not self._whole:
                raise UnreadableError(DAMAGED) from None
            self._over = True


class _Brotli:
    def __init__(self, module: Any) -> None:
        decompressor = module.Decompressor()
        self._process: Callable[..., bytes] = getattr(decompressor, "process", None) or decompressor.decompress
        self._error: type[Exception] = module.error
        self._bounded = True
        self._decompressor = decompressor

    @property
    def complete(self) -> bool:
        return not hasattr(self._decompressor, "finish") or bool(self._decompressor.is_finished())

    def decode(self, data: bytes) -> Iterator[bytes]:
        try:
            if self._bounded:
                try:
                    plain = self._process(data, output_buffer_limit=_PIECE)
                except TypeError:  # Brotli before 1.2 cannot bound its output
                    self._bounded = False
                else:
                    while plain:
                        yield plain
                        plain = self._process(b"", output_buffer_limit=_PIECE)
                    return
            for start in range(0, len(data), _INPUT):
                if plain := self._process(data[start : start + _INPUT]):
                    yield plain
        except self._error:
            raise UnreadableError(DAMAGED) from None


class _Zstd:
    """zstd by ``compression.zstd`` (Python 3.14) or its backport, which are the same."""

    def __init__(self, module: Any) -> None:
        options = {module.DecompressionParameter.window_log_max: _LARGEST_WINDOW.bit_length() - 1}
        self._new: Callable[[], Any] = lambda: module.ZstdDecompressor(options=options)
        self._error: type[Exception] = module.ZstdError
        self._decompressor = self._new()

    @property
    def complete(self) -> bool:
        return bool(self._decompressor.eof)

    def decode(self, data: bytes) -> Iterator[bytes]:
        try:
            while True:
                if self._decompressor.eof:
                    if not data:
                        return
                    self._decompressor = self._new()
                plain = self._decompressor.decompress(data, _PIECE)
                if plain:
                    yield plain
                data = self._decompressor.unused_data if self._decompressor.eof else b""
                if not data and (self._decompressor.eof or self._decompressor.needs_input):
                    return
        except self._error as error:
            raise UnreadableError(_why(error)) from None


class _Zstandard:
    """zstd by the ``zstandard`` package."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self._decompressor = self._new()

    @property
    def complete(self) -> bool:
        return bool(self._decompressor.eof)

    def _new(self) -> Any:
        return self._module.ZstdDecompressor(max_window_size=_LARGEST_WINDOW).decompressobj()

    def decode(self, data: bytes) -> Iterator[bytes]:
        try:
            for start in range(0, len(data), _INPUT):
                rest = data[start : start + _INPUT]
                while rest:
                    if self._decompressor.eof:
                        self._decompressor = self._new()
                    if plain := self._decompressor.decompress(rest):
                        yield plain
                    rest = self._decompressor.unused_data if self._decompressor.eof else b""
        except self._module.ZstdError as error:
            raise UnreadableError(_why(error)) from None


def _why(error: Exception) -> str:
    """Whether zstd data is damaged, or only asks for a larger window than we grant: it has one error for both."""
    return "window too large" if "memory" in str(error) else DAMAGED


def _first_of(*candidates: tuple[str, Callable[[Any], Decoder]]) -> Decoder:
    """A decoder of the first library that is there. Libraries are looked up when a body needs one, not before."""
    for name, decoder in candidates:
        try:
            __import__(name)
            return decoder(sys.modules[name])
        except (ImportError, AttributeError):  # noqa: PERF203  at most three
            continue
    raise UnreadableError("no decoder")


def _decoder_of(coding: str) -> Decoder | None:
    """The decoder of one coding; ``None`` for what is none, which clients pass over."""
    if coding in ("gzip", "x-gzip", "deflate"):
        return _Zlib(coding)
    if coding == "br":
        return _first_of(("brotli", _Brotli), ("brotlicffi", _Brotli))
    if coding == "zstd":
        return _first_of(("compression.zstd", _Zstd), ("backports.zstd", _Zstd), ("zstandard", _Zstandard))
    return None


class _Chain:
    """Several codings, the last applied first."""

    def __init__(self, decoders: list[Decoder]) -> None:
        self._decoders = decoders

    @property
    def complete(self) -> bool:
        return all(decoder.complete for decoder in self._decoders)

    def decode(self, data: bytes) -> Iterator[bytes]:
        return self._through(iter((data,)), len(self._decoders))

    def _through(self, pieces: Iterator[bytes], left: int) -> Iterator[bytes]:
        if not left:
            yield from pieces
            return
        for piece in pieces:
            yield from self._through(self._decoders[left - 1].decode(piece), left - 1)


def decoder_for(content_encoding: str) -> Decoder | None:
    """The decoder for a ``Content-Encoding`` value, ``None`` for a plain body; raises ``UnreadableError``."""
    codings = [
        coding for part in content_encoding.lower().split(",") if (coding := part.strip()) not in ("", "identity")
    ]
    if not codings:
        return None
    if len(codings) > _MOST_CODINGS:
        raise UnreadableError("too many codings")
    decoders = [decoder for coding in codings if (decoder := _decoder_of(coding)) is not None]
    if not decoders:
        return None
    return decoders[0] if len(decoders) == 1 else _Chain(decoders)

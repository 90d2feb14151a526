"""Content codings: compressed bytes to plain ones, however they are cut, and never much at a time."""

import gzip
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opentelemetry.instrumentation.xai.wire import content_coding
from opentelemetry.instrumentation.xai.wire.content_coding import UnreadableError, decoder_for

PIECE = 64 * 1024
TEXT = "".join(f"The cache keeps what it has seen, {number} times: é 🚀.\n" for number in range(200)).encode()


def _raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


def _brotli(data: bytes) -> bytes:
    return bytes(pytest.importorskip("brotli").compress(data))


def _zstd(data: bytes) -> bytes:
    return bytes(pytest.importorskip("zstandard").ZstdCompressor().compress(data))


ENCODERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "gzip-members": ("gzip", lambda data: gzip.compress(data[:100]) + gzip.compress(b"") + gzip.compress(data[100:])),
    "deflate-zlib": ("deflate", zlib.compress),
    "deflate-raw": ("deflate", _raw_deflate),
    "br": ("br", _brotli),
    "zstd": ("zstd", _zstd),
    "zstd-frames": ("zstd", lambda data: _zstd(data[:100]) + _zstd(b"") + _zstd(data[100:])),
    "chain": ("deflate, gzip", lambda data: gzip.compress(zlib.compress(data))),
    "chain-of-three": ("gzip, br, zstd", lambda data: _zstd(_brotli(gzip.compress(data)))),
    "upper-case": (" GZIP ,identity", gzip.compress),
}


def decoded(coding: str, chunks: Iterable[bytes]) -> bytes:
    """All plain bytes of the chunks."""
    decoder = decoder_for(coding)
    assert decoder is not None
    return b"".join(piece for chunk in chunks for piece in decoder.decode(chunk))


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("size", [1, 7, 1000, 1 << 20])
def test_a_coding_is_undone(name: str, size: int) -> None:
    """Each coding is undone, whole or in chunks of any size."""
    coding, encode = ENCODERS[name]
    content = encode(TEXT)
    assert decoded(coding, (content[at : at + size] for at in range(0, len(content), size))) == TEXT


@pytest.mark.parametrize("name", ENCODERS)
@settings(max_examples=30, deadline=None)
@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(0, 400), max_size=6))
def test_any_bytes_survive(name: str, data: bytes, cuts: list[int]) -> None:
    """Arbitrary content comes out as it went in, wherever its coded form is cut."""
    coding, encode = ENCODERS[name]
    content = encode(data)
    ends = sorted(min(cut, len(content)) for cut in cuts)
    chunks = [content[start:end] for start, end in zip([0, *ends], [*ends, len(content)], strict=True)]
    assert decoded(coding, chunks) == data


@pytest.mark.parametrize("name", [name for name in ENCODERS if name not in ("zstd-frames", "gzip-members")])
def test_plain_bytes_come_as_soon_as_they_can(name: str) -> None:
    """What has been flushed by the sender is given at once, not at the end of the body."""
    coding = ENCODERS[name][0]
    if coding != "gzip":
        return
    compressor = zlib.compressobj(wbits=31)
    decoder = decoder_for(coding)
    assert decoder is not None
    for event in (b"data: 1\n\n", b"data: 2\n\n"):
        assert b"".join(decoder.decode(compressor.compress(event) + compressor.flush(zlib.Z_SYNC_FLUSH))) == event


@pytest.mark.parametrize("name", ["gzip", "deflate-zlib", "br", "zstd", "chain"])
def test_damage_is_told(name: str) -> None:
    """Bytes that are damaged raise the one error there is, which says nothing of them."""
    coding, encode = ENCODERS[name]
    content = bytearray(encode(TEXT))
    for at in range(len(content) // 2, len(content) // 2 + 40):
        content[at] ^= 0x5A
    content[0] ^= 0xFF
    with pytest.raises(UnreadableError, match=r"^damaged$"):
        decoded(coding, [bytes(content)] * 3)


@pytest.mark.parametrize("name", ENCODERS)
@settings(max_examples=30, deadline=None)
@given(chunks=st.lists(st.binary(max_size=60), max_size=5))
def test_arbitrary_bytes_raise_nothing_else(name: str, chunks: list[bytes]) -> None:
    """Whatever is no content of a coding raises ``UnreadableError`` or nothing."""
    if "br" in ENCODERS[name][0]:
        pytest.importorskip("brotli")
    if "zstd" in ENCODERS[name][0]:
        pytest.importorskip("zstandard")
    try:
        decoded(ENCODERS[name][0], chunks)
    except UnreadableError as error:
        assert str(error) == "damaged"


@pytest.mark.parametrize("name", [name for name in ENCODERS if name not in ("zstd-frames", "gzip-members")])
def test_a_cut_body_gives_what_there_is(name: str) -> None:
    """A body that breaks off gives what came of it, and no error."""
    coding, encode = ENCODERS[name]
    content = encode(TEXT)
    assert TEXT.startswith(decoded(coding, [content[: len(content) // 2]]))


@pytest.mark.parametrize("coding", ["", "identity", " , identity ,", "none", "utf-8", "compress"])
def test_a_plain_body_needs_no_decoder(coding: str) -> None:
    """No coding, one that changes nothing, and one that is none, which clients pass over, have no decoder."""
    assert decoder_for(coding) is None


@pytest.mark.parametrize(
    ("coding", "reason"),
    [("gzip,gzip,gzip,gzip", "too many codings")],
)
def test_a_coding_that_cannot_be_undone_is_told(coding: str, reason: str) -> None:
    """Codings that are too many are refused before a byte is looked at."""
    with pytest.raises(UnreadableError, match=f"^{reason}$"):
        decoder_for(coding)


@pytest.mark.parametrize("coding", ["br", "zstd"])
def test_a_coding_without_its_library_is_told(coding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no library for a coding is installed, that is said."""
    for name in ("brotli", "brotlicffi", "compression.zstd", "backports.zstd", "zstandard"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UnreadableError, match="^no decoder$"):
        decoder_for(coding)


_ZSTD_LIBRARIES = ("compression.zstd", "backports.zstd", "zstandard")


@pytest.mark.parametrize("library", _ZSTD_LIBRARIES)
@pytest.mark.parametrize("name", ["zstd", "zstd-frames"])
def test_each_zstd_library_will_do(library: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """zstd is undone by whichever library is installed."""
    pytest.importorskip(library)
    coding, encode = ENCODERS[name]
    content = encode(TEXT)
    for other in _ZSTD_LIBRARIES:
        if other != library:
            monkeypatch.setitem(sys.modules, other, None)
    for size in (1, 300, len(content)):
        assert decoded(coding, (content[at : at + size] for at in range(0, len(content), size))) == TEXT
    with pytest.raises(UnreadableError, match="^damaged$"):
        decoded(coding, [b"no zstd at all, but long enough to tell"])


def test_an_older_brotli_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """A brotli that cannot bound its output is fed little by little instead."""
    brotli = pytest.importorskip("brotli")

    class Decompressor:
        """As it was before 1.2."""

        def __init__(self) -> None:
            self._real = brotli.Decompressor()

        def process(self, data: bytes) -> bytes:
            """Decompress without a limit."""
            assert len(data) <= 256
            return bytes(self._real.process(data))

    class Older:
        """The module."""

        error = brotli.error

    Older.Decompressor = Decompressor  # type: ignore[attr-defined]
    content = brotli.compress(TEXT)
    monkeypatch.setitem(sys.modules, "brotli", Older)
    assert decoded("br", [content]) == TEXT


@pytest.mark.parametrize("name", ["gzip", "deflate-zlib", "deflate-raw", "br", "zstd", "chain"])
def test_a_bomb_comes_in_bounded_pieces(name: str) -> None:
    """A few bytes that stand for very many are given in pieces, and only a few pieces' worth is held at a time."""
    coding, encode = ENCODERS[name]
    size = 32 << 20
    content = encode(b"\x00" * size)
    decoder = decoder_for(coding)
    assert decoder is not None
    total = 0
    tracemalloc.start()
    try:
        for piece in decoder.decode(content):
            total += len(piece)
            assert len(piece) <= 2 * PIECE
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == size
    assert peak < 24 << 20


def test_a_zstd_window_is_bounded() -> None:
    """A zstd frame that asks for more memory than HTTP allows is refused."""
    zstandard = pytest.importorskip("zstandard")
    parameters: Any = zstandard.ZstdCompressionParameters.from_level(1, window_log=25, enable_ldm=False)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    content = compressor.compress(TEXT * 3000) + compressor.flush()
    with pytest.raises(UnreadableError, match="^window too large$"):  # which clients may grant
        decoded("zstd", [content])


def test_libraries_are_looked_up_when_a_body_needs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """gzip and deflate look for no library."""
    looked_for: list[str] = []
    monkeypatch.setattr(
        content_coding, "_first_of", lambda *candidates: looked_for.extend(name for name, _ in candidates)
    )
    decoder_for("gzip, deflate")
    assert looked_for == []
    decoder_for("br")
    decoder_for("zstd")
    assert looked_for == ["brotli", "brotlicffi", "compression.zstd", "backports.zstd", "zstandard"]

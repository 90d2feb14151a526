"""What is read off a request before it is known to be ours."""

import pytest

from opentelemetry.instrumentation.xai.clients.request_parts import address_of, header_pairs, host_of, known_body


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://api.x.ai/v1/responses", "api.x.ai"),
        ("https://api.x.ai:443/v1/responses", "api.x.ai"),
        ("https://user:word@api.x.ai:443/v1", "api.x.ai"),
        ("http://[::1]:8080/v1", "::1"),
        ("http://user@[::1]/v1", "::1"),
        ("https://api.x.ai", "api.x.ai"),
        ("https://example.com/https://api.x.ai/v1", "example.com"),
        ("mailto:api.x.ai", ""),
        ("", ""),
    ],
)
def test_the_host_of_a_url_is_told(url: str, host: str) -> None:
    """Without parsing it; what names no host is nobody's."""
    assert host_of(url) == host


def test_an_address_has_the_schemes_port() -> None:
    """Unless the URL names one."""
    assert address_of("https://api.x.ai/v1/responses?x=1") == ("api.x.ai", 443, "/v1/responses")
    assert address_of("http://127.0.0.1/v1") == ("127.0.0.1", 80, "/v1")
    assert address_of("http://127.0.0.1:8080/v1") == ("127.0.0.1", 8080, "/v1")


def test_headers_and_bodies_of_any_kind_are_bytes() -> None:
    """Text, bytes and numbers; a file's body is not known."""
    given = [("a", "b"), (b"C", b"D"), ("e", 5), ("f", "\u00e9")]
    assert list(header_pairs(given)) == [(b"a", b"b"), (b"c", b"D"), (b"e", b"5"), (b"f", b"\xc3\xa9")]
    assert [known_body(body) for body in (b"a", "\u00e9", bytearray(b"b"), iter([b"c"]), None)] == [
        b"a", b"\xc3\xa9", b"b", None, None,
    ]  # fmt: skip

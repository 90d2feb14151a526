"""Which requests are ours: hosts, ports, methods and paths."""

import pytest

from opentelemetry.instrumentation.xai.wire import routes
from opentelemetry.instrumentation.xai.wire.chat_completions import ChatCompletions
from opentelemetry.instrumentation.xai.wire.messages import Messages
from opentelemetry.instrumentation.xai.wire.responses import Responses
from opentelemetry.instrumentation.xai.wire.routes import Hosts, dialect_of


@pytest.mark.parametrize(
    ("path", "dialect"),
    [
        ("/v1/chat/completions", ChatCompletions),
        ("/v1/responses", Responses),
        ("/v1/messages", Messages),
        ("/chat/completions", ChatCompletions),
        ("/gateway/xai/v1/chat/completions", ChatCompletions),
        ("/v1/v1/responses", Responses),
        *(
            (path, None)
            for path in ("/v1/responses/compact", "/v1/responses/abc", "/v1/models", "/v1/completions", "/", "")
        ),
        *(
            (path, None)
            for path in ("/v1/chat/completions/", "/v1/chat/deferred-completion/x", "/v1/embeddings", "/v1/xresponses")
        ),
        *(
            (path, None)
            for path in ("/xai_api.Chat/GetCompletion", "/v1/responses/abc/input_items", "/v1/tokenize-text")
        ),
    ],
)
def test_paths(path: str, dialect: type | None) -> None:
    """Generation endpoints are told by the end of their path; all other paths are left alone."""
    found = dialect_of("POST", path)
    assert type(found) is (dialect or type(None))


@pytest.mark.parametrize("method", ["GET", "DELETE", "HEAD", "OPTIONS", "PUT", "post", ""])
def test_only_posts_generate(method: str) -> None:
    """Reading or deleting a stored answer is no generation."""
    assert dialect_of(method, "/v1/responses") is None


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        *((host, True) for host in ("api.x.ai", "us.api.x.ai", "mtls.api.x.ai", "us-east-1.api.x.ai", "a.b.api.x.ai")),
        *(
            (host, False)
            for host in ("management-api.x.ai", "x.ai", "docs.x.ai", "api.x.ai.example.com", "evilapi.x.ai")
        ),
        *((host, False) for host in ("api.openai.com", "localhost", "127.0.0.1", "::1", "", ".")),
    ],
)
def test_hosts_of_xai(host: str, ours: bool) -> None:
    """``api.x.ai`` and what ends in ``.api.x.ai`` are ours by themselves, on any port, and no others are."""
    hosts = Hosts()
    assert hosts[host] is ours
    assert hosts[host] is ours
    assert (hosts[host] and hosts.speaks(host, 443)) is ours
    assert (hosts[host] and hosts.speaks(host, 8443)) is ours


@pytest.mark.parametrize(
    ("further", "host", "port", "ours"),
    [
        ("gateway", "gateway", 443, True),
        ("gateway", "gateway", 8080, True),
        ("gateway", "sub.gateway", 443, False),
        ("gateway:8080", "gateway", 8080, True),
        ("gateway:8080", "gateway", 80, False),
        ("127.0.0.1:9", "127.0.0.1", 9, True),
        ("127.0.0.1:9", "127.0.0.1", 90, False),
        ("[::1]", "::1", 80, True),
        ("[::1]:8080", "::1", 8080, True),
        ("[::1]:8080", "::1", 80, False),
        ("[::1]", "::2", 80, False),
        ("*", "anything", 1, True),
        ("*", "::1", 1, True),
        ("gateway", "api.x.ai", 443, True),
    ],
)
def test_further_hosts(further: str, host: str, port: int, ours: bool) -> None:
    """Further hosts are named with or without a port, in brackets if they are IPv6 addresses, or all at once."""
    hosts = Hosts((further, "unrelated:1"))
    assert (hosts[host] and hosts.speaks(host, port)) is ours


@pytest.mark.parametrize(
    ("further", "url"),
    [
        ("gateway", "https://api.x.ai/v1/responses"),
        ("gateway", "https://us.api.x.ai:8443/v1/responses"),
        ("gateway", "http://user@gateway:8080/v1"),
        ("gateway:8080", "http://gateway:8080/v1"),
        ("[::1]", "http://[::1]/v1"),
        ("[::1]:8080", "http://[::1]:8080/v1"),
        ("127.0.0.1:9", "http://127.0.0.1:9/v1"),
        ("*", "http://anything/v1"),
        ("*", ""),
    ],
)
def test_a_first_look_finds_every_url_of_ours(further: str, url: str) -> None:
    """However its host is named there; of another URL it finds nothing."""
    assert any(name in url for name in Hosts((further,)).names)
    assert further == "*" or not any(name in "https://example.com/v1/responses" for name in Hosts((further,)).names)


def test_what_is_remembered_of_hosts_is_bounded() -> None:
    """A program that talks to very many hosts does not make us remember them all, and none is mistaken for it."""
    hosts = Hosts()
    for number in range(routes._MOST_HOSTS_KEPT + 500):
        assert hosts[f"host{number}.example"] is False
        assert hosts[f"r{number}.api.x.ai"] is True
    assert len(hosts) == routes._MOST_HOSTS_KEPT

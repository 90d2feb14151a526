"""Settings: keyword first, variable second, default last; what is invalid gives one warning and changes nothing."""

import logging
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import examples
from opentelemetry.instrumentation.xai.settings import PREFIX, Settings, is_enabled

SECRET = "hunter2-hunter2"


def test_defaults(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing set means no further hosts, plain ids, own spans where needed, and no baggage on metrics."""
    found = Settings.read({}, {})
    assert (found.hosts, found.conversation_id, found.spans, found.metric_baggage) == ((), "plain", "auto", ())
    assert len(found.key) >= 16
    assert caplog.records == []


_VALID = [
    ("hosts", "gateway", ("gateway",)),
    ("hosts", "Gateway.Internal:8443", ("gateway.internal:8443",)),
    ("hosts", " a , b:1,, [::1]:80 ,[fe80::1]", ("a", "b:1", "[::1]:80", "[fe80::1]")),
    ("hosts", "*", ("*",)),
    ("conversation_id", "hashed", "hashed"),
    ("conversation_id", " OFF ", "off"),
    ("spans", "always", "always"),
    ("spans", "Never", "never"),
    ("key", SECRET, SECRET.encode()),
    ("ledger", "OFF", "off"),
    ("stream_usage", "observe", "observe"),
    ("stream_usage", " Request", "request"),
    ("metric_baggage", "route, tenant", ("route", "tenant")),
]


@pytest.mark.parametrize(("name", "text", "expected"), _VALID)
def test_each_setting(name: str, text: str, expected: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Each setting is taken from its keyword and from its variable alike, without a warning."""
    assert getattr(Settings.read({name: text}, {}), name) == expected
    assert getattr(Settings.read({}, {PREFIX + name.upper(): text}), name) == expected
    assert caplog.records == []


@pytest.mark.parametrize(("name", "text", "expected"), _VALID)
def test_the_keyword_comes_first(name: str, text: str, expected: Any) -> None:
    """A keyword precedes its variable, even where the variable is invalid; ``None`` is no keyword."""
    others = {"spans": "auto", "conversation_id": "plain", "ledger": "memory", "stream_usage": "observe"}
    other = others.get(name, "other")
    assert getattr(Settings.read({name: text}, {PREFIX + name.upper(): other}), name) == expected
    assert getattr(Settings.read({name: None}, {PREFIX + name.upper(): text}), name) == expected


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("hosts", ["a", "b:1"], ("a", "b:1")),
        ("hosts", ("*",), ("*",)),
        ("metric_baggage", ["route"], ("route",)),
        ("metric_baggage", frozenset({"route"}), ("route",)),
        ("key", SECRET.encode(), SECRET.encode()),
    ],
)
def test_keywords_may_be_sequences_or_bytes(
    name: str, value: Any, expected: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Lists may be given as such, and the key as bytes."""
    assert getattr(Settings.read({name: value}, {}), name) == expected
    assert caplog.records == []


_INVALID = [
    ("hosts", "https://x", "host or host:port"),
    ("hosts", "host:0", "host or host:port"),
    ("hosts", "host:99999", "host or host:port"),
    ("hosts", "host:", "host or host:port"),
    ("hosts", "*.example.com", "host or host:port"),
    ("hosts", "a/b", "host or host:port"),
    ("hosts", "::1", "host or host:port"),
    ("conversation_id", "yes", "plain, hashed or off"),
    ("spans", "sometimes", "auto, always or never"),
    ("stream_usage", "always", "observe or request"),
    ("metric_baggage", "xai.foo", "gen_ai., xai., server."),
    ("metric_baggage", "gen_ai.request.model", "gen_ai., xai., server."),
    ("metric_baggage", "server.address", "gen_ai., xai., server."),
    ("metric_baggage", "error.type", "error.type"),
    ("metric_baggage", "two words", "baggage keys"),
]


@pytest.mark.parametrize(("name", "text", "allowed"), _INVALID)
@pytest.mark.parametrize("by_keyword", [True, False])
def test_an_invalid_setting_gives_one_warning(
    name: str, text: str, allowed: str, by_keyword: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning names where the value came from, the value, and what is allowed; the default is used."""
    variable = PREFIX + name.upper()
    found = Settings.read({name: text}, {}) if by_keyword else Settings.read({}, {variable: text})
    assert getattr(found, name) == getattr(Settings(), name)
    (record,) = caplog.records
    message = record.getMessage()
    assert record.levelno == logging.WARNING
    assert (f"{name}=" if by_keyword else variable) in message
    assert repr(text) in message
    assert allowed in message


@pytest.mark.parametrize(
    ("name", "value"),
    [("hosts", 5), ("hosts", [5]), ("spans", True), ("conversation_id", ["off"]), ("metric_baggage", 1.5)],
)
def test_a_keyword_of_a_wrong_type_gives_one_warning(name: str, value: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Keywords of other types are invalid, not fatal."""
    assert getattr(Settings.read({name: value}, {}), name) == getattr(Settings(), name)
    assert len(caplog.records) == 1


def test_one_invalid_entry_loses_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """In a list, the entries that are valid are kept."""
    assert Settings.read({"hosts": "a,b c,d"}, {}).hosts == ("a", "d")
    (record,) = caplog.records
    assert "'b c'" in record.getMessage()


@pytest.mark.parametrize("value", [5, "", b"", None, [SECRET], {"k": SECRET}])
def test_the_key_is_never_shown(value: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Neither a log nor a representation shows the key, valid or not; without a valid one it is random."""
    caplog.set_level(logging.DEBUG)
    found = Settings.read({"key": value}, {})
    assert found.key not in (b"", SECRET.encode())
    assert len(caplog.records) == (0 if value is None else 1)
    shown = Settings.read({"key": SECRET}, {PREFIX + "KEY": SECRET})
    for text in (caplog.text, repr(shown), str(shown), repr(found)):
        assert SECRET not in text
    assert "key" not in repr(shown)


@pytest.mark.parametrize("value", ["redis://x", "memory?"])
@pytest.mark.parametrize("by_keyword", [True, False])
def test_a_ledger_of_later_versions_warns_once(value: str, by_keyword: bool, caplog: pytest.LogCaptureFixture) -> None:
    """A value that is reserved gives one warning that it has no effect yet."""
    Settings.read({"ledger": value} if by_keyword else {}, {} if by_keyword else {PREFIX + "LEDGER": value})
    (record,) = caplog.records
    assert "later version" in record.getMessage()
    assert repr(value) in record.getMessage()


def test_an_unknown_keyword_gives_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    """A keyword that is misspelt is named, beside those that exist, and its value is not shown."""
    Settings.read({"host": SECRET}, {})
    (record,) = caplog.records
    assert "'host'" in record.getMessage()
    assert "hosts, conversation_id, key, spans, ledger, stream_usage, metric_baggage" in record.getMessage()
    assert SECRET not in record.getMessage()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("true", True),
        ("1", True),
        (" TRUE ", True),
        ("false", False),
        ("0", False),
        ("False", False),
        ("", None),
        (None, None),
    ],
)
def test_enabled(text: str | None, expected: bool | None, caplog: pytest.LogCaptureFixture) -> None:
    """``..._ENABLED`` says yes, no, or nothing."""
    assert is_enabled({} if text is None else {PREFIX + "ENABLED": text}) is expected
    assert caplog.records == []


@pytest.mark.parametrize("text", ["yes", "on", "2", "-", "tru"])
def test_enabled_with_another_value_warns_once(text: str, caplog: pytest.LogCaptureFixture) -> None:
    """Another value says nothing, and one warning tells what is allowed."""
    assert is_enabled({PREFIX + "ENABLED": text}) is None
    (record,) = caplog.records
    message = record.getMessage()
    assert (PREFIX + "ENABLED") in message
    assert repr(text) in message
    assert "true, false, 1 or 0" in message


@settings(max_examples=examples(500), deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(
            ["HOSTS", "CONVERSATION_ID", "KEY", "SPANS", "LEDGER", "STREAM_USAGE", "METRIC_BAGGAGE", "ENABLED"]
        ),
        st.one_of(
            st.text(max_size=30),
            st.lists(
                st.sampled_from(["a", ":", "1", "[", "]", "*", ",", ".", " ", "٣", "99999", "::1", "-"]), max_size=8
            ).map("".join),
        ),
    )
)
def test_no_text_of_any_variable_raises(variables: dict[str, str]) -> None:
    """Whatever a variable says, there are settings, and every host among them can be asked for."""
    from opentelemetry.instrumentation.xai.wire.routes import Hosts

    environ = {PREFIX + name: text for name, text in variables.items()}
    found = Settings.read({}, environ)
    is_enabled(environ)
    hosts = Hosts(found.hosts)
    assert hosts["api.x.ai"]
    hosts.speaks("example.com", 443)


@settings(max_examples=examples(200), deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(
            ["hosts", "conversation_id", "key", "spans", "ledger", "stream_usage", "metric_baggage", "other"]
        ),
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(),
            st.floats(),
            st.binary(),
            st.text(),
            st.lists(st.text() | st.integers()),
        ),
    )
)
def test_no_value_of_any_keyword_raises(keywords: dict[str, Any]) -> None:
    """Whatever a keyword is, there are settings."""
    Settings.read(keywords, {})


@pytest.mark.parametrize("name", ["LEDGER", "HOSTS", "SPANS", "CONVERSATION_ID"])
def test_a_credential_in_a_value_is_not_logged(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """A URL with user and password is named in a warning without them."""
    Settings.read({}, {f"OTEL_INSTRUMENTATION_XAI_{name}": "redis://user:canary/with@signs@cache:6379/0"})
    (record,) = caplog.records
    assert "redis://***@cache:6379/0" in record.getMessage()
    assert "canary" not in caplog.text

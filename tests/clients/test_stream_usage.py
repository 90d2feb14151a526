"""``stream_usage``: chat streams that do not ask for usage report it all the same, and the application does not notice."""

import asyncio
import gc
import importlib
import importlib.util
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from clients.drivers import DRIVERS, Call
from clients.gateway import USAGE, Gateway, events, serving
from conftest import Telemetry
from opentelemetry.instrumentation.xai import XAIInstrumentor
from opentelemetry.instrumentation.xai.testing.recording import Recording

MODULES = [name for name in ("httpx", "httpx2") if importlib.util.find_spec(name)]
PATH = "/v1/chat/completions"
BODY = {"model": "grok-4.7", "messages": [{"role": "user", "content": "né"}], "stream": True}
WITHOUT = b"".join(events(asked=False))

every_driver = pytest.mark.parametrize("driver", DRIVERS, ids=lambda driver: driver.name)
colours = pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])


@pytest.fixture(params=MODULES)
def lib(request: Any) -> Any:
    """httpx, then httpx2."""
    return importlib.import_module(request.param)


@pytest.fixture
def asking(instrument: Any) -> Telemetry:
    """Telemetry, with usage asked for."""
    telemetry: Telemetry = instrument(stream_usage="request")
    return telemetry


def sent(lib: Any, asynchronous: bool, url: str, read: str = "send", **options: Any) -> tuple[Any, list[Any]]:
    """Send a request in one of the ways that there are; the response, read, and the pieces that came."""
    request = options.pop("request", None)
    body = options.pop("body", BODY)
    headers = options.pop("headers", {})
    arguments = options.pop("arguments", {})

    def made() -> Any:
        return request or lib.Request("POST", url + PATH, json=body, headers=headers)

    async def main() -> tuple[Any, list[Any]]:
        async with lib.AsyncClient(**options) as client:
            if read == "send":
                response = await client.send(made(), **arguments)
                return response, [response.content]
            response = await client.send(made(), stream=True, **arguments)
            try:
                return response, [piece async for piece in getattr(response, f"a{read}")()]
            finally:
                await response.aclose()

    if asynchronous:
        return asyncio.run(main())
    with lib.Client(**options) as client:
        if read == "send":
            response = client.send(made(), **arguments)
            return response, [response.content]
        response = client.send(made(), stream=True, **arguments)
        try:
            return response, list(getattr(response, read)())
        finally:
            response.close()


def tokens(telemetry: Telemetry) -> list[Any]:
    """The cached tokens of each span."""
    return [(span.attributes or {}).get("gen_ai.usage.cache_read.input_tokens") for span in telemetry.spans]


# --- the application gets what it would have got ----------------------------------------------------------------------


@colours
@pytest.mark.parametrize(
    ("read", "how"),
    [
        *((read, {}) for read in ("send", "iter_raw", "iter_bytes", "iter_text", "iter_lines")),
        *(("iter_raw", {"split": size}) for size in (1, 7, 10_000)),
        ("send", {"split": 7}),
        ("iter_lines", {"end": "\r\n"}),
        ("iter_bytes", {"end": "\r", "split": 3}),
        ("iter_raw", {"cut": 700}),
    ],
    ids=str,
)
def test_an_answer_looks_the_same_as_without_us(
    lib: Any, asynchronous: bool, read: str, how: dict[str, Any], instrument: Any
) -> None:
    """Bytes, pieces that come whole, headers, counts and exceptions are those of an uninstrumented run."""

    def sight() -> Any:
        try:
            response, pieces = sent(lib, asynchronous, gateway.url, read)
        except Exception as error:
            return type(error)
        assert b"" not in pieces
        raw = "".join(pieces) if isinstance(pieces[0], str) else b"".join(pieces)
        return (
            raw,
            pieces if not how.get("split") else None,
            response.num_bytes_downloaded,
            response.headers.get("content-type"),
            response.is_closed,
            response.is_stream_consumed,
            type(response.elapsed),
            sorted(response.extensions),
        )

    with serving(**how) as gateway:
        without = sight()
        telemetry = instrument(stream_usage="request")
        assert sight() == without
    assert gateway.asked == [False, True]
    if "cut" not in how:
        assert tokens(telemetry) == [1024]


@colours
def test_a_stream_that_is_cut_gives_what_came_before_its_exception(lib: Any, asynchronous: bool, asking: Any) -> None:
    """What was held back when the connection ended goes on first."""
    pieces: list[bytes] = []

    async def main(url: str) -> None:
        async with lib.AsyncClient() as client, client.stream("POST", url + PATH, json=BODY) as response:
            async for piece in response.aiter_raw():
                pieces.append(piece)

    with serving(cut=len(events(asked=True)[0]) + 40) as gateway, pytest.raises(lib.RemoteProtocolError):
        if asynchronous:
            asyncio.run(main(gateway.url))
        else:
            with lib.Client() as client, client.stream("POST", gateway.url + PATH, json=BODY) as response:
                for piece in response.iter_raw():
                    pieces.append(piece)
    assert b"".join(pieces) == WITHOUT[: gateway.cut]


@every_driver
def test_every_driver_sees_the_same(driver: Any, instrument: Any) -> None:
    """Through SDKs and other transports too, with figures."""
    with serving() as gateway:
        call = Call(gateway.url, PATH, BODY)
        without = driver.read(call)
        telemetry = instrument(stream_usage="request")
        assert driver.read(call) == without
    assert gateway.asked == [False, True]
    assert tokens(telemetry) == [1024]
    assert telemetry.attributes()["xai.cache.outcome"] != "unreported"


@every_driver
def test_figures_are_those_of_a_stream_that_asked(driver: Any, asking: Telemetry) -> None:
    """Span and ledger tell the same, but for the times."""
    with serving() as gateway:
        driver.read(Call(gateway.url, PATH, BODY))
        driver.read(Call(gateway.url, PATH, {**BODY, "stream_options": {"include_usage": True}}))
    ours, own = (
        {
            name: value
            for name, value in (span.attributes or {}).items()
            if "time_to" not in name and not name.startswith("xai.cache")
        }
        for span in asking.spans
    )
    assert ours == own
    assert ours["gen_ai.usage.output_tokens"] == 9
    assert asking.total("gen_ai.client.inference.usage.input_tokens") == 2 * USAGE["prompt_tokens"]  # type: ignore[operator]
    outcomes = [(span.attributes or {})["xai.cache.outcome"] for span in asking.spans]
    assert outcomes == ["not_applicable", "reused"]


@every_driver
def test_who_asks_gets_the_answer(driver: Any, instrument: Any) -> None:
    """An application that asks for usage sees its event, and its request leaves as it was."""
    with serving() as gateway:
        call = Call(gateway.url, PATH, {**BODY, "stream_options": {"include_usage": True}})
        driver.read(call)
        instrument(stream_usage="request")
        seen = driver.read(call)
    without, ours = ({**each.headers, "traceparent": ""} for each in gateway.received)
    assert ours == without
    assert gateway.received[0].body == gateway.received[1].body
    last = seen.pieces[-1] if not isinstance(seen.pieces[0], bytes) else json.loads(seen.raw.split(b"data: ")[-2])
    assert last["usage"]["prompt_tokens"] == 1200


@every_driver
@pytest.mark.parametrize("close", [True, False], ids=["closed", "forgotten"])
def test_a_stream_that_is_broken_off_ends_as_ever(driver: Any, close: bool, asking: Telemetry) -> None:
    """Closed early or forgotten: one span, unset, without an error."""
    with serving(texts=300) as gateway:
        assert driver.leave(Call(gateway.url, PATH, BODY), 2, close=close).error is None
    assert "error.type" not in asking.attributes()
    assert asking.attributes()["gen_ai.response.finish_reasons"] == ("error",)


@pytest.mark.parametrize("driver", [each for each in DRIVERS if each.asynchronous], ids=lambda driver: driver.name)
@pytest.mark.parametrize("trouble", ["stall", "stall_after=3"], ids=["sending", "body"])
def test_a_cancelled_task_is_no_error(driver: Any, trouble: str, server: Any, asking: Telemetry) -> None:
    """Cancelling ends the span at once."""
    seen = driver.cancel(Call(server.url, PATH, BODY, {"x-trouble": trouble}, 60.0), 0.3)
    assert isinstance(seen.error, asyncio.CancelledError)
    assert "error.type" not in asking.attributes()


@every_driver
@pytest.mark.parametrize("trouble", ["", "split=5", "usage=null", "event_lines", "no_done"])
def test_the_faithful_server_shows_nothing_of_it(driver: Any, trouble: str, server: Any, asking: Telemetry) -> None:
    """Whatever the server does to a stream, no event of usage is left of it, and the figures are there."""
    seen = driver.read(Call(server.url, PATH, BODY, {"x-trouble": trouble} if trouble else {}))
    assert seen.error is None
    shown = seen.raw if isinstance(seen.pieces[0], bytes) else json.dumps(seen.pieces).encode()
    assert b"prompt_tokens" not in shown
    assert b'"choices":[]' not in shown.replace(b" ", b"")
    if not trouble.startswith("usage="):
        assert asking.attributes()["gen_ai.usage.input_tokens"] > 0
    assert asking.attributes()["gen_ai.response.finish_reasons"] == ("stop",)


# --- the request ------------------------------------------------------------------------------------------------------


@colours
@pytest.mark.parametrize("read", ["send", "iter_bytes"])
def test_the_request_of_the_application_stays_its_own(lib: Any, asynchronous: bool, read: str, asking: Any) -> None:
    """It is what the response names, unchanged, and may be sent again; what left is right in its length."""
    request = lib.Request("POST", "http://127.0.0.1/", json=BODY, headers={"accept-encoding": "gzip, br"})
    with serving() as gateway:
        request.url = lib.URL(gateway.url + PATH)
        content, headers = request.content, dict(request.headers)
        for _ in range(2):
            response, pieces = sent(lib, asynchronous, gateway.url, read, request=request)
            assert b"".join(pieces) == WITHOUT
            assert response.request is request
        assert request.content == content
        assert {**dict(request.headers), "traceparent": ""} == {**headers, "traceparent": ""}
        assert b"".join(request.stream) == content
    for received in gateway.received:
        assert received.asked
        assert received.body.startswith(content[:-1])
        assert received.headers["accept-encoding"] == "identity"
        assert received.headers["content-length"] == str(len(received.body))
    assert tokens(asking) == [1024, 1024]


@colours
@pytest.mark.parametrize("follow", [True, False], ids=["followed", "not-followed"])
def test_redirects_carry_the_question_and_show_the_application_its_own(
    lib: Any, asynchronous: bool, follow: bool, asking: Telemetry
) -> None:
    """The request of a redirect is one of the application's, also where the application is to send it."""
    with serving(redirects=True) as gateway:
        response, pieces = sent(lib, asynchronous, gateway.url, arguments={"follow_redirects": follow})
        request = response.request if follow else response.next_request
        content = lib.Request("POST", gateway.url, json=BODY).content
        assert b"".join(request.stream) == content
        assert request.headers["content-length"] == str(len(content))
        assert "accept-encoding" not in request.headers
        if follow:
            assert response.history[0].request.content == content
            assert pieces == [WITHOUT]
            assert gateway.asked == [True, True]
            assert tokens(asking) == [1024]
        else:
            assert response.request.content == content
            _, pieces = sent(lib, asynchronous, gateway.url, request=request)
            assert pieces == [WITHOUT]


@colours
def test_hooks_and_authentication_see_what_is_sent(lib: Any, asynchronous: bool, asking: Telemetry) -> None:
    """They may sign it; what they put into headers is then in the application's request."""
    signed: list[bytes] = []

    class Signing(lib.Auth):  # type: ignore[misc]
        requires_request_body = True

        def auth_flow(self, request: Any) -> Any:
            signed.append(request.content)
            request.headers["authorization"] = f"Signature {len(request.content)}"
            yield request

    def hook(request: Any) -> None:
        request.headers["x-hook"] = "been here"

    async def async_hook(request: Any) -> None:
        hook(request)

    request = lib.Request("POST", "http://127.0.0.1/", json=BODY)
    with serving() as gateway:
        request.url = lib.URL(gateway.url + PATH)
        response, _ = sent(
            lib,
            asynchronous,
            gateway.url,
            request=request,
            auth=Signing(),
            event_hooks={"request": [async_hook if asynchronous else hook], "response": []},
        )
    (received,) = gateway.received
    assert signed == [received.body]
    assert received.headers["x-hook"] == "been here"
    assert response.request is request
    assert request.headers["x-hook"] == "been here"
    assert request.headers["authorization"] == received.headers["authorization"]
    assert request.headers["content-length"] == str(len(request.content))
    assert "accept-encoding" not in request.headers


@colours
def test_an_exception_names_the_request_of_the_application(lib: Any, asynchronous: bool, asking: Telemetry) -> None:
    """What cannot be sent, and what a hook makes of an answer, is told of the application's request."""

    def hook(response: Any) -> None:
        response.raise_for_status()

    async def async_hook(response: Any) -> None:
        response.raise_for_status()

    request = lib.Request("POST", f"http://127.0.0.1:1{PATH}", json=BODY)
    with pytest.raises(lib.ConnectError) as raised:
        sent(lib, asynchronous, "", request=request)
    assert raised.value.request is request
    with serving(status=500) as gateway:
        request = lib.Request("POST", gateway.url + PATH, json=BODY)
        hooks = {"request": [], "response": [async_hook if asynchronous else hook]}
        with pytest.raises(lib.HTTPStatusError) as refused:
            sent(lib, asynchronous, "", request=request, event_hooks=hooks)
    assert refused.value.request is request
    assert refused.value.response.request is request


@colours
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ({**BODY, "stream": False}, {}),
        ({**BODY, "stream_options": {"include_usage": 1}}, {}),
        (BODY, {"Content-Digest": "sha-256=:abc:"}),
        (BODY, {"Signature": "sig1=:abc:"}),
    ],
    ids=["no-stream", "asks", "digest", "signature"],
)
def test_what_cannot_or_need_not_ask_leaves_as_it_was(
    lib: Any, asynchronous: bool, body: Any, headers: Any, asking: Telemetry
) -> None:
    """Whoever asks, does not stream, or has sealed the body: not a byte is changed."""
    with serving() as gateway:
        response, _ = sent(lib, asynchronous, gateway.url, body=body, headers=headers)
    assert gateway.received[0].body == response.request.content
    assert "accept-encoding" not in gateway.received[0].headers


@pytest.mark.parametrize(("path", "body"), [("/v1/responses", {"input": "né"}), ("/v1/messages", {"max_tokens": 9})])
def test_other_endpoints_are_never_asked(lib: Any, path: str, body: Any, asking: Telemetry) -> None:
    """They report usage by themselves."""
    with serving() as gateway, lib.Client() as client:
        response = client.post(gateway.url + path, json={**BODY, **body})
    assert gateway.received[0].body == response.request.content


@colours
def test_a_body_that_is_not_known_leaves_as_it_is(lib: Any, asynchronous: bool, asking: Telemetry) -> None:
    """A body that is made while it is sent cannot be asked in."""

    def made() -> Any:
        yield json.dumps(BODY).encode()

    async def one() -> Any:
        yield json.dumps(BODY).encode()

    headers = {"content-length": str(len(json.dumps(BODY).encode()))}
    with serving() as gateway:
        request = lib.Request("POST", gateway.url + PATH, content=one() if asynchronous else made(), headers=headers)
        _, pieces = sent(lib, asynchronous, gateway.url, request=request)
    assert pieces == [WITHOUT]
    assert gateway.asked == [False]


# --- other ways to the content ----------------------------------------------------------------------------------------


@colours
@pytest.mark.parametrize("read", ["send", "iter_bytes"])
def test_content_that_is_there_already_hides_it_too(lib: Any, asynchronous: bool, read: str, asking: Telemetry) -> None:
    """Mock transports and hooks that read bring content without a stream."""

    def handle(request: Any) -> Any:
        asked = b"include_usage" in request.content
        return lib.Response(200, headers={"content-type": "text/event-stream"}, content=b"".join(events(asked=asked)))

    _, pieces = sent(lib, asynchronous, "http://127.0.0.1", read, transport=lib.MockTransport(handle))
    assert b"".join(pieces) == WITHOUT

    def hook(response: Any) -> None:
        response.read()
        assert response.text

    async def async_hook(response: Any) -> None:
        await response.aread()
        assert response.text

    with serving() as gateway:
        hooks = {"request": [], "response": [async_hook if asynchronous else hook]}
        response, pieces = sent(lib, asynchronous, gateway.url, read, event_hooks=hooks)
    assert b"".join(pieces) == WITHOUT
    assert response.text == WITHOUT.decode()
    assert tokens(asking) == [1024, 1024]


def test_a_layer_below_is_the_same_exchange(lib: Any, asking: Telemetry) -> None:
    """A transport that sends through a client of its own: asked once, hidden once, observed once."""

    class Outer(lib.BaseTransport):  # type: ignore[misc]
        def handle_request(self, request: Any) -> Any:
            with lib.Client() as inner:
                response = inner.request(request.method, request.url, headers=request.headers, content=request.read())
                return lib.Response(200, headers={"content-type": "text/event-stream"}, content=response.content)

    with serving() as gateway:
        _, pieces = sent(lib, False, gateway.url, transport=Outer())
    assert pieces == [WITHOUT]
    assert gateway.asked == [True]
    assert tokens(asking) == [1024]


def test_a_wrapper_below_ours_gets_what_the_caller_asked_for(lib: Any, instrument: Any) -> None:
    """Where somebody else wraps ``send``, the content is there when it returns, and is cleared of the event."""
    original = lib.Client.send
    seen: list[int] = []

    def send(client: Any, *args: Any, **kwargs: Any) -> Any:
        response = original(client, *args, **kwargs)
        seen.append(len(response.content))
        return response

    lib.Client.send = send
    try:
        telemetry = instrument(stream_usage="request")
        with serving() as gateway:
            _, pieces = sent(lib, False, gateway.url)
    finally:
        XAIInstrumentor().uninstrument()
        lib.Client.send = original
    assert pieces == [WITHOUT]
    assert seen == [len(b"".join(events(asked=True)))]
    assert tokens(telemetry) == [1024]


def test_an_asynchronous_stream_that_is_left_open_is_closed(lib: Any, asking: Telemetry) -> None:
    """Leaving the loop over a stream ends its span once nobody holds it."""

    async def main(url: str) -> None:
        client = lib.AsyncClient()
        response = await client.send(lib.Request("POST", url + PATH, json=BODY), stream=True)
        async for _ in response.aiter_bytes():
            break
        del response, _
        await asyncio.sleep(0)
        gc.collect()
        await asyncio.sleep(0)
        await client.aclose()

    with serving(texts=300) as gateway:
        asyncio.run(main(gateway.url))
    assert asking.attributes()["gen_ai.response.finish_reasons"] == ("error",)


@pytest.mark.parametrize("setting", ["request", "observe", None])
def test_a_test_that_watches_sees_what_the_application_sent(
    lib: Any, setting: str | None, instrument: Any, caplog: Any
) -> None:
    """The pytest fixture beside telemetry: asked and hidden as without it, and it says nothing of usage itself."""
    caplog.set_level(logging.INFO, "opentelemetry.instrumentation.xai")
    if setting:
        instrument(stream_usage=setting)
    with serving() as gateway, Recording(("127.0.0.1",)).running() as recording:
        _, pieces = sent(lib, False, gateway.url)
    assert pieces == [WITHOUT]
    assert gateway.asked == [setting == "request"]
    (request,) = recording.requests
    assert request.body is not None
    assert b"include_usage" not in request.body.written()
    assert len(caplog.records) == (setting == "observe")


# --- servers that do not play along -----------------------------------------------------------------------------------


def _warnings(caplog: Any) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@colours
def test_a_server_that_compresses_all_the_same_is_asked_once(
    lib: Any, asynchronous: bool, asking: Telemetry, caplog: Any
) -> None:
    """What it sends is not ours to write anew: one stream shows its usage, with a warning, and no further one."""
    with serving(gzips=True) as gateway:
        first, second = (sent(lib, asynchronous, gateway.url)[1] for _ in range(2))
    assert first == [b"".join(events(asked=True))]
    assert second == [WITHOUT]
    assert gateway.asked == [True, False]
    assert tokens(asking) == [1024, None]
    (warning,) = _warnings(caplog)
    assert f"127.0.0.1:{gateway.url.rpartition(':')[2]} compresses" in warning


@pytest.mark.parametrize("status", [400, 422])
def test_a_server_that_refuses_is_asked_once(lib: Any, status: int, asking: Telemetry, caplog: Any) -> None:
    """A refusal is followed by a stream that does not ask; if that is answered, the server is asked no more."""
    with serving(refuses=status) as gateway:
        statuses = [sent(lib, False, gateway.url)[0].status_code for _ in range(4)]
    assert statuses == [status, 200, 200, 200]
    assert gateway.asked == [True, False, False, False]
    (warning,) = _warnings(caplog)
    assert "refused" in warning
    assert "stream_usage=request" in warning


def test_a_request_that_is_wrong_is_not_blamed_on_the_question(lib: Any, asking: Telemetry, caplog: Any) -> None:
    """Where one that does not ask is refused too, the next one asks again; who once answered is never doubted."""
    with serving(status=400) as gateway:
        for _ in range(2):
            sent(lib, False, gateway.url)
        gateway.status = None
        sent(lib, False, gateway.url)
        gateway.status = 400
        sent(lib, False, gateway.url)
        gateway.status = None
        sent(lib, False, gateway.url)
    assert gateway.asked == [True, False, True, True, True]
    assert _warnings(caplog) == []


def test_other_errors_are_not_refusals(lib: Any, asking: Telemetry) -> None:
    """A server that is busy, or wants another key, has said nothing of the question."""
    with serving() as gateway:
        for status in (401, 429, 500, 503, None):
            gateway.status = status
            sent(lib, False, gateway.url)
    assert gateway.asked == [True] * 5


def test_a_retry_of_the_sdk_asks_again(asking: Telemetry) -> None:
    """Each attempt is a request of its own, which asks."""
    openai = pytest.importorskip("openai")
    with serving(status=503) as gateway:

        class Recovering(list):  # type: ignore[type-arg]
            def append(self, item: Any) -> None:
                super().append(item)
                if len(self) == 2:
                    gateway.status = None

        gateway.received = Recovering()
        with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="k", max_retries=2) as client:
            chunks = list(client.chat.completions.create(**BODY))
    assert gateway.asked == [True, True]
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    assert tokens(asking) == [None, 1024]


# --- observe ----------------------------------------------------------------------------------------------------------


@every_driver
def test_by_default_nothing_is_asked_and_it_is_said_once_how_to(driver: Any, observed: Telemetry, caplog: Any) -> None:
    """The request leaves as it was, the span says ``unreported``, and one line in the log says what to do."""
    caplog.set_level(logging.INFO, "opentelemetry.instrumentation.xai")
    with serving() as gateway:
        for _ in range(3):
            driver.read(Call(gateway.url, PATH, BODY))
    assert gateway.asked == [False] * 3
    assert [(span.attributes or {})["xai.cache.outcome"] for span in observed.spans] == ["unreported"] * 3
    (line,) = [record for record in caplog.records if record.name.startswith("opentelemetry.instrumentation.xai")]
    assert line.levelno == logging.INFO
    assert 'stream_options={"include_usage": true}' in line.getMessage()
    assert "OTEL_INSTRUMENTATION_XAI_STREAM_USAGE=request" in line.getMessage()


def _asks(gateway: Gateway, driver: Any) -> None:
    driver.read(Call(gateway.url, PATH, {**BODY, "stream_options": {"include_usage": True}}))


def _fails(gateway: Gateway, driver: Any) -> None:
    gateway.status = 500
    driver.read(Call(gateway.url, PATH, BODY))


def _breaks_off(gateway: Gateway, driver: Any) -> None:
    gateway.texts = 300
    driver.leave(Call(gateway.url, PATH, BODY), 2, close=True)


@pytest.mark.parametrize("use", [_asks, _fails, _breaks_off])
def test_nothing_is_said_where_asking_would_not_help(
    use: Callable[[Gateway, Any], None], observed: Telemetry, caplog: Any
) -> None:
    """Who asked, failed, or did not read to the end, has no usage for another reason."""
    caplog.set_level(logging.INFO, "opentelemetry.instrumentation.xai")
    with serving() as gateway:
        use(gateway, DRIVERS[0])
    assert [each for each in caplog.records if each.name.startswith("opentelemetry.instrumentation.xai")] == []

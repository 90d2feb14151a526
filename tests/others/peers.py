"""One small class for each other instrumentation: how an application switches it on and off, and what it is known to do.

The suite (``test_peers.py``) keeps every promise for every peer that is installed. Most patch the same methods, or want
other versions of the same libraries, so each has an environment of its own (``nox --tags clients``).
"""

import asyncio
import importlib
import importlib.util
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from clients.drivers import KEY, AsyncOpenAI, Call, OpenAI, Seen
from conftest import Telemetry
from opentelemetry import metrics, trace

DURATION = "gen_ai.client.operation.duration"
TOKENS = "gen_ai.client.token.usage"
FIRST_CHUNK = "gen_ai.client.operation.time_to_first_chunk"


class Retrying(OpenAI):
    """The openai SDK as it is by default: it tries again."""

    def _client(self, call: Call) -> Any:
        return super()._client(call).with_options(max_retries=2)


class AsyncRetrying(AsyncOpenAI):
    """The same, asynchronous."""

    def _client(self, call: Call) -> Any:
        return super()._client(call).with_options(max_retries=2)


class Anthropic:
    """The anthropic SDK, synchronous or not, at xAI's ``/v1/messages``."""

    open_telemetry: Any = None

    def __init__(self, *, asynchronous: bool) -> None:
        self.name = "anthropic-async" if asynchronous else "anthropic-sync"
        self.asynchronous = asynchronous

    def read(self, call: Call) -> Seen:
        """Read the answer to its end."""
        import anthropic

        client_of = {"base_url": call.url, "api_key": KEY, "open_telemetry": self.open_telemetry}
        arguments = {name: value for name, value in call.body.items() if name not in {"temperature", "top_p"}}
        arguments["extra_headers"] = call.headers

        async def read() -> list[Any]:
            async with anthropic.AsyncAnthropic(**client_of) as client:
                answer = await client.messages.create(**arguments)
                return [item async for item in answer] if call.streamed else [answer]

        if self.asynchronous:
            return Seen(asyncio.run(read()))
        with anthropic.Anthropic(**client_of) as client:
            answer = client.messages.create(**arguments)
            return Seen(list(answer) if call.streamed else [answer])


class PydanticAI:
    """pydantic-ai's requests to a model, which are asynchronous underneath."""

    name = "pydantic-ai"
    instrument: Any = False

    def read(self, call: Call) -> Seen:
        """Read the answer to its end."""
        from pydantic_ai import ModelRequest, direct
        from pydantic_ai.models import openai
        from pydantic_ai.providers.openai import OpenAIProvider

        endpoint = openai.OpenAIChatModel if call.path.endswith("completions") else openai.OpenAIResponsesModel
        model = endpoint(call.body["model"], provider=OpenAIProvider(base_url=f"{call.url}/v1", api_key=KEY))
        prompt = call.body.get("input") or call.body["messages"][1]["content"]
        system = call.body.get("instructions") or call.body["messages"][0]["content"]
        request = {
            "messages": [ModelRequest.user_text_prompt(prompt, instructions=system)],
            "model_settings": {"extra_headers": call.headers},
            "instrument": self.instrument,
        }

        async def read() -> list[Any]:
            if not call.streamed:
                return [await direct.model_request(model, **request)]
            async with direct.model_request_stream(model, **request) as stream:
                return [event async for event in stream]

        return Seen(asyncio.run(read()))


@dataclass
class Peer:
    """Another instrumentation. What is not said of it below holds without exception."""

    name: str
    module: str
    scope: str
    """How the names of the scopes of its spans begin."""
    records: dict[str, int] = field(default_factory=dict)
    """The standard metrics that it records for a call, and how many values."""
    endpoints: tuple[str, ...] = ("chat", "responses")
    drivers: tuple[Any, ...] = (Retrying(), AsyncRetrying())
    can_be_switched_off: bool = True
    never_ends_forgotten: bool = False
    """Whether its span of a stream that is forgotten is never ended, and all that is on it lost."""
    own_span: dict[tuple[str, bool], str] = field(default_factory=dict)
    """Endpoint and streaming where ours stands beside its own, and why."""

    @property
    def is_installed(self) -> bool:
        """Whether its module can be imported."""
        try:
            return importlib.util.find_spec(self.module) is not None
        except ModuleNotFoundError:
            return False

    def covers(self, endpoint: str, *, streamed: bool = False) -> bool:
        """Whether its span is current during the call, and lasts as long."""
        return (endpoint, streamed) not in self.own_span

    def on(self, telemetry: Telemetry) -> None:
        """Switch it on."""
        self._instrumentor().instrument(
            tracer_provider=telemetry.tracer_provider, meter_provider=telemetry.meter_provider
        )

    def off(self) -> None:
        """Switch it off."""
        self._instrumentor().uninstrument()

    def _instrumentor(self) -> Any:
        return importlib.import_module(self.module).OpenAIInstrumentor()


class OpenLIT(Peer):
    """openlit is switched on once in a process, for the global providers."""

    def on(self, telemetry: Telemetry) -> None:
        import openlit

        trace.set_tracer_provider(telemetry.tracer_provider)
        metrics.set_meter_provider(telemetry.meter_provider)
        openlit.init(pricing_json="/dev/null", disable_events=True, disabled_instrumentors=["httpx"])


class Logfire(Peer):
    """logfire is configured once in a process; its instrumentation of an SDK can be taken back."""

    _is_configured = False
    _undo: Any = None

    def on(self, telemetry: Telemetry) -> None:
        import logfire

        if not self._is_configured:
            self._is_configured = True
            logfire.configure(
                send_to_logfire=False,
                console=False,
                inspect_arguments=False,
                additional_span_processors=[SimpleSpanProcessor(telemetry.exporter)],
                metrics=logfire.MetricsOptions(additional_readers=[telemetry.reader_of_logfire]),
            )
        self._undo = logfire.instrument_openai()
        self._undo.__enter__()

    def off(self) -> None:
        self._undo.__exit__(None, None, None)


class AnthropicsOwn(Peer):
    """The anthropic SDK has spans of its own, of the global provider or of the one that a client is given."""

    def on(self, telemetry: Telemetry) -> None:
        for driver in self.drivers:
            driver.open_telemetry = {"tracer_provider": telemetry.tracer_provider}

    def off(self) -> None:
        for driver in self.drivers:
            driver.open_telemetry = {"traces": {"enabled": False}}


class PydanticAIs(Peer):
    """pydantic-ai is told by the application, for each request or agent."""

    def on(self, telemetry: Telemetry) -> None:
        from pydantic_ai.models.instrumented import InstrumentationSettings

        for driver in self.drivers:
            driver.instrument = InstrumentationSettings(
                tracer_provider=telemetry.tracer_provider, meter_provider=telemetry.meter_provider
            )

    def off(self) -> None:
        for driver in self.drivers:
            driver.instrument = False


class Langfuse(Peer):
    """langfuse patches the openai SDK when its wrapper is imported, for good."""

    def on(self, telemetry: Telemetry) -> None:
        import langfuse

        self._client = langfuse.Langfuse(
            public_key="pk-of-a-test",
            secret_key="sk-of-a-test",
            base_url="http://127.0.0.1:9",
            tracer_provider=telemetry.tracer_provider,
            span_exporter=InMemorySpanExporter(),
        )
        importlib.import_module("langfuse.openai")


PEERS = (
    Peer(
        "genai-openai",
        "opentelemetry.instrumentation.genai.openai",
        "opentelemetry.instrumentation.genai.openai",
        {DURATION: 1, TOKENS: 2, FIRST_CHUNK: 1},
    ),
    Peer("openinference", "openinference.instrumentation.openai", "openinference.instrumentation.openai"),
    Peer(
        "traceloop",
        "opentelemetry.instrumentation.openai",
        "opentelemetry.instrumentation.openai.",
        {DURATION: 1, TOKENS: 2},
        can_be_switched_off=False,
        own_span={
            ("responses", False): "its span is made when the answer is there",
            ("responses", True): "its span is made when the answer is there",
        },
    ),
    OpenLIT(
        "openlit",
        "openlit",
        "openlit",
        {DURATION: 1, TOKENS: 2, FIRST_CHUNK: 1},
        can_be_switched_off=False,
    ),
    Logfire(
        "logfire",
        "logfire",
        "logfire.openai",
        own_span={
            ("chat", True): "its span ends when the stream begins",
            ("responses", True): "its span ends when the stream begins",
        },
    ),
    AnthropicsOwn(
        "anthropic",
        "anthropic._tracing",
        "com.anthropic.sdk.python",
        endpoints=("messages",),
        drivers=(Anthropic(asynchronous=False), Anthropic(asynchronous=True)),
    ),
    Peer(
        "openai-v2",
        "opentelemetry.instrumentation.openai_v2",
        "opentelemetry.util.genai.handler",
        {DURATION: 1, TOKENS: 2},
        endpoints=("chat",),
        never_ends_forgotten=True,
    ),
    PydanticAIs(
        "pydantic-ai",
        "pydantic_ai",
        "pydantic-ai",
        {TOKENS: 2, FIRST_CHUNK: 1},
        drivers=(PydanticAI(),),
    ),
    Langfuse(
        "langfuse",
        "langfuse.openai",
        "langfuse-sdk",
        can_be_switched_off=False,
        own_span={
            (endpoint, streamed): "its span is never current"
            for endpoint in ("chat", "responses")
            for streamed in (False, True)
        },
    ),
)
INSTALLED = [peer for peer in PEERS if peer.is_installed]

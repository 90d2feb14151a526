"""An application that does with its prompt cache what applications do, and a server that counts for itself.

What the server counts is taken where it makes its answers, before anything is on the wire; the package has no part in it.
What a server cannot know, why something was not cached, is taken from the spans instead.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import openai
import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry, generate_latest, start_http_server

from opentelemetry.instrumentation.xai import XAIInstrumentor, guard
from opentelemetry.instrumentation.xai import conventions as names
from opentelemetry.instrumentation.xai.promql import label, metric
from xai_server import RunningServer, ServerSettings, running
from xai_server.prices import price_of

MODELS: Final = ("grok-4.7", "grok-4.3")
UNCACHED_MODEL: Final = "grok-4-0709"
FRESH_MODEL: Final = "grok-3"
SERVICE: Final = "help-desk"
_HANDBOOK = "Answer briefly, and say so where you do not know. " * 130
_ELIGIBLE = 20  # after so many that nothing was cached of, caching counts as unsupported
_TOOL = {"type": "function", "function": {"name": "open", "parameters": {"type": "object", "properties": {}}}}


class Amount(NamedTuple):
    """What one call adds to a metric."""

    metric: str
    labels: Mapping[str, str]
    amount: float


@dataclass
class Answered:
    """The server's own account of its calls."""

    amounts: list[Amount] = field(default_factory=list)

    def add(self, model: str, error: str = "", **counted: float) -> None:
        """Note a call; the keywords are the names of instruments in the conventions."""
        labels = {label(names.REQUEST_MODEL): model}
        duration = f"{metric(names.OPERATION_DURATION)}_count"
        self.amounts.append(Amount(duration, {**labels, label(names.ERROR_TYPE): error}, 1))
        for name, amount in counted.items():
            self.amounts.append(Amount(metric(getattr(names, name)), labels, amount))


@contextmanager
def counting_server() -> Iterator[tuple[RunningServer, Answered]]:
    """Run the server that stands in for xAI, and keep its account; cold prompts take longer than warm ones."""
    settings = ServerSettings(reasoning_words=140, prefill_s_per_1k_tokens=0.01, recorded_requests=100_000)
    with running(settings) as server:
        answered = Answered()
        original = server.app._work

        def counted(call: Any, body: dict[str, Any], model: str, *more: Any) -> Any:
            work = original(call, body, model, *more)
            made = work.generation
            if call.trouble.error_event:
                answered.add(body["model"], names.ERROR_EVENT)
                return work
            is_chat = "messages" in body
            told = not (is_chat and body.get("stream")) or bool(body.get("stream_options", {}).get("include_usage"))
            usage = {
                "CACHE_REQUESTS": 1,
                "INPUT_TOKENS": made.input_tokens,
                "OUTPUT_TOKENS": made.visible_tokens + made.reasoning_tokens,
                "CACHE_READ_INPUT_TOKENS": made.cached_tokens,
                "REASONING_OUTPUT_TOKENS": made.reasoning_tokens,
                "COST": made.ticks / names.TICKS_PER_USD,
                "CACHE_SAVED_COST": made.cached_tokens * saved_by_token(body["model"]),
            }
            answered.add(body["model"], **(usage if told else {"CACHE_REQUESTS": 1}))
            return work

        server.app._work = counted  # type: ignore[method-assign]
        yield server, answered


def saved_by_token(model: str) -> float:
    """What a cached token costs less than another, by the server's price list."""
    price = price_of(model)
    return (price.input - price.cached) / names.TICKS_PER_USD


def refused(server: RunningServer, since: int) -> list[Amount]:
    """The calls that the server refused, from a number on: it was told with which status."""
    amounts = Answered()
    for request in server.requests[since:]:
        trouble = request.headers.get("x-trouble", "")
        if trouble.startswith("status="):
            amounts.add(request.json()["model"], trouble.removeprefix("status="))
    return amounts.amounts


def explained(spans: list[ReadableSpan]) -> list[Amount]:
    """What calls add to the cache's metrics, as their spans tell it."""
    amounts = []
    for span in spans:
        said = dict(span.attributes or {})
        outcome = said.get(names.XAI_CACHE_OUTCOME)
        if outcome is None:
            continue
        model = {label(names.REQUEST_MODEL): str(said[names.REQUEST_MODEL])}
        why = {label(name): str(said[name]) for name in (names.XAI_CACHE_REASON, names.XAI_CACHE_CAUSE) if name in said}
        presence = names.PRESENT if names.CONVERSATION_ID in said else names.ABSENT
        further = {label(names.XAI_CACHE_OUTCOME): str(outcome), label(names.XAI_CONVERSATION_ID_PRESENCE): presence}
        amounts.append(Amount(metric(names.CACHE_REQUESTS), {**model, **why, **further}, 1))
        potential, lost = (
            float(said.get(name, 0))  # type: ignore[arg-type]
            for name in (names.XAI_CACHE_POTENTIAL_TOKENS, names.XAI_CACHE_LOST_TOKENS)
        )
        amounts += [
            Amount(metric(names.CACHE_POTENTIAL_TOKENS), model, potential),
            Amount(metric(names.CACHE_REUSED_TOKENS), model, potential - lost),
        ]
        if lost:
            repeated = {label(names.XAI_CACHE_REPEATED): str(said[names.XAI_CACHE_REPEATED]).lower()}
            labels = {**model, **why, **repeated}
            cost = lost * saved_by_token(str(said[names.REQUEST_MODEL]))
            amounts.append(Amount(metric(names.CACHE_LOST_TOKENS), labels, lost))
            amounts.append(Amount(metric(names.CACHE_LOST_COST), labels, cost))
    return amounts


class Application:
    """An instrumented process: providers as an application would set them up, and its client."""

    def __init__(self, server: RunningServer, meter_provider: MeterProvider) -> None:
        self.server = server
        self.spans = InMemorySpanExporter()
        self._meter_provider = meter_provider
        self._tracer_provider = TracerProvider()
        self._tracer_provider.add_span_processor(SimpleSpanProcessor(self.spans))
        self.sdk = openai.OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0)
        self._conversations = 0

    @contextmanager
    def instrumented(self) -> Iterator[None]:
        """Observe calls, and raise the package's own faults, for as long as the block lasts."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(guard, "raise_faults", True)
            XAIInstrumentor().instrument(
                tracer_provider=self._tracer_provider, meter_provider=self._meter_provider, hosts="127.0.0.1"
            )
            try:
                yield
            finally:
                XAIInstrumentor().uninstrument()
                self.sdk.close()

    def conversation(self, model: str) -> "Conversation":
        """Begin a conversation that is like no other."""
        self._conversations += 1
        return Conversation(self, model, f"conversation-{id(self)}-{self._conversations}")


@dataclass
class Conversation:
    """A conversation over chat completions; what is wrong with it is said turn by turn."""

    application: Application
    model: str
    name: str
    turns: list[dict[str, Any]] = field(default_factory=list)
    system: str = _HANDBOOK

    def say(
        self,
        *,
        stream: bool = True,
        identity: str | None = "",
        usage: bool = True,
        trouble: str = "",
        model: str = "",
        clock: str = "",
        **parameters: Any,
    ) -> None:
        """Ask the next question, and keep the answer."""
        self.turns.append({"role": "user", "content": f"{self.name}, question {len(self.turns)}: and then?"})
        identity = self.name if identity == "" else identity
        headers = {"x-grok-conv-id": identity} if identity else {}
        if stream and usage:
            parameters["stream_options"] = {"include_usage": True}
        try:
            answer = self.application.sdk.chat.completions.create(
                model=model or self.model,
                messages=[{"role": "system", "content": clock + self.system}, *self.turns],  # type: ignore[list-item]
                stream=stream,
                extra_headers=headers | ({"x-trouble": trouble} if trouble else {}),
                **parameters,
            )
            turn = {"role": "assistant", "content": "", "reasoning_content": ""}
            if stream:
                for chunk in answer:
                    for choice in chunk.choices:
                        turn["content"] += choice.delta.content or ""
                        turn["reasoning_content"] += getattr(choice.delta, "reasoning_content", None) or ""
            else:
                turn = answer.choices[0].message.model_dump(exclude_none=True)
            self.turns.append(turn)
        except openai.APIError:
            self.turns.pop()


def all_is_well(application: Application) -> None:
    """Everything as it should be, with two models."""
    for model in MODELS:
        _healthy(application, model)


def _healthy(application: Application, model: str) -> None:
    """Everything as it should be: streamed and in one piece, by both interfaces, and a call that stands alone."""
    for stream in (True, False):
        conversation = application.conversation(model)
        for _ in range(5):
            conversation.say(stream=stream)
    application.conversation(model).say(identity=None)
    name = application.conversation(model).name
    previous = None
    for turn in range(4):
        asked = f"{_HANDBOOK} I am {name}." if previous is None else f"And then, {turn}?"
        arguments = {"model": model, "input": asked, "previous_response_id": previous, "prompt_cache_key": name}
        if turn % 2:
            with application.sdk.responses.create(**arguments, stream=True) as events:
                for event in events:
                    if event.type == "response.completed":
                        previous = event.response.id
        else:
            previous = application.sdk.responses.create(**arguments).id


def _unhealthy(application: Application, model: str) -> None:
    """What goes wrong in applications, each in a conversation of its own, and at xAI."""
    begun = datetime(2026, 10, 1, 9, 0)  # noqa: DTZ001  # the shop's own time
    for stream in (True, False):
        clock = application.conversation(model)
        for turn in range(5):
            clock.say(clock=f"It is {begun + timedelta(minutes=turn)}. ", stream=stream)
    random_ids = application.conversation(model)
    for turn in range(4):
        random_ids.say(identity=f"{random_ids.name}-{turn}")
    without = application.conversation(model)
    for _ in range(3):
        without.say(identity=None)
        application.server.app.evict()  # wherever it was kept: the same outcome each time
    tools = application.conversation(model)
    tools.say()
    tools.say(tools=[_TOOL], tool_choice="none")
    tools.say(tools=[_TOOL], tool_choice="none")
    switched = application.conversation(model)
    for turn in range(3):
        switched.say(model=MODELS[turn % 2])
    dropped = application.conversation(model)
    for _ in range(4):
        for turn in dropped.turns:
            turn.pop("reasoning_content", None)
        dropped.say()
    unreported = application.conversation(model)
    for _ in range(3):
        unreported.say(usage=False)
    failing = application.conversation(model)
    for trouble in ("status=429", "status=500", "error_event=flat"):
        failing.say(trouble=trouble)
    resumed = application.conversation(model)
    resumed.turns = [dict(turn) for turn in clock.turns]
    resumed.system = f"You are another one. {_HANDBOOK}"
    resumed.turns[0] = {"role": "user", "content": f"I am {resumed.name}."}
    resumed.say()  # goes on with what was never seen
    for stream in (True, False):
        evicted = application.conversation(model)
        for _ in range(3):
            evicted.say(stream=stream)
            application.server.app.evict()


def _uncached(application: Application, calls: int = 3) -> None:
    """A model of which nothing is ever cached."""
    conversation = application.conversation(UNCACHED_MODEL)
    for _ in range(calls):
        application.server.app.evict()
        conversation.say()


def learn_that_one_is_uncached(application: Application) -> None:
    """Ask it for as long as that is a surprise."""
    _uncached(application, _ELIGIBLE + 3)


def everything(application: Application) -> None:
    """One round of all there is."""
    for model in MODELS:
        _healthy(application, model)
        _unhealthy(application, model)
    _uncached(application)


def resource(version: str) -> Resource:
    """What a release says of itself."""
    return Resource.create({"service.name": SERVICE, "service.version": version})


def exposition_of(traffic: Callable[[Application], None], server: RunningServer, **options: Any) -> str:
    """What an earlier release exposed after some traffic; ``options`` are those of the Prometheus exporter."""
    registry = CollectorRegistry()
    provider = MeterProvider([PrometheusMetricReader(registry=registry, **options)], resource=resource("1.4.0"))
    application = Application(server, provider)
    with application.instrumented():
        traffic(application)
        exposition = generate_latest(registry).decode()
    provider.shutdown()
    return exposition


@contextmanager
def exposed(meter_provider: MeterProvider, registry: CollectorRegistry) -> Iterator[str]:
    """Let metrics be scraped, and give the address; closes the provider afterwards."""
    server, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
        with suppress(Exception):
            meter_provider.shutdown()

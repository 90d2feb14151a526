"""The bank, played through real clients and real sockets: each step gets the label that its story asks for."""

import heapq
import inspect
import itertools
import json
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from cache_bank.scripted_server import STEP, Planned, ScriptedServer, scripted_server
from cache_bank.sequences import ANY, BANK, CAUSES, CHAT, MESSAGES, RESPONSES, Sequence, Step
from conftest import Telemetry
from opentelemetry.instrumentation.xai import instrumentor
from opentelemetry.instrumentation.xai.cache_ledger import CacheLedger
from opentelemetry.instrumentation.xai.observer import Observer
from opentelemetry.instrumentation.xai.settings import Settings
from opentelemetry.instrumentation.xai.telemetry.destination import Destination
from opentelemetry.instrumentation.xai.telemetry.recorder import Recorder

httpx = pytest.importorskip("httpx")

_SECOND = 1_000_000_000
_ANSWER_TAKES = _SECOND // 100
_PORTS = 3
_PATIENCE_S = 20
_NAMES = [sequence.name for sequence in BANK]
_COUNTERS = tuple(f"xai.client.cache.{kind}_tokens" for kind in ("potential", "reused", "lost"))


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = _SECOND
        self._lock = threading.Lock()

    def __call__(self) -> int:
        return self.now

    def advance(self, nanoseconds: int) -> None:
        """Move on."""
        with self._lock:
            self.now += nanoseconds

    def reach(self, moment: int) -> None:
        """Move on to a moment, unless it has passed."""
        with self._lock:
            self.now = max(self.now, moment)


# --- clients ----------------------------------------------------------------------------------------------------------


class Httpx:
    """httpx, whole answers."""

    streamed = False
    takes_raw = True

    def __init__(self, urls: list[str]) -> None:
        self._urls = urls
        self._client = httpx.Client(timeout=_PATIENCE_S)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def send(self, step: Step, headers: dict[str, str]) -> None:
        """Make the request, and read its answer to whichever end."""
        body = self._written(step)
        try:
            with self._client.stream(
                "POST",
                self._urls[step.endpoint] + step.path,
                content=body,
                headers={"content-type": "application/json", **step.headers, **headers},
            ) as response:
                for _ in response.iter_bytes():
                    pass
        except httpx.TransportError:
            assert step.answer.aborted

    def _written(self, step: Step) -> bytes:
        if isinstance(step.body, bytes):
            return step.body
        return json.dumps(step.body, ensure_ascii=False, separators=(",", ":")).encode()


class HttpxStreamed(Httpx):
    """httpx, streams."""

    streamed = True

    def _written(self, step: Step) -> bytes:
        options = (
            b'{"stream":true,"stream_options":{"include_usage":true},' if step.path == CHAT else b'{"stream":true,'
        )
        return options + super()._written(step).removeprefix(b"{")


class OpenAI:
    """The openai SDK, by its resources where they know all fields."""

    streamed = False
    takes_raw = False

    def __init__(self, urls: list[str]) -> None:
        self._library = pytest.importorskip("openai")
        self._urls = urls
        self._clients: dict[tuple[int, str], Any] = {}

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            client.close()

    def _client(self, endpoint: int, key: str) -> Any:
        client = self._clients.get((endpoint, key))
        if client is None:
            client = self._library.OpenAI(base_url=f"{self._urls[endpoint]}/v1", api_key=key, max_retries=0)
            self._clients[endpoint, key] = client
        return client

    def send(self, step: Step, headers: dict[str, str]) -> None:
        """Make the request."""
        headers = {**step.headers, **headers}
        client = self._client(step.endpoint, headers.pop("authorization").removeprefix("Bearer "))
        body: Any = step.body
        create = {CHAT: client.chat.completions.create, RESPONSES: client.responses.create}.get(step.path)
        try:
            if create is not None and body.keys() <= inspect.signature(create).parameters.keys():
                create(**body, extra_headers=headers)
            else:
                client.post(
                    step.path.removeprefix("/v1"),
                    body=body,
                    cast_to=object,
                    options={"headers": headers, "max_retries": 0},
                )
        except self._library.APIStatusError as error:
            assert error.status_code == step.answer.status
        except self._library.APIConnectionError:
            assert step.answer.aborted
        except Exception:  # of a body that was cut, the layer that notices first
            if not step.answer.aborted:
                raise


_CLIENTS: dict[str, Any] = {"httpx streamed": HttpxStreamed, "httpx": Httpx, "openai": OpenAI}
_FIRST, *_OTHERS = _CLIENTS


@pytest.fixture(scope="module")
def scripted() -> Iterator[ScriptedServer]:
    """The server whose answers the steps write."""
    with scripted_server(_PORTS) as server:
        yield server


@pytest.fixture(scope="module", params=[_FIRST, *(pytest.param(name, marks=pytest.mark.thorough) for name in _OTHERS)])
def client(request: Any, scripted: ScriptedServer) -> Iterator[Any]:
    """Each way of calling; a verdict does not depend on it."""
    client = _CLIENTS[request.param](scripted.urls)
    yield client
    client.close()


# --- the runner -------------------------------------------------------------------------------------------------------


class Stage:
    """One ledger, one clock, one client, and what they exported."""

    def __init__(self, telemetry: Telemetry, scripted: ScriptedServer, client: Any, clock: Clock) -> None:
        self.telemetry = telemetry
        self.scripted = scripted
        self.client = client
        self.clock = clock
        self.complaints: list[str] = []
        self.balanced = True
        """Whether the counters are looked at after each step."""
        self._seen = 0
        self._names = itertools.count(1)

    def name(self) -> str:
        """A name for a step."""
        return str(next(self._names))

    def new_span(self) -> dict[str, Any]:
        """The attributes of the one span that has ended since the last was asked for."""
        spans = self.telemetry.spans
        assert len(spans) == self._seen + 1, f"{len(spans) - self._seen} spans instead of one"
        self._seen += 1
        return dict(spans[-1].attributes or {})

    def play(self, sequences: Iterable[Sequence]) -> None:
        """Make all requests of all sequences, each at its own time, so that they are interleaved."""
        start, order = self.clock.now, itertools.count()
        waiting = [(start, next(order), Player(self, sequence)) for sequence in sequences]
        heapq.heapify(waiting)
        while waiting:
            moment, _, player = heapq.heappop(waiting)
            self.clock.reach(moment)
            player.perform()
            if player.remaining:
                after = int(player.remaining[0].after_s * _SECOND)
                heapq.heappush(waiting, (self.clock.now + after, next(order), player))


class Held:
    """A request on its way, whose answer is held back."""

    def __init__(self, place: int, thread: threading.Thread, planned: Planned) -> None:
        self.place = place
        self.thread = thread
        self.planned = planned


class Player:
    """Plays one sequence, step by step."""

    def __init__(self, stage: Stage, sequence: Sequence) -> None:
        self._stage = stage
        self._sequence = sequence
        self._place = 0
        self._held: Held | None = None

    @property
    def remaining(self) -> tuple[Step, ...]:
        """The steps that are to come."""
        return self._sequence.steps[self._place :]

    def perform(self) -> None:
        """Make the next request; a held one gets its answer when no step that overlaps it is left."""
        stage, place = self._stage, self._place
        step = self._sequence.steps[place]
        self._place += 1
        overlapped = any(later.overlaps == place for later in self.remaining)
        name, body = stage.name(), step.body if isinstance(step.body, dict) else json.loads(step.body)
        planned = stage.scripted.plan(
            name,
            Planned(
                step.path,
                step.answer,
                body["model"],
                stage.client.streamed,
                lambda: stage.clock.advance(_ANSWER_TAKES),
            ),
        )
        if overlapped:
            thread = threading.Thread(target=stage.client.send, args=(step, {STEP: name}), daemon=True)
            thread.start()
            assert planned.received.wait(_PATIENCE_S)
            self._held = Held(place, thread, planned)
            return
        planned.released.set()
        stage.client.send(step, {STEP: name})
        self._look(place)
        held = self._held
        if held is not None and not any(later.overlaps == held.place for later in self.remaining):
            self._held = None
            held.planned.released.set()
            held.thread.join(_PATIENCE_S)
            self._look(held.place)

    def _look(self, place: int) -> None:
        """Compare the new span with the label."""
        stage, step = self._stage, self._sequence.steps[place]
        for name, expected, got in _differences(step, stage.new_span()):
            stage.complaints.append(
                f"{self._sequence.name!r} ({self._sequence.source}), step {place} of {len(self._sequence.steps)}: "
                f"{name} should be {expected!r}, not {got!r}"
            )
        if stage.balanced:
            potential, reused, lost = (sum(totals) for totals in _totals(stage.telemetry))
            if reused + lost != potential:
                stage.complaints.append(
                    f"{self._sequence.name!r}, step {place}: reused {reused} + lost {lost} != potential {potential}"
                )


def _totals(telemetry: Telemetry) -> list[list[float]]:
    """The exported points of the three counters, of one collection."""
    metrics = telemetry.metrics()
    return [[point.value or 0 for point in metrics.get(name, ())] for name in _COUNTERS]


def _differences(step: Step, attributes: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """What of a span is not as labelled: attribute, expected, got."""
    expected = step.expected
    looked_at: dict[str, Any] = {"outcome": expected.outcome}
    if expected.reason != ANY:
        looked_at |= {
            "reason": expected.reason,
            "cause": expected.cause,
            "confidence": expected.confidence,
            "changed.section": expected.section,
            "changed.index": expected.index,
        }
    if expected.potential:
        looked_at["potential_tokens"] = expected.potential
    if expected.lost:
        looked_at |= {"lost_tokens": expected.lost, "repeated": expected.repeated}
    for name, value in looked_at.items():
        got = attributes.get(f"xai.cache.{name}")
        if got != value or type(got) is not type(value):
            yield name, value, got
    for name, value in (("potential_tokens", expected.potential), ("lost_tokens", expected.lost)):
        if not value and attributes.get(f"xai.cache.{name}"):
            yield name, value, attributes[f"xai.cache.{name}"]
    if not expected.lost and "xai.cache.repeated" in attributes:
        yield "repeated", None, attributes["xai.cache.repeated"]
    idle_s = attributes.get("xai.cache.idle_s")
    if expected.idle_s is not None and (idle_s is None or abs(idle_s - expected.idle_s) > 30):
        yield "idle_s", expected.idle_s, idle_s


@pytest.fixture
def stage(telemetry: Telemetry, scripted: ScriptedServer, client: Any) -> Iterator[Stage]:
    """A ledger that has seen nothing yet, observed on a clock of its own."""
    clock = Clock()
    settings = Settings.read({"hosts": "127.0.0.1"})
    recorder = Recorder(settings, Destination(telemetry.tracer_provider, telemetry.meter_provider))
    instrumentor._instrumentation.start(Observer(settings, recorder, CacheLedger(), clock=clock))
    yield Stage(telemetry, scripted, client, clock)
    instrumentor._instrumentation.stop()


# --- the tests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sequence", BANK, ids=_NAMES)
def test_each_step_is_labelled_as_its_story_asks(sequence: Sequence, stage: Stage) -> None:
    """A sequence in a ledger of its own: outcome, reason, place and tokens of every step, and counters that add up."""
    if sequence.raw and not stage.client.takes_raw:
        pytest.skip("the SDK writes bodies itself: bytes cannot be handed to it")
    stage.play([sequence])
    assert not stage.complaints, "\n".join(stage.complaints)


def test_sequences_do_not_disturb_each_other(stage: Stage) -> None:
    """All sequences at once in one ledger, step by step in turns: every label is what it is alone."""
    stage.balanced = False
    stage.play(sequence for sequence in BANK if stage.client.takes_raw or not sequence.raw)
    assert not stage.complaints, f"{len(stage.complaints)} differences\n" + "\n".join(stage.complaints)
    potential, reused, lost = (sum(totals) for totals in _totals(stage.telemetry))
    assert reused + lost == potential


def test_names_are_unique() -> None:
    """Each sequence can be named."""
    assert [name for name, times in Counter(_NAMES).items() if times > 1] == []


@pytest.mark.parametrize("reason", CAUSES)
def test_every_reason_is_told_in_three_sequences(reason: str) -> None:
    """No reason rests on one story."""
    assert sum(reason in sequence.reasons for sequence in BANK) >= 3


def test_the_bank_is_as_varied_as_it_should_be() -> None:
    """Ninety sequences; a third without any id, half with shared system and tools, 25 controls, all endpoints and lengths."""
    assert len(BANK) >= 90
    assert sum(not sequence.identified for sequence in BANK) >= len(BANK) / 3
    assert sum(sequence.shared for sequence in BANK) >= len(BANK) / 2
    assert sum(sequence.control for sequence in BANK) >= 25
    lengths = {len(sequence.steps) for sequence in BANK}
    assert min(lengths) == 2
    assert max(lengths) >= 15
    paths = Counter(step.path for sequence in BANK for step in sequence.steps)
    assert paths.keys() == {CHAT, RESPONSES, MESSAGES}
    assert min(paths.values()) >= 100


@pytest.mark.parametrize("path", [CHAT, RESPONSES, MESSAGES])
def test_reasoning_is_dropped_on_every_endpoint(path: str) -> None:
    """Each endpoint has a way of its own of sending reasoning back."""
    assert any(
        step.path == path and step.expected.reason == "reasoning_dropped" for each in BANK for step in each.steps
    )


@pytest.mark.parametrize("section", ["tools", "messages"])
def test_serialization_changes_in_both_places(section: str) -> None:
    """Tools and tool-call arguments are what gets written anew."""
    expected = [step.expected for sequence in BANK for step in sequence.steps]
    assert any(each.reason == "serialization_changed" and each.section == section for each in expected)


def test_no_text_is_shared_but_system_and_tools() -> None:
    """Whatever a user says in one sequence is said in no other, so that they can be interleaved."""
    owners: dict[str, str] = {}
    for sequence in BANK:
        for step in sequence.steps:
            body = step.body if isinstance(step.body, dict) else json.loads(step.body)
            for message in body.get("messages") or body["input"]:
                text = json.dumps(message)
                if message.get("role") == "user":
                    assert owners.setdefault(text, sequence.name) == sequence.name

"""The bank: sequences of calls as reports of cache breaks describe them, each step with what telemetry must say of it.

Labels follow the specification alone. Numbers come from a small model of the provider, so that they are those that an
application would see:

* a prompt has 128 hidden tokens, and one for every four bytes of model, tools, system and messages, in this order;
* a server that holds the longest common start of a prompt reports it in whole blocks of 128;
* any other server reports the hidden block, or nothing.

A ``Script`` writes one sequence turn by turn. It knows what the server holds, and refuses a label that its own
arithmetic contradicts: a reason where nothing is lost, or lost tokens without one.
"""

import json
import random
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Final, NamedTuple, TypeAlias

CHAT: Final = "/v1/chat/completions"
RESPONSES: Final = "/v1/responses"
MESSAGES: Final = "/v1/messages"
BLOCK: Final = 128
SHORTEST: Final = 1024
FIRST: Final = "first_request"
ANY: Final = "(any)"
"""Stands for a reason on which the specification is silent."""

CAUSES: Final = {
    "first_request": "expected",
    "no_baseline": "unknown",
    "concurrent": "expected",
    "compacted": "expected",
    "below_minimum": "expected",
    "unsupported": "expected",
    "model_changed": "client",
    "tools_changed": "client",
    "tools_reordered": "client",
    "system_changed": "client",
    "parameters_changed": "client",
    "history_edited": "client",
    "history_truncated": "client",
    "reasoning_dropped": "client",
    "serialization_changed": "client",
    "conversation_id_missing": "client",
    "conversation_id_changed": "client",
    "credentials_changed": "client",
    "endpoint_changed": "client",
    "idle": "provider",
    "provider_miss": "provider",
    "unreported": "unknown",
}
INFERRED: Final = frozenset({"parameters_changed", "idle", "provider_miss"})
_SECTIONS: Final = {
    "model_changed": "model",
    "parameters_changed": "parameters",
    "tools_changed": "tools",
    "tools_reordered": "tools",
    "system_changed": "system",
    "history_edited": "messages",
    "history_truncated": "messages",
    "reasoning_dropped": "messages",
    "compacted": "messages",
}

Json: TypeAlias = dict[str, Any]


class Call(NamedTuple):
    """A tool call that the model makes; ``arguments`` is JSON, as a string."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Answer:
    """What the server does with a step: the turn of the model, and the tokens that it reports."""

    text: str = ""
    reasoning: str | None = None
    calls: tuple[Call, ...] = ()
    response_id: str = ""
    input_tokens: int = 0
    cached_tokens: int | None = None
    """``None``: not reported."""
    output_tokens: int = 0
    reasoning_tokens: int = 0
    server_side_tools: int = 0
    context_tokens: int | None = None
    """``context_details.input_tokens``: the last of the turns that server-side tools make."""
    usage: bool = True
    """Whether the answer says anything of tokens."""
    status: int = 200
    aborted: bool = False
    """The connection ends in mid-body."""


@dataclass(frozen=True)
class Expected:
    """What telemetry must say of a step; ``None`` where it must say nothing.

    ``potential``, ``lost``, ``repeated`` and ``idle_s`` are not looked at where they are ``None``.
    """

    outcome: str | None = None
    reason: str | None = None
    section: str | None = None
    index: int | None = None
    potential: int | None = None
    lost: int | None = None
    repeated: bool | None = None
    idle_s: float | None = None

    @property
    def cause(self) -> str | None:
        """The cause that belongs to the reason."""
        return CAUSES.get(self.reason or "")

    @property
    def confidence(self) -> str | None:
        """How sure the reason is."""
        if self.reason is None:
            return None
        return "inferred" if self.reason in INFERRED else "certain"


@dataclass(frozen=True)
class Step:
    """One request, its answer, and what telemetry must say of it."""

    body: Json | bytes
    answer: Answer
    expected: Expected
    path: str = CHAT
    headers: dict[str, str] = field(default_factory=dict)
    endpoint: int = 0
    """Which of the servers is called."""
    after_s: float = 20.0
    """Since the step before ended."""
    overlaps: int | None = None
    """The earlier step that has no answer yet when this one is issued, nor before this one has got its own."""

    @property
    def claims(self) -> bool:
        """Whether somebody is blamed for lost tokens."""
        return self.expected.cause in ("client", "provider")

    @property
    def conversation_id(self) -> str | None:
        """The id that the request carries, in whichever place."""
        key = None if isinstance(self.body, bytes) else self.body.get("prompt_cache_key")
        return self.headers.get("x-grok-conv-id") or key


@dataclass(frozen=True)
class Sequence:
    """Steps that tell one story, and the report that it comes from."""

    name: str
    source: str
    steps: tuple[Step, ...]
    shared: bool
    """Whether its system prompt and tools are those of many other conversations."""

    @property
    def reasons(self) -> set[str]:
        """The reasons that its steps must give."""
        return {step.expected.reason for step in self.steps if step.expected.reason is not None}

    @property
    def control(self) -> bool:
        """Whether nothing may be claimed in it, although there was more than one request."""
        return len(self.steps) > 1 and not any(step.claims or step.expected.lost for step in self.steps)

    @property
    def identified(self) -> bool:
        """Whether any step has a conversation id."""
        return any(step.conversation_id for step in self.steps)

    @property
    def raw(self) -> bool:
        """Whether a body must reach the wire byte by byte."""
        return any(isinstance(step.body, bytes) for step in self.steps)


# --- texts, tools, and the three ways of writing them ---------------------------------------------------------------

_WORDS = """account agenda anchor archive balance barrel basin bridge budget canal cargo carriage cellar charter
circuit claim cluster column compass contract copper corridor current debris delta deposit desert detour draft
engine estuary exchange failure ferry fibre filter forecast freight furnace garden gauge glacier grain gravel
harbour hinge horizon incident index insurance invoice island journal junction kernel keystone ladder lagoon
lantern ledger lever lighthouse limestone magnet manifest margin market meadow measure meridian message mirror
monsoon morning mortar nectar network notice nozzle number orchard outlet oxygen packet paper parcel pasture
pattern pebble pension permit piston plateau pollen portal premium pressure profile pulley quarry quarter queue
quota radar railway rapids receipt record reef refund report reserve resin retry ridge river rudder saddle
salary sample sandbar scaffold schedule season sensor shelter signal silver siphon slope socket sorrel spindle
spring station statute storage stream summit supply surface surge survey tariff ticket timber tower traffic
transit trench tunnel turbine update valley valve vector vessel village volume voucher voyage warrant water
weather wharf window winter yard zenith zone""".split()


def _prose(seed: str, words: int) -> str:
    """Text that belongs to one seed alone."""
    chosen = random.Random(seed).choices(_WORDS, k=words)
    return " ".join(f"{word}." if place % 11 == 10 else word for place, word in enumerate(chosen))


class Tool(NamedTuple):
    """A function that the model may call."""

    name: str
    description: str
    properties: Json


def _tool(name: str, words: int = 55) -> Tool:
    return Tool(
        name,
        _prose(f"tool {name}", words),
        {
            "target": {"type": "string", "description": _prose(f"target of {name}", 12)},
            "limit": {"type": "integer", "description": _prose(f"limit of {name}", 12)},
        },
    )


def _written(path: str, tool: Tool) -> Json:
    schema = {"type": "object", "properties": tool.properties, "required": ["target"]}
    if path == MESSAGES:
        return {"name": tool.name, "description": tool.description, "input_schema": schema}
    function = {"name": tool.name, "description": tool.description, "parameters": schema}
    return {"type": "function", "function": function} if path == CHAT else {"type": "function", **function}


SHARED_SYSTEM: Final = "You keep the records of a shipping office. " + _prose("the shared system prompt", 620)
SHARED_TOOLS: Final = tuple(_tool(name) for name in ("find_vessel", "read_manifest", "book_berth", "send_notice"))


def output_of(path: str, answer: Answer) -> list[Json]:
    """The turn of the model, as its endpoint writes it: what a server returns, and what is sent back with the next."""
    if path == CHAT:
        message: Json = {"role": "assistant", "content": answer.text}
        if answer.reasoning is not None:
            message["reasoning_content"] = answer.reasoning
        if answer.calls:
            message["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in answer.calls
            ]
        return [message]
    if path == MESSAGES:
        blocks: list[Json] = []
        if answer.reasoning is not None:
            blocks.append({"type": "thinking", "thinking": answer.reasoning, "signature": answer.response_id})
        if answer.text:
            blocks.append({"type": "text", "text": answer.text})
        blocks += [
            {"type": "tool_use", "id": call.id, "name": call.name, "input": json.loads(call.arguments)}
            for call in answer.calls
        ]
        return [{"role": "assistant", "content": blocks}]
    items: list[Json] = []
    if answer.reasoning is not None:
        summary = [{"type": "summary_text", "text": answer.reasoning}]
        encrypted = _prose(f"encrypted {answer.response_id}", 40)
        items.append(
            {"type": "reasoning", "id": f"rs_{answer.response_id}", "summary": summary, "encrypted_content": encrypted}
        )
    if answer.text:
        content = [{"type": "output_text", "text": answer.text, "annotations": []}]
        items.append(
            {
                "type": "message",
                "id": f"msg_{answer.response_id}",
                "role": "assistant",
                "status": "completed",
                "content": content,
            }
        )
    items += [
        {
            "type": "function_call",
            "id": f"fc_{call.id}",
            "call_id": call.id,
            "name": call.name,
            "arguments": call.arguments,
            "status": "completed",
        }
        for call in answer.calls
    ]
    return items


def _without_reasoning(path: str, messages: list[Json]) -> list[Json]:
    if path == CHAT:
        return [{name: value for name, value in message.items() if name != "reasoning_content"} for message in messages]
    if path == RESPONSES:
        return [item for item in messages if item.get("type") != "reasoning"]
    return [
        {**message, "content": [block for block in message["content"] if block.get("type") != "thinking"]}
        if isinstance(message["content"], list)
        else message
        for message in messages
    ]


# --- the writer of a sequence ---------------------------------------------------------------------------------------


class _Kept(NamedTuple):
    """A place in a conversation to which one can come back."""

    messages: list[Json]
    baseline: int | None
    chained: int


_PREVIOUS: Final = -1
_COMPUTED: Final = -1
_UNREAD: Final = -2


class Script:
    """Writes a sequence: holds what the application holds, and what the provider does."""

    def __init__(self, name: str, *, path: str, identified: bool, shared: bool) -> None:
        self.name = name
        self.path = path
        self.model = "grok-4.6"
        self.system: Any = SHARED_SYSTEM if shared else f"You help in one matter. {_prose(f'{name} system', 640)}"
        self.system_role: str | None = "system" if path == CHAT else None
        """The role of the first message; ``None``: the system prompt has a field of its own."""
        self.tools: list[Tool] = list(SHARED_TOOLS) if shared else []
        self.fields: Json = {}
        self.conversation_id = f"conversation of {name}" if identified else None
        self.carrier = "body" if path == RESPONSES else "header"
        self.key = "key-of-the-application"
        self.endpoint = 0
        self.messages: list[Json] = []
        self.chained = 0
        """How many of the messages the server remembers: with ``previous_response_id`` they are not sent."""
        self.block = BLOCK
        self.floor = BLOCK
        """What a server that holds nothing of a prompt reports."""
        self.steps: list[Step] = []
        self._baselines: list[int | None] = []
        self._baseline: int | None = None
        self._held: list[bytes] = []
        self._ended: list[float] = []
        self._numbers = count(1)
        self._lengths = random.Random(name)

    # what the application writes

    def text(self, words: int) -> str:
        """New text."""
        return _prose(f"{self.name} {next(self._numbers)}", words + self._lengths.randrange(20))

    def message(self, text: str | None = None, *, words: int = 130, role: str = "user") -> Json:
        """A message of the application."""
        return {"role": role, "content": text if text is not None else self.text(words)}

    def say(self, text: str | None = None, *, words: int = 130) -> None:
        """Append what the user says."""
        self.messages.append(self.message(text, words=words))

    def call(self, arguments: Json | None = None, name: str = "find_vessel") -> Call:
        """A tool call for the model to make."""
        number = next(self._numbers)
        given = arguments or {"target": _prose(f"{self.name} call {number}", 4), "limit": number}
        return Call(f"call_{self._tag}_{number}", name, json.dumps(given))

    def results(self, calls: Iterable[Call], words: int = 130) -> None:
        """Append the results of tool calls."""
        written = [(call.id, self.text(words)) for call in calls]
        if self.path == CHAT:
            self.messages += [{"role": "tool", "tool_call_id": call, "content": text} for call, text in written]
        elif self.path == RESPONSES:
            self.messages += [
                {"type": "function_call_output", "call_id": call, "output": text} for call, text in written
            ]
        else:
            blocks = [{"type": "tool_result", "tool_use_id": call, "content": text} for call, text in written]
            self.messages.append({"role": "user", "content": blocks})

    @property
    def offset(self) -> int:
        """How many messages stand before those of the conversation."""
        return 1 if self.system_role is not None and not self.chained else 0

    def here(self) -> _Kept:
        """This place, to come back to."""
        return _Kept(deepcopy(self.messages), self._baseline, self.chained)

    def back_to(self, place: _Kept) -> None:
        """Come back to a place."""
        self.messages, self._baseline, self.chained = deepcopy(place.messages), place.baseline, place.chained

    def anew(self) -> None:
        """Begin a new conversation."""
        self.messages, self._baseline, self.chained = [], None, 0

    def elsewhere(self, turns: int = 1) -> None:
        """Let turns of the conversation happen in another process."""
        for _ in range(turns):
            self.say()
            self.messages += output_of(self.path, Answer(self.text(120), response_id=self._id()))

    @property
    def _tag(self) -> str:
        return f"{random.Random(self.name).getrandbits(40):010x}"

    def _id(self) -> str:
        return f"{self._tag}-{next(self._numbers)}"

    @property
    def body(self) -> Json:
        """The request's body as it is now."""
        messages = self.messages[self.chained :]
        if self.system_role is not None and self.system is not None and not self.chained:
            content = [self.system] if isinstance(self.system, str) else self.system
            messages = [*({"role": self.system_role, "content": text} for text in content), *messages]
        body: Json = {"model": self.model}
        if self.path == RESPONSES:
            if self.chained:
                body["previous_response_id"] = self.steps[self._baseline or 0].answer.response_id
            elif self.system_role is None and self.system is not None:
                body["instructions"] = self.system
            body["input"] = messages
        else:
            if self.path == MESSAGES:
                body["max_tokens"] = 4096
                body["system"] = self.system
            body["messages"] = messages
        if self.tools:
            body["tools"] = [_written(self.path, tool) for tool in self.tools]
        if self.conversation_id is not None and self.carrier == "body":
            body["prompt_cache_key"] = self.conversation_id
        return deepcopy({**body, **self.fields})

    @property
    def _headers(self) -> dict[str, str]:
        headers = {"authorization": f"Bearer {self.key}"}
        if self.conversation_id is not None and self.carrier == "header":
            headers["x-grok-conv-id"] = self.conversation_id
        return headers

    # what the provider does

    def _prompt(self, messages: list[Json]) -> bytes:
        tools = [json.dumps(_written(self.path, tool)) for tool in self.tools]
        system = json.dumps(self.system)
        return "\0".join([self.model, *tools, system, *map(json.dumps, messages)]).encode()

    def _read(self, prompt: bytes) -> int:
        """What the server that holds most of a prompt reads from its cache."""
        shared = max((_common(prompt, held) for held in self._held), default=0)
        return (BLOCK + shared // 4) // self.block * self.block if shared else self.floor

    # what happens

    def turn(self, reason: str | None = None, *, words: int = 130, **options: Any) -> Step:
        """The user says something, and the model answers."""
        self.say(words=words)
        return self.send(reason, **options)

    def send(
        self,
        reason: str | None = None,
        *,
        index: int | None = None,
        section: str | None = None,
        baseline: int | None = _PREVIOUS,
        lands: bool = True,
        cached: int | None = _COMPUTED,
        after_s: float = 20.0,
        overlaps: int | None = None,
        status: int = 200,
        aborted: bool = False,
        usage: bool = True,
        reasoning: bool = False,
        calls: tuple[Call, ...] = (),
        server_side_tools: int = 0,
        context_details: bool = True,
        words: int = 120,
        content: bytes | None = None,
    ) -> Step:
        """Send the prompt as it is now; an answer that comes is appended to the conversation.

        ``index`` counts in the conversation's own messages. ``lands`` says whether the request gets to the server that
        holds its start, ``cached`` what is reported whatever the server holds.
        ``baseline`` is the step that the ledger must compare with.
        """
        prompt = self._prompt(self.messages)
        input_tokens = BLOCK + len(prompt) // 4
        if cached == _COMPUTED:
            cached = min(self._read(prompt) if lands else self.floor, input_tokens)
        elif cached == _UNREAD:
            cached = None
        answer = Answer(
            text="" if calls else self.text(words),
            reasoning=self.text(260) if reasoning else None,
            calls=calls,
            response_id=self._id(),
            input_tokens=input_tokens * (server_side_tools + 1),
            cached_tokens=cached,
            server_side_tools=server_side_tools,
            context_tokens=input_tokens if server_side_tools and context_details else None,
            usage=usage,
            status=status,
            aborted=aborted,
        )
        output = output_of(self.path, answer)
        reasoning_tokens = len(answer.reasoning or "") // 4
        answer = replace(
            answer, output_tokens=len(json.dumps(output)) // 4 + reasoning_tokens, reasoning_tokens=reasoning_tokens
        )
        answered = status == 200 and not aborted
        if baseline == _PREVIOUS:
            baseline = self._baseline
        expected = Expected()
        if answered:
            expected = self._judge(answer, reason, baseline, section, index)
        timed = overlaps is None and baseline not in [step.overlaps for step in self.steps]
        if timed and baseline is not None and expected.outcome is not None and reason != ANY:
            elapsed = (self._ended[-1] + after_s) - self._ended[baseline]
            expected = replace(expected, idle_s=elapsed)
        step = Step(
            body=self.body if content is None else content,
            answer=answer,
            expected=expected,
            path=self.path,
            headers=self._headers,
            endpoint=self.endpoint,
            after_s=after_s,
            overlaps=overlaps,
        )
        self.steps.append(step)
        self._baselines.append(baseline)
        self._ended.append((self._ended[-1] if self._ended else 0.0) + after_s)
        if answered:
            self._held.append(prompt + b"\0" + "\0".join(map(json.dumps, output)).encode())
            self._baseline = len(self.steps) - 1
            self.messages += output
        return step

    def remembered(self) -> None:
        """Send from now on only what is new, with ``previous_response_id``."""
        self.chained = len(self.messages)

    def _judge(
        self, answer: Answer, reason: str | None, baseline: int | None, section: str | None, index: int | None
    ) -> Expected:
        """The label, whose numbers are computed and whose reason is given."""
        if answer.cached_tokens is None or not answer.usage:
            return Expected("unreported", "unreported")
        if reason is None and not self.steps:
            reason = FIRST
        if baseline is not None:
            section = section or _SECTIONS.get(reason or "")
        if index is not None and section == "messages":
            index += self.offset
        potential = self._potential(baseline)
        if not potential:
            self._insist(reason is not None, "a reason is missing")
            self._insist(
                (baseline is None) == (reason not in ("below_minimum", ANY)), "the baseline is not the reason's"
            )
            return Expected("not_applicable", reason, section, index, 0)
        shortfall = potential - min(answer.cached_tokens, potential)
        if shortfall <= BLOCK:
            self._insist(reason is None, f"nothing is lost, yet {reason}")
            return Expected("reused", None, None, None, potential, 0)
        self._insist(reason is not None, f"{shortfall} tokens are lost without a reason")
        outcome = "missed" if answer.cached_tokens <= 256 else "partial"
        repeated = reason in {self.steps[ancestor].expected.reason for ancestor in self._lineage(baseline)}
        return Expected(outcome, reason, section, index, potential, shortfall, repeated)

    def _potential(self, baseline: int | None) -> int:
        if baseline is None:
            return 0
        answer = self.steps[baseline].answer
        tokens = answer.context_tokens if answer.server_side_tools else answer.input_tokens
        return 0 if tokens is None or tokens < SHORTEST else tokens // BLOCK * BLOCK

    def _lineage(self, baseline: int | None) -> Iterable[int]:
        """The steps at which this conversation lost tokens."""
        while baseline is not None:
            if self.steps[baseline].expected.lost:
                yield baseline
            baseline = self._baselines[baseline]

    def _insist(self, condition: bool, complaint: str) -> None:
        if not condition:
            raise ValueError(f"{self.name}, step {len(self.steps)}: {complaint}")


def _common(one: bytes, other: bytes) -> int:
    """The length of the common start."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


BANK: Final[list[Sequence]] = []


class Variant(NamedTuple):
    """One way of having a story: the endpoint, with a conversation id or without, system and tools shared or own."""

    path: str = CHAT
    identified: bool = True
    shared: bool = True

    def __str__(self) -> str:
        endpoint = {CHAT: "chat", RESPONSES: "responses", MESSAGES: "messages"}[self.path]
        return f"{endpoint}, {'id' if self.identified else 'no id'}{'' if self.shared else ', own system'}"


_CHAT = Variant()
_CHAT_OWN = Variant(shared=False)
_CHAT_NO_ID = Variant(identified=False)
_CHAT_NO_ID_OWN = Variant(identified=False, shared=False)
_RESPONSES = Variant(RESPONSES)
_RESPONSES_OWN = Variant(RESPONSES, shared=False)
_RESPONSES_NO_ID = Variant(RESPONSES, identified=False)
_RESPONSES_NO_ID_OWN = Variant(RESPONSES, identified=False, shared=False)
_MESSAGES = Variant(MESSAGES)
_MESSAGES_OWN = Variant(MESSAGES, shared=False)
_MESSAGES_NO_ID = Variant(MESSAGES, identified=False)
_MESSAGES_NO_ID_OWN = Variant(MESSAGES, identified=False, shared=False)

_Story: TypeAlias = Callable[[Script], None]


def _sequence(source: str, *variants: Variant) -> Callable[[_Story], _Story]:
    """Put a story into the bank, once for each variant; its docstring is its name."""

    def register(story: _Story) -> _Story:
        for variant in variants:
            title = (story.__doc__ or "").rstrip(".").lower()
            name = f"{title} ({variant})"
            script = Script(name, path=variant.path, identified=variant.identified, shared=variant.shared)
            story(script)
            BANK.append(Sequence(name, source, tuple(script.steps), variant.shared))
        return story

    return register


# --- nothing may be claimed: conversations that only grow -------------------------------------------------------------


@_sequence(
    "docs.x.ai multi-turn",
    _CHAT,
    _CHAT_NO_ID,
    _RESPONSES_OWN,
    _RESPONSES_NO_ID,
    _MESSAGES,
    _MESSAGES_NO_ID_OWN,
)
def _append_only(script: Script) -> None:
    """Append only."""
    for _ in range({CHAT: 6, RESPONSES: 4, MESSAGES: 3}[script.path]):
        script.turn()


@_sequence("duolahypercho/codex-router#265", _CHAT_NO_ID_OWN, _RESPONSES)
def _long(script: Script) -> None:
    """Fifteen turns, append only."""
    for _ in range(15):
        script.turn(words=70)


@_sequence("docs.x.ai best-practices", _CHAT, _RESPONSES_NO_ID_OWN, _MESSAGES_NO_ID)
def _reasoning_kept(script: Script) -> None:
    """Reasoning is sent back."""
    for _ in range(4):
        script.turn(reasoning=True)


@_sequence("docs.x.ai multi-turn", _RESPONSES, _RESPONSES_NO_ID, _RESPONSES_NO_ID_OWN)
def _chained(script: Script) -> None:
    """Chained by previous_response_id."""
    for _ in range(5):
        script.turn(reasoning=True)
        script.remembered()


@_sequence("xai-org/grok-build responses.rs", _RESPONSES)
def _chained_after_system_item(script: Script) -> None:
    """A chain whose first input has a developer message, which is not sent again."""
    script.system_role = "developer"
    for _ in range(4):
        script.turn()
        script.remembered()


@_sequence("docs.x.ai maximizing-cache-hits", _RESPONSES)
def _chain_begins_late(script: Script) -> None:
    """A conversation that sends its history, then goes over to previous_response_id."""
    script.turn()
    script.turn()
    script.remembered()
    script.turn()
    script.remembered()
    script.turn()


@_sequence("docs.x.ai best-practices", _CHAT_NO_ID_OWN, _RESPONSES, _MESSAGES)
def _tool_calls(script: Script) -> None:
    """Tool calls and their results are appended."""
    script.tools = script.tools or [_tool("read_gauge"), _tool("open_valve")]
    script.say()
    for _ in range(3):
        call = script.call(name=script.tools[0].name)
        script.send(calls=(call,))
        script.results([call])
    script.send()
    script.turn()


@_sequence("docs.x.ai best-practices", _CHAT_NO_ID, _RESPONSES_NO_ID)
def _parallel_tool_calls(script: Script) -> None:
    """Parallel tool calls, all answered at once."""
    script.say()
    for _ in range(2):
        calls = tuple(script.call(name=tool.name) for tool in script.tools[:3])
        script.send(calls=calls)
        script.results(calls)
    script.send()


@_sequence("esengine/DeepSeek-Reasonix#119", _CHAT_OWN)
def _large_new_input(script: Script) -> None:
    """A new input that is many times the prompt so far."""
    script.turn()
    script.turn(words=3000)
    script.turn()


@_sequence("Wei-Shaw/sub2api#4966", _CHAT, _MESSAGES_NO_ID)
def _beyond_potential(script: Script) -> None:
    """More is read than the predecessor's prompt: its answer too."""
    for _ in range(3):
        script.turn(words=700)
    script.turn()


@_sequence("mweinbach/open-grok#18", _CHAT_NO_ID, _RESPONSES_OWN)
def _one_block_short(script: Script) -> None:
    """One block less is read than could be."""
    script.turn(words=20)
    for _ in range(3):
        last = script.steps[-1].answer.input_tokens // BLOCK * BLOCK
        script.turn(words=20, cached=last - BLOCK)


@_sequence("theopenco/llmgateway#2168", _CHAT, _CHAT_NO_ID_OWN)
def _exact_tokens(script: Script) -> None:
    """An older model, which counts single tokens and not blocks."""
    script.model = "grok-4-1-fast"
    script.block, script.floor = 1, 174
    for _ in range(4):
        script.turn()


@_sequence("duolahypercho/codex-router#265", _CHAT)
def _shared_part_at_once(script: Script) -> None:
    """A first turn that reads the shared tools and system from another conversation's cache."""
    script.turn(FIRST, cached=1408)
    script.turn()
    script.turn()


@_sequence("xai-org/grok-build usage", _RESPONSES, _RESPONSES_NO_ID)
def _server_side_tools(script: Script) -> None:
    """Server-side tools, whose turns add up in the usage, with context details."""
    script.fields = {"tools": [{"type": "web_search"}]}
    script.tools = []
    for searches in (2, 0, 3, 1):
        script.turn(server_side_tools=searches)


@_sequence("xai-org/grok-build usage", _RESPONSES)
def _server_side_tools_undetailed(script: Script) -> None:
    """Server-side tools without context details, so that nothing is known of the next potential."""
    script.turn(server_side_tools=2, context_details=False)
    script.turn(ANY)
    script.turn()


# --- nothing may be claimed: what is repeated, left and gone back to ------------------------------------------------


@_sequence("Wei-Shaw/sub2api#4966", _CHAT_NO_ID, _RESPONSES, _MESSAGES_OWN)
def _retried(script: Script) -> None:
    """Refused with 429, then with 500, then answered."""
    script.turn()
    script.turn(status=429)
    script.send(status=500, after_s=2)
    script.send(after_s=4)
    script.turn()


@_sequence("zed-industries/zed#45812", _CHAT, _RESPONSES_NO_ID_OWN)
def _cut(script: Script) -> None:
    """An answer that is cut in mid-body, and asked for again."""
    script.turn()
    script.turn(aborted=True)
    script.send(after_s=1)
    script.turn()


@_sequence("docs.x.ai cookbook", _RESPONSES_NO_ID)
def _first_fails(script: Script) -> None:
    """A conversation whose opening is refused before it is answered."""
    script.turn(status=503)
    script.send(FIRST)
    script.turn()


@_sequence("open-webui/open-webui#24804", _CHAT_NO_ID, _RESPONSES, _MESSAGES_NO_ID)
def _regenerated(script: Script) -> None:
    """An answer is regenerated twice, and the conversation goes on from the last."""
    script.turn()
    script.say()
    asked = script.here()
    script.send()
    for _ in range(2):
        same = len(script.steps) - 1
        script.back_to(asked)
        script.send(baseline=same)
    script.turn()


@_sequence("open-webui/open-webui#24804", _CHAT_NO_ID)
def _opening_regenerated_cold(script: Script) -> None:
    """An opening is sent again without an id, and lands on another server."""
    script.say()
    asked = script.here()
    script.send()
    script.back_to(asked)
    script.send(FIRST, baseline=None, lands=False)


@_sequence("rajbos/ai-engineering-fluency#2024", _CHAT_NO_ID, _RESPONSES, _MESSAGES_NO_ID_OWN)
def _forked(script: Script) -> None:
    """A conversation is forked after its first turn, and both branches go on."""
    script.turn()
    fork = script.here()
    script.turn()
    script.turn()
    left = script.here()
    script.back_to(fork)
    script.turn()
    script.turn()
    script.back_to(left)
    script.turn()


@_sequence("docs.x.ai generate-text", _RESPONSES)
def _chain_forked(script: Script) -> None:
    """Two chains from one response."""
    script.turn()
    script.remembered()
    script.turn()
    script.remembered()
    fork = script.here()
    script.turn()
    script.back_to(fork)
    script.turn()


@_sequence("mweinbach/open-grok#19", _CHAT, _RESPONSES_NO_ID, _MESSAGES)
def _rewound(script: Script) -> None:
    """The last question is asked in other words, twice."""
    script.turn()
    script.turn()
    place = script.here()
    script.turn()
    script.back_to(place)
    script.turn()
    script.back_to(place)
    script.turn()
    script.turn()


@_sequence("theexperiencecompany/gaia#1095", _CHAT, _MESSAGES)
def _sub_agents(script: Script) -> None:
    """Sub-agents with ids of their own work beside the main conversation."""
    main = script.conversation_id
    script.turn()
    place = script.here()
    for agent in range(3):
        script.anew()
        script.conversation_id = f"{main}, agent {agent}"
        script.turn(FIRST)
        script.turn()
    script.conversation_id = main
    script.back_to(place)
    script.turn()


@_sequence("looplj/axonhub#2031", _CHAT, _RESPONSES_OWN)
def _one_id_for_all(script: Script) -> None:
    """Sub-agents that share the main conversation's id, in turns."""
    places = []
    for _ in range(3):
        script.anew()
        script.turn(FIRST)
        places.append(script.here())
    for _ in range(2):
        for agent, place in enumerate(places):
            script.back_to(place)
            script.turn()
            places[agent] = script.here()


@_sequence("Wei-Shaw/sub2api#6350", _CHAT, _RESPONSES)
def _side_call(script: Script) -> None:
    """Side calls replay the transcript with its own id, and leave no trace in it."""
    script.turn()
    script.turn()
    for _ in range(2):
        place = script.here()
        script.turn(words=40)
        script.back_to(place)
        script.turn()


@_sequence("Wei-Shaw/sub2api#6350", _CHAT, _MESSAGES_NO_ID_OWN)
def _title(script: Script) -> None:
    """A title is asked for, with another system prompt and no tools."""
    script.turn()
    place, system, tools = script.here(), script.system, script.tools
    script.anew()
    script.system, script.tools = "Give a title of five words at the most.", []
    script.turn(FIRST, words=25)
    script.system, script.tools = system, tools
    script.back_to(place)
    script.turn()


@_sequence("esengine/DeepSeek-Reasonix#1796", _CHAT_NO_ID, _RESPONSES_NO_ID, _MESSAGES_NO_ID)
def _new_chats(script: Script) -> None:
    """New chats open beside a long one, with the same tools and system."""
    for _ in range(4):
        script.turn()
    long = script.here()
    for _ in range(2):
        script.anew()
        script.turn(FIRST, lands=False)
    script.back_to(long)
    script.turn()


@_sequence("duolahypercho/codex-router#267", _CHAT_NO_ID, _CHAT, _RESPONSES)
def _same_opening_cold(script: Script) -> None:
    """A new chat opens with the message of another one, and reads nothing."""
    opening = script.text(100)
    first = script.conversation_id
    script.say(opening)
    script.send()
    script.turn()
    script.turn()
    script.anew()
    script.conversation_id = first and f"{first}, the other"
    script.say(opening)
    script.send(FIRST, baseline=None, lands=False)


@_sequence("duolahypercho/codex-router#267", _CHAT_NO_ID_OWN, _MESSAGES)
def _same_opening_warm(script: Script) -> None:
    """A new chat opens with the message of another one, and reads all of it."""
    opening = script.text(100)
    first = script.conversation_id
    script.say(opening)
    script.send()
    script.turn()
    script.anew()
    script.conversation_id = first and f"{first}, the other"
    script.say(opening)
    script.send(baseline=0)
    script.turn()


@_sequence("BerriAI/litellm#32341", _CHAT_NO_ID, _RESPONSES_NO_ID_OWN)
def _single_turns(script: Script) -> None:
    """A batch of single questions."""
    for _ in range(5):
        script.anew()
        script.turn(FIRST, lands=False, words=40, after_s=1)


@_sequence("docs.x.ai best-practices", _CHAT_NO_ID, _RESPONSES)
def _other_sampling(script: Script) -> None:
    """Sampling, limits and user change from turn to turn, which leave the prompt alone."""
    limit = "max_tokens" if script.path == CHAT else "max_output_tokens"
    for number in range(4):
        script.fields = {
            "temperature": number / 4,
            "top_p": 1 - number / 10,
            "user": f"user {number}",
            limit: 512 + number,
        }
        if script.path == CHAT:
            script.fields["seed"] = number
        script.turn()


@_sequence("workweave/router#1121", _CHAT)
def _other_carrier(script: Script) -> None:
    """The id is in the body of a chat completion, where it routes nothing, and the server is the same by luck."""
    script.carrier = "body"
    for _ in range(3):
        script.turn()


@_sequence("docs.x.ai how-it-works", _CHAT, _RESPONSES_NO_ID)
def _changed_but_reused(script: Script) -> None:
    """Tools change places and the system prompt its end, yet all is read: nothing is lost, so nothing is told."""
    script.turn()
    potential = script.steps[-1].answer.input_tokens
    script.tools.reverse()
    script.turn(cached=potential)
    potential = script.steps[-1].answer.input_tokens
    script.system += " Answer in metric units."
    script.turn(cached=potential)


@_sequence("maximhq/bifrost#1742", _CHAT_NO_ID, _CHAT_OWN, _MESSAGES)
def _other_escapes(script: Script) -> None:
    """The same text comes with other escapes and other white space, and is read from the cache."""
    script.say("Où est le navire « Étoile » ? " + script.text(100))
    script.send(content=json.dumps(script.body).encode())
    script.say("Et le « Nébuleuse » ? " + script.text(100))
    script.send(content=json.dumps(script.body, ensure_ascii=False).encode())
    script.say()
    script.send(content=json.dumps(script.body, indent=2).encode())
    script.say()
    script.send(content=json.dumps(script.body, ensure_ascii=False, separators=(",", ":")).encode())


# --- nothing before it, or nothing that is known ----------------------------------------------------------------------


@_sequence("workers without a shared store", _CHAT_NO_ID, _RESPONSES_NO_ID_OWN, _MESSAGES)
def _restarted(script: Script) -> None:
    """The process starts in the middle of a conversation."""
    script.elsewhere(3)
    script.turn("no_baseline", baseline=None, lands=False)
    script.turn()
    script.turn()


@_sequence("workers without a shared store", _CHAT_NO_ID, _RESPONSES, _MESSAGES_NO_ID)
def _ran_elsewhere(script: Script) -> None:
    """Two turns of a conversation are served by another process."""
    script.turn()
    script.turn()
    script.elsewhere(2)
    script.turn("no_baseline", baseline=None)
    script.turn()


@_sequence("docs.x.ai generate-text", _RESPONSES_NO_ID)
def _chained_elsewhere(script: Script) -> None:
    """A chain that another process began."""
    script.fields = {"previous_response_id": "resp-of-another-process"}
    script.turn("no_baseline", baseline=None)
    script.fields = {}
    script.remembered()
    script.turn()


@_sequence("vllm-project/vllm#47430", _CHAT_NO_ID_OWN, _RESPONSES_OWN, _MESSAGES_NO_ID_OWN)
def _short(script: Script) -> None:
    """Turns that are too short for the cache."""
    script.system = "Be brief."
    script.turn(words=12, cached=0)
    script.turn("below_minimum", words=12, cached=0)
    script.turn("below_minimum", words=12, cached=0)


@_sequence("matt-house-e/accrue#116", _CHAT_NO_ID, _RESPONSES, _MESSAGES_NO_ID_OWN)
def _before_the_answer(script: Script) -> None:
    """The next question is asked while the answer to the last one still comes."""
    script.turn()
    script.turn()
    script.turn()
    in_flight = len(script.steps) - 1
    script.turn("concurrent", baseline=None, overlaps=in_flight, lands=False, after_s=1)
    script.turn()


@_sequence("OpenHands/software-agent-sdk#2972", _CHAT, _RESPONSES_NO_ID)
def _fan_out(script: Script) -> None:
    """Three branches start from one prompt that has no answer yet."""
    script.turn()
    script.turn()
    in_flight = len(script.steps) - 1
    place = script.here()
    for _ in range(3):
        script.back_to(place)
        script.turn("concurrent", baseline=None, overlaps=in_flight, lands=False, after_s=1)
    script.back_to(place)
    script.turn(baseline=in_flight)


@_sequence("matt-house-e/accrue#116", _CHAT_NO_ID)
def _wave(script: Script) -> None:
    """A first wave of different questions, all cold at once."""
    for number in range(4):
        script.anew()
        script.turn(FIRST, lands=False, after_s=0.2, overlaps=0 if number else None)


# --- the client changes the prompt ------------------------------------------------------------------------------------


@_sequence("docs.x.ai cookbook prompt-caching", _CHAT, _CHAT_NO_ID, _RESPONSES_NO_ID, _MESSAGES_OWN)
def _clock(script: Script) -> None:
    """A clock at the top of the system prompt."""
    system = script.system
    for minute in range(4):
        script.system = f"It is 2026-07-14T09:{minute:02}:31Z. {system}"
        script.turn("system_changed" if minute else FIRST)


@_sequence("mem0ai/mem0#4341", _CHAT_NO_ID_OWN, _RESPONSES_OWN, _MESSAGES_NO_ID_OWN)
def _memory(script: Script) -> None:
    """Memories are put behind the system prompt, others each time."""
    system = script.system
    for number in range(4):
        script.system = f"{system}\n\nWhat you remember:\n{script.text(90)}"
        script.turn("system_changed" if number else FIRST)


@_sequence("swampratnz/community-agent#508", _RESPONSES)
def _requester(script: Script) -> None:
    """A developer message names who asks, and two people do."""
    script.system_role = "developer"
    system = script.system
    for number, person in enumerate(("ANNA", "ANNA", "BERTRAM", "BERTRAM", "ANNA")):
        script.system = f"Requester: {person}\n{system}"
        script.turn({0: FIRST, 2: "system_changed", 4: "system_changed"}.get(number))


@_sequence("microsoft/vscode#316182", _CHAT_NO_ID)
def _flip(script: Script) -> None:
    """Nine characters flip in the middle of the system prompt."""
    half = len(script.system) // 2
    before, after = script.system[:half], script.system[half:]
    for number in range(4):
        script.system = before + ("[agent-a]", "[agent-b]")[number % 2] + after
        script.turn("system_changed" if number else FIRST)


@_sequence("lastmile-ai/mcp-agent#89", _CHAT_NO_ID_OWN)
def _prepended(script: Script) -> None:
    """The system message is put before the conversation once more with every turn."""
    own = f"{script.system} {script.text(200)}"
    script.system = [own]
    script.turn()
    for _ in range(2):
        script.system = [f"Mind this first: {script.text(60)}", *script.system]
        script.turn("system_changed")


@_sequence("goruck/home-generative-agent#617", _MESSAGES)
def _system_blocks(script: Script) -> None:
    """The first block of a system prompt in blocks is volatile."""
    system = script.system
    for number in range(3):
        script.system = [{"type": "text", "text": f"Session {script.text(6)}"}, {"type": "text", "text": system}]
        script.turn("system_changed" if number else FIRST)


@_sequence("esengine/DeepSeek-Reasonix#110", _CHAT_NO_ID, _RESPONSES, _MESSAGES_NO_ID)
def _tool_appears(script: Script) -> None:
    """A server of tools reconnects and brings one more, at the second place."""
    script.turn()
    script.turn()
    script.tools.insert(1, _tool("list_berths"))
    script.turn("tools_changed", index=1)
    script.turn()


@_sequence("anomalyco/opencode#14065", _CHAT, _RESPONSES_NO_ID)
def _tool_schema(script: Script) -> None:
    """The working directory is in the schema of a tool."""
    script.turn()
    for number in range(2):
        third = script.tools[2]
        script.tools[2] = third._replace(
            properties={**third.properties, "cwd": {"type": "string", "const": f"/{number}"}}
        )
        script.turn("tools_changed", index=2)


@_sequence("esengine/DeepSeek-Reasonix#110", _MESSAGES, _CHAT_NO_ID)
def _tool_disappears(script: Script) -> None:
    """A tool is gone, and comes back."""
    script.turn()
    script.turn()
    first = script.tools.pop(0)
    script.turn("tools_changed", index=0)
    script.tools.insert(0, first)
    script.turn("tools_changed", index=0, lands=False)


@_sequence("docs.x.ai multi-turn", _RESPONSES_NO_ID)
def _chain_with_other_tools(script: Script) -> None:
    """A chain whose tools change."""
    script.turn()
    script.remembered()
    script.turn()
    script.remembered()
    script.tools.insert(0, _tool("list_berths"))
    script.turn("tools_changed", index=0)


@_sequence("zeroclaw-labs/zeroclaw#10959", _CHAT_NO_ID, _RESPONSES, _MESSAGES_NO_ID)
def _tools_shuffled(script: Script) -> None:
    """The order of the tools is that of a hash map."""
    script.turn()
    script.tools.reverse()
    script.turn("tools_reordered", index=0)
    script.turn()
    script.tools[1], script.tools[2] = script.tools[2], script.tools[1]
    script.turn("tools_reordered", index=1)


@_sequence("QwenLM/qwen-code#6338", _CHAT)
def _tools_race(script: Script) -> None:
    """Two servers of tools race, so that the last two tools change places now and then."""
    script.turn()
    script.turn()
    script.tools[2], script.tools[3] = script.tools[3], script.tools[2]
    script.turn("tools_reordered", index=2)
    script.turn()


@_sequence("NousResearch/hermes-agent#100336", _CHAT_NO_ID, _RESPONSES, _MESSAGES_OWN)
def _other_model(script: Script) -> None:
    """Another model takes over."""
    script.turn()
    script.turn()
    script.model = "grok-4.7"
    script.turn("model_changed")
    script.turn()


@_sequence("NousResearch/hermes-agent#58747", _CHAT)
def _models_alternate(script: Script) -> None:
    """A fallback model answers one turn."""
    for _ in range(4):
        script.turn()
    script.model = "grok-4.5"
    script.turn("model_changed")
    script.model = "grok-4.6"
    script.turn("model_changed", lands=False)
    script.turn()


@_sequence("docs.x.ai multi-turn", _RESPONSES_NO_ID_OWN)
def _chain_with_other_model(script: Script) -> None:
    """A chain goes on with another model."""
    script.turn()
    script.remembered()
    script.model = "grok-4.7"
    script.turn("model_changed")


@_sequence("OpenAI prompt cache diagnostics: text_format_changed", _CHAT_NO_ID, _RESPONSES)
def _format(script: Script) -> None:
    """The last turn asks for JSON."""
    script.turn()
    script.turn()
    script.fields = (
        {"response_format": {"type": "json_object"}}
        if script.path == CHAT
        else {"text": {"format": {"type": "json_object"}}}
    )
    script.turn("parameters_changed", lands=False)
    script.turn()


@_sequence("openai/codex#35416", _CHAT, _RESPONSES_NO_ID)
def _effort(script: Script) -> None:
    """The reasoning effort changes between turns."""
    for number, effort in enumerate(("low", "low", "high", "low")):
        script.fields = {"reasoning_effort": effort} if script.path == CHAT else {"reasoning": {"effort": effort}}
        changed = number > 1
        script.turn("parameters_changed" if changed else None, lands=not changed)


@_sequence("docs.x.ai best-practices", _MESSAGES_NO_ID, _CHAT_NO_ID)
def _tool_choice(script: Script) -> None:
    """A tool call is enforced on one turn."""
    script.turn()
    script.turn()
    script.fields = {"tool_choice": {"type": "any"} if script.path == MESSAGES else "required"}
    script.turn("parameters_changed", lands=False)
    script.fields = {}
    script.turn("parameters_changed", lands=False)


@_sequence("mangowhoiscloud/geode#2026", _CHAT, _RESPONSES, _MESSAGES)
def _round_counter(script: Script) -> None:
    """The number of the round is written into the first message."""
    script.turn()
    task = script.messages[0]["content"]
    for number in range(2, 5):
        script.messages[0] = script.message(f"Current round: {number}. {task}")
        script.turn("history_edited", index=0)


@_sequence("rossoctl/context-guru#24", _CHAT_NO_ID_OWN, _RESPONSES_NO_ID, _MESSAGES_NO_ID_OWN)
def _scratchpad(script: Script) -> None:
    """A scratchpad near the start is rewritten in mid-conversation."""
    script.say()
    script.turn()
    script.turn()
    script.turn()
    script.messages[1] = script.message(words=90)
    script.turn("history_edited", index=1)
    script.turn()


@_sequence("xai-org/grok-build image cache-miss bug", _CHAT_NO_ID, _CHAT)
def _image_evicted(script: Script) -> None:
    """An old image gives way to a placeholder."""
    script.turn()
    image = {
        "type": "image_url",
        "image_url": {"url": f"https://images.example/{script.text(3).replace(' ', '-')}.png"},
    }
    script.messages.append({"role": "user", "content": [{"type": "text", "text": script.text(40)}, image]})
    script.send(words=300)
    script.turn(words=300)
    script.turn()
    script.messages[2]["content"][1] = {"type": "text", "text": "[image removed]"}
    script.turn("history_edited", index=2)


@_sequence("anthropics/claude-agent-sdk-typescript#269", _CHAT, _RESPONSES_NO_ID, _MESSAGES)
def _reminder_stripped(script: Script) -> None:
    """A long reminder is put behind the last message, and taken away when the next comes."""
    script.turn()
    plain = script.text(60)
    script.say(f"{plain}\n<reminder>{script.text(600)}</reminder>")
    script.send()
    script.messages[2] = script.message(plain)
    script.turn("history_edited", index=2)
    script.turn()


@_sequence("NousResearch/hermes-agent#68085", _CHAT_NO_ID)
def _answer_stripped(script: Script) -> None:
    """White space around an old answer is stripped."""
    script.turn()
    script.messages[1]["content"] += "\n\n"
    script.turn(words=300)
    script.turn()
    script.messages[1]["content"] = script.messages[1]["content"].strip()
    script.turn("history_edited", index=1)


@_sequence("vercel/eve#175", _RESPONSES, _CHAT_NO_ID)
def _result_pruned(script: Script) -> None:
    """The result of an old tool call is shortened."""
    script.say()
    calls = (script.call(),)
    script.send(calls=calls)
    script.results(calls, words=400)
    script.send(words=200)
    script.turn(words=200)
    script.turn()
    result = script.messages[2]
    result["output" if script.path == RESPONSES else "content"] = "[shortened]"
    script.turn("history_edited", index=2)


@_sequence("BasedHardware/omi#4694", _CHAT_NO_ID, _CHAT_OWN, _RESPONSES_NO_ID, _MESSAGES_NO_ID_OWN)
def _window(script: Script) -> None:
    """Only the last ten messages are sent."""
    for number in range(8):
        script.say()
        slides = len(script.messages) > 10
        if slides:
            del script.messages[: len(script.messages) - 9]
        script.send("history_truncated" if slides else None, index=0 if slides else None)
        assert slides == (number > 4)


@_sequence("zeroclaw-labs/zeroclaw#10674", _CHAT, _MESSAGES)
def _trimmed_once(script: Script) -> None:
    """The oldest half is cut off once."""
    for _ in range(6):
        script.turn()
    del script.messages[:6]
    script.turn("history_truncated", index=0)
    script.turn()


def _is_model_turn(messages: list[Json], place: int) -> bool:
    return place < len(messages) and messages[place].get("role") == "assistant"


@_sequence("fkiene/llmtrim#207", _CHAT_NO_ID, _RESPONSES, _MESSAGES_NO_ID, _RESPONSES_NO_ID)
def _reasoning_never_sent_back(script: Script) -> None:
    """Reasoning is not sent back, from the first follow-up on."""
    script.turn(reasoning=True)
    for _ in range(2):
        last = len(script.messages)
        script.messages = _without_reasoning(script.path, script.messages)
        place = next(place for place in range(last - 1, -1, -1) if _is_model_turn(script.messages, place))
        script.turn("reasoning_dropped", index=place, lands=False, reasoning=True)


@_sequence("anomalyco/opencode#32604", _CHAT, _MESSAGES, _RESPONSES_OWN)
def _reasoning_stripped_later(script: Script) -> None:
    """A switch of modes strips all reasoning that was sent back before."""
    script.turn(reasoning=True)
    script.turn(reasoning=True)
    script.turn()
    script.messages = _without_reasoning(script.path, script.messages)
    script.turn("reasoning_dropped", index=1)
    script.turn()


@_sequence("Lakr233/FlowDown#273", _CHAT_NO_ID, _RESPONSES, _MESSAGES_NO_ID)
def _schema_keys(script: Script) -> None:
    """The keys of a tool's schema come in another order with each call."""
    script.turn()
    for _ in range(2):
        second = script.tools[1]
        script.tools[1] = second._replace(properties=dict(reversed(second.properties.items())))
        script.turn("serialization_changed", section="tools", index=1)


@_sequence("maximhq/bifrost#1742", _CHAT, _CHAT_NO_ID)
def _tools_indented(script: Script) -> None:
    """The tools are written with other white space, and the server reads nothing."""
    script.turn()
    script.turn()
    script.say()
    body = script.body
    tools = body.pop("tools")
    content = (
        f'{json.dumps(body, ensure_ascii=False, separators=(",", ":"))[:-1]},"tools":{json.dumps(tools, indent=1)}}}'
    )
    script.send("serialization_changed", section="tools", index=0, lands=False, content=content.encode())


@_sequence(
    "OpenRouterTeam/ai-sdk-provider#171", _CHAT_NO_ID, _RESPONSES, _MESSAGES_NO_ID, _CHAT, _RESPONSES_NO_ID, _MESSAGES
)
def _argument_keys(script: Script) -> None:
    """The arguments of an old tool call come back from a database with their keys in another order."""
    script.say()
    arguments = {"target": "harbour", "limit": 3}
    calls = (script.call(arguments),)
    script.send(calls=calls)
    script.results(calls, words=500)
    script.send()
    script.turn()
    turned = json.dumps(dict(reversed(arguments.items())))
    if script.path == CHAT:
        script.messages[1]["tool_calls"][0]["function"]["arguments"] = turned
    elif script.path == RESPONSES:
        script.messages[1]["arguments"] = turned
    else:
        script.messages[1]["content"][0]["input"] = json.loads(turned)
    script.turn("serialization_changed", section="messages", index=1)
    script.turn()


@_sequence("anomalyco/opencode#32515", _RESPONSES, _RESPONSES_NO_ID)
def _compaction_item(script: Script) -> None:
    """The history gives way to a compaction item behind the first message."""
    for _ in range(5):
        script.turn(words=200)
    item = {"type": "compaction", "id": script._id(), "encrypted_content": script.text(40)}
    script.messages = [script.messages[0], item]
    script.turn("compacted", index=1)
    script.turn()


@_sequence("docs.x.ai context-compaction", _CHAT_OWN, _MESSAGES_OWN)
def _summarised(script: Script) -> None:
    """The history gives way to a summary in the application's words."""
    script.system = "You keep the books of a lighthouse."
    script.turn(words=900)
    for _ in range(7):
        script.turn(words=220)
    script.messages = [script.message(f"What happened so far: {script.text(500)}")]
    script.messages += output_of(script.path, Answer("Understood.", response_id=script._id()))
    script.turn("compacted", index=0)
    script.turn()


@_sequence("docs.x.ai context-compaction", _RESPONSES_NO_ID_OWN)
def _compacted_elsewhere(script: Script) -> None:
    """A compaction of a history that was never seen."""
    script.messages = [{"type": "compaction", "id": script._id(), "encrypted_content": script.text(40)}]
    script.turn("compacted", baseline=None)
    script.turn()


# --- nothing routes the request to the server that holds the prompt ---------------------------------------------------


@_sequence("vectorize-io/hindsight#3271", _CHAT_NO_ID, _RESPONSES_NO_ID, _MESSAGES_NO_ID, _CHAT_NO_ID_OWN)
def _never_an_id(script: Script) -> None:
    """No conversation id is ever sent, and every turn lands on another server."""
    script.turn()
    for _ in range(4):
        script.turn("conversation_id_missing", lands=False)


@_sequence("anomalyco/opencode#35033", _CHAT_NO_ID, _RESPONSES_NO_ID_OWN)
def _sometimes_back(script: Script) -> None:
    """Without an id the balancer only sometimes returns to the same server."""
    script.turn()
    for lucky in (True, False, True, False):
        script.turn(None if lucky else "conversation_id_missing", lands=lucky, after_s=60)


@_sequence("workweave/router#1121", _CHAT, _CHAT_OWN)
def _wrong_carrier(script: Script) -> None:
    """The id is in the body of a chat completion, which ignores it."""
    script.carrier = "body"
    script.turn()
    script.turn("conversation_id_missing", lands=False)
    script.turn("conversation_id_missing", lands=False)


@_sequence("lobehub/lobehub#17489", _RESPONSES_NO_ID)
def _chain_without_id(script: Script) -> None:
    """A chain without an id, whose responses are found while the cache is not."""
    script.turn()
    script.remembered()
    script.turn("conversation_id_missing", lands=False)
    script.remembered()
    script.turn()


@_sequence("NousResearch/hermes-agent#5604", _CHAT, _RESPONSES)
def _id_forgotten(script: Script) -> None:
    """One turn forgets the id."""
    script.turn()
    script.turn()
    own, script.conversation_id = script.conversation_id, None
    script.turn("conversation_id_missing", lands=False)
    script.conversation_id = own


@_sequence("duolahypercho/codex-router#265", _CHAT, _MESSAGES, _RESPONSES)
def _random_id(script: Script) -> None:
    """A random id for each request."""
    for number in range(4):
        script.conversation_id = f"random {script._id()}"
        script.turn("conversation_id_changed" if number else FIRST, lands=False)


@_sequence("vercel/ai#16659", _RESPONSES, _RESPONSES_OWN)
def _id_in_header(script: Script) -> None:
    """The id of a Responses call is in the header, which routes as the body does, until it changes."""
    script.carrier = "header"
    for _ in range(3):
        script.turn()
    script.conversation_id = f"random {script._id()}"
    script.turn("conversation_id_changed", lands=False)
    script.turn()


@_sequence("anomalyco/opencode#35970", _RESPONSES)
def _id_moves(script: Script) -> None:
    """The id moves from the header to the body and stays the same."""
    script.carrier = "header"
    script.turn()
    script.carrier = "body"
    script.turn()
    script.turn("provider_miss", lands=False)


@_sequence("Wei-Shaw/sub2api#6350", _RESPONSES, _CHAT)
def _side_call_with_own_id(script: Script) -> None:
    """Side calls replay the transcript with an id of their own."""
    own = script.conversation_id
    script.turn()
    script.turn()
    place = script.here()
    script.conversation_id = f"side call {script._id()}"
    script.turn("conversation_id_changed", lands=False, words=40)
    script.conversation_id = own
    script.back_to(place)
    script.turn()


@_sequence("docs.x.ai how-it-works", _CHAT, _RESPONSES)
def _new_id_beside_other_system(script: Script) -> None:
    """A new id beside another system prompt: the prompt comes first."""
    system = script.system
    for number in range(3):
        script.system = f"{number} o'clock. {system}"
        script.conversation_id = f"random {script._id()}"
        script.turn("system_changed" if number else FIRST, lands=False)


@_sequence("tombii/better-ccflare#319", _CHAT, _RESPONSES_OWN, _MESSAGES)
def _accounts(script: Script) -> None:
    """Accounts take turns."""
    for number, account in enumerate("aabba"):
        script.key = f"key-of-account-{account}"
        changed = number in (2, 4)
        script.turn("credentials_changed" if changed else None, lands=not changed)


@_sequence("damianvtran/local-operator#995", _CHAT, _RESPONSES, _MESSAGES_OWN)
def _endpoints(script: Script) -> None:
    """Requests go round several endpoints."""
    for number in range(5):
        script.endpoint = (0, 0, 1, 2, 2)[number]
        changed = number in (2, 3)
        script.turn("endpoint_changed" if changed else None, lands=not changed)


# --- the provider -----------------------------------------------------------------------------------------------------


@_sequence("diegopetrucci/the-last-harness#642", _CHAT, _RESPONSES, _MESSAGES_OWN)
def _long_pause(script: Script) -> None:
    """A pause that the cache does not outlive."""
    script.turn()
    script.turn()
    script.turn("idle", lands=False, after_s=1900)
    script.turn()
    script.turn("idle", lands=False, after_s=7200)


@_sequence("anthropics/claude-code#94177", _CHAT, _RESPONSES)
def _pause_survived(script: Script) -> None:
    """Pauses that the cache outlives."""
    script.turn()
    script.turn(after_s=900)
    script.turn(after_s=3600)


@_sequence("anthropics/claude-code#94177", _CHAT_NO_ID, _MESSAGES_NO_ID)
def _pause_without_id(script: Script) -> None:
    """After a pause, what was never routed is not blamed on time."""
    script.turn()
    script.turn("conversation_id_missing", lands=False, after_s=3600)


@_sequence("kenryu42/pi-grok-cli#7", _CHAT, _RESPONSES, _MESSAGES)
def _miss(script: Script) -> None:
    """The provider misses an intact prompt, once early and once after nine minutes."""
    script.turn()
    script.turn()
    script.turn("provider_miss", lands=False)
    script.turn()
    script.turn("provider_miss", lands=False, after_s=560)
    script.turn()


@_sequence("openai/codex#20301", _RESPONSES_OWN)
def _stuck(script: Script) -> None:
    """The cached count is stuck at the prompt of the first turn."""
    script.turn(words=300)
    script.turn(words=300)
    stuck = script.steps[-1].answer.cached_tokens
    for _ in range(3):
        script.turn("provider_miss", cached=stuck, words=300)


@_sequence("docs.x.ai best-practices", _CHAT, _RESPONSES)
def _defaults_spelled_out(script: Script) -> None:
    """Defaults are spelled out on one turn, which changes no parameter."""
    script.turn()
    script.turn()
    script.fields = {"tool_choice": "auto"}
    if script.path == CHAT:
        script.fields |= {"response_format": {"type": "text"}, "reasoning_effort": None}
    else:
        script.fields |= {"text": {"format": {"type": "text"}}}
    script.turn("provider_miss", lands=False)


@_sequence("rossoctl/context-guru#24", _CHAT, _RESPONSES_OWN)
def _edit_at_the_end(script: Script) -> None:
    """A message near the end changes, and everything is lost: most of that is not the client's doing."""
    for _ in range(5):
        script.turn(words=300)
    script.messages[8] = script.message(words=60)
    script.turn("provider_miss", lands=False)


@_sequence("Wei-Shaw/sub2api#4632", _CHAT)
def _no_trace(script: Script) -> None:
    """A miss that reports 0, not even the hidden block."""
    script.turn()
    script.floor = 0
    script.turn("provider_miss", lands=False)
    script.turn()


# --- what the answer does not say -------------------------------------------------------------------------------------


@_sequence("brainlid/langchain#626", _CHAT_NO_ID, _RESPONSES, _MESSAGES_NO_ID)
def _count_unreported(script: Script) -> None:
    """The answer carries no cached count."""
    script.turn(cached=_UNREAD)
    script.turn(cached=_UNREAD)
    script.turn()


@_sequence("QuantumNous/new-api#6419", _CHAT, _RESPONSES_NO_ID)
def _usage_lost(script: Script) -> None:
    """One answer says nothing of tokens."""
    script.turn()
    script.turn()
    script.turn(usage=False)


@_sequence("theopenco/llmgateway#2168", _CHAT_NO_ID_OWN, _CHAT_OWN, _RESPONSES_NO_ID_OWN)
def _unsupported(script: Script) -> None:
    """An endpoint that never caches anything."""
    script.model = f"grok-4.6 of a reseller, {script._tag}"
    script.floor = 0
    script.turn(words=40)
    reason = "provider_miss" if script.conversation_id else "conversation_id_missing"
    for eligible in range(1, 24):
        script.turn(reason if eligible <= 20 else "unsupported", lands=False, words=20)

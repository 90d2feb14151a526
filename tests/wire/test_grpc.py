"""Messages of gRPC: the numbers on the wire, usage in its two readings, and whatever a server may send."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opentelemetry.instrumentation.xai.message_exchange import MessageExchange
from opentelemetry.instrumentation.xai.observation import Ending, Request
from opentelemetry.instrumentation.xai.wire import grpc_chat, grpc_request
from opentelemetry.instrumentation.xai.wire.fingerprint import Fingerprinter
from opentelemetry.instrumentation.xai.wire.request import Carried, facts_of
from opentelemetry.instrumentation.xai.wire.usage import sampling_usage

pytest.importorskip("xai_sdk", reason="the official SDK is not installed")
from xai_sdk.proto import chat_pb2, deferred_pb2, sample_pb2, usage_pb2

REQUEST = Request("chat", "api.x.ai", 443)


@pytest.mark.parametrize(
    ("enumeration", "prefix", "ours", "words"),
    [
        (chat_pb2.MessageRole, "ROLE_", grpc_request.ROLES, {}),
        (chat_pb2.ReasoningEffort, "EFFORT_", grpc_request.EFFORTS, {}),
        (chat_pb2.FormatType, "FORMAT_TYPE_", grpc_request.FORMATS, {}),
        (chat_pb2.ToolMode, "TOOL_MODE_", grpc_request.CHOICES, {}),
        (sample_pb2.FinishReason, "REASON_", grpc_chat.FINISHES, {"max_len": "length", "max_context": "length"}),
    ],
)
def test_the_numbers_are_those_of_the_sdk(enumeration: Any, prefix: str, ours: Any, words: dict[str, str]) -> None:
    """What we call each number is what the SDK calls it, finish reasons in the words of chat completions."""
    for name, number in enumeration.items():
        if number and name.startswith(prefix):
            word = name.removeprefix(prefix).lower()
            assert ours[number] == words.get(word, word)


def test_the_states_of_deferred_completions_are_those_of_the_sdk() -> None:
    """Done and pending are told from all else."""
    states = dict(deferred_pb2.DeferredStatus.items())
    assert (states["DONE"], states["PENDING"]) == (grpc_chat.DONE, grpc_chat.PENDING)


@pytest.mark.parametrize(
    ("counts", "modalities"),
    [
        ({"prompt_text_tokens": 100}, (("text", 100),)),
        ({"prompt_text_tokens": 36, "cached_prompt_text_tokens": 64}, (("text", 100),)),
        ({"prompt_text_tokens": 100, "cached_prompt_text_tokens": 64}, (("text", 100),)),
        ({"prompt_text_tokens": 60, "prompt_image_tokens": 40}, (("text", 60), ("image", 40))),
        (
            {"prompt_text_tokens": 20, "prompt_image_tokens": 40, "cached_prompt_text_tokens": 40},
            (("text", 60), ("image", 40)),
        ),
        ({"prompt_text_tokens": 7}, ()),
        ({}, ()),
    ],
)
def test_the_kinds_of_input_are_told_where_they_add_up(counts: dict[str, int], modalities: Any) -> None:
    """Text tokens count with the cached ones or without: as they add up to the prompt, and else there is no split."""
    usage = sampling_usage(usage_pb2.SamplingUsage(prompt_tokens=100, completion_tokens=1, **counts))
    assert usage is not None
    assert usage.modalities == modalities
    assert (usage.input_tokens, usage.cached_tokens) == (100, counts.get("cached_prompt_text_tokens", 0))


def test_output_includes_reasoning() -> None:
    """xAI counts completion and reasoning apart, with or without a total; cost 0 means that none was reported."""
    for total in (0, 131):
        usage = sampling_usage(
            usage_pb2.SamplingUsage(prompt_tokens=100, completion_tokens=11, reasoning_tokens=20, total_tokens=total)
        )
        assert usage is not None
        assert (usage.output_tokens, usage.reasoning_tokens, usage.cost_ticks) == (31, 20, None)


def test_tools_that_ran_at_xai_leave_the_context_untold() -> None:
    """Then input and cached are sums over several turns, and how long the prompt is nobody says."""
    usage = sampling_usage(usage_pb2.SamplingUsage(prompt_tokens=9, server_side_tools_used=[1, 1]))
    assert usage is not None
    assert usage.tools_on_server
    assert usage.prompt_tokens is None


def test_outputs_on_the_way_have_no_finish_of_their_own() -> None:
    """Where tools run at xAI there are outputs without a finish: a complete answer has the finishes that were sent."""
    exchange = MessageExchange(REQUEST, grpc_chat.METHODS["GetCompletion"], 0)
    outputs = [chat_pb2.CompletionOutput(index=index, finish_reason=3 if index == 2 else 0) for index in range(3)]
    exchange.message_received(chat_pb2.GetChatCompletionResponse(id="one", outputs=outputs), 1)
    assert exchange.end(Ending.COMPLETE, 2).finish_reasons == ("stop",)


def test_parameters_are_as_they_were_written() -> None:
    """Floats of 32 bits are told as the application wrote them; what was not set is not told."""
    message = chat_pb2.GetCompletionsRequest(
        model="grok-4.7",
        temperature=0.7,
        top_p=0.1,
        n=3,
        seed=0,
        stop=["a"],
        reasoning_effort=3,
        response_format=chat_pb2.ResponseFormat(format_type=2),
        tool_choice=chat_pb2.ToolChoice(function_name="look_up"),
    )
    method = grpc_chat.METHODS["GetCompletion"]
    request, _ = facts_of(method, "api.x.ai", 443, Carried(None, "metadata"), method.read_request(message))
    assert request.parameters == {
        "gen_ai.request.choice.count": 3,
        "gen_ai.request.seed": 0,
        "gen_ai.request.temperature": 0.7,
        "gen_ai.request.top_p": 0.1,
        "gen_ai.request.stop_sequences": ("a",),
        "gen_ai.request.reasoning.level": "high",
        "gen_ai.output.type": "json",
    }


_TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
_PARTS = st.one_of(
    st.builds(lambda text: chat_pb2.Content(text=text), _TEXT),
    st.builds(lambda url: chat_pb2.Content(image_url={"image_url": url}), _TEXT),
    st.just(chat_pb2.Content()),
)
_CALLS = st.builds(
    lambda identity, arguments: chat_pb2.ToolCall(
        id=identity, function=chat_pb2.FunctionCall(name="f", arguments=arguments)
    ),
    _TEXT,
    _TEXT,
)
_MESSAGES = st.builds(
    lambda role, content, calls, reasoning, encrypted: chat_pb2.Message(
        role=role, content=content, tool_calls=calls, reasoning_content=reasoning, encrypted_content=encrypted
    ),
    st.integers(0, 9),
    st.lists(_PARTS, max_size=3),
    st.lists(_CALLS, max_size=2),
    _TEXT,
    _TEXT,
)
_TOOLS = st.builds(
    lambda name, parameters: chat_pb2.Tool(function=chat_pb2.Function(name=name, parameters=parameters)), _TEXT, _TEXT
)


@given(st.lists(_MESSAGES, max_size=6), st.lists(_TOOLS, max_size=2), st.floats(width=32))
def test_any_request_can_be_read(messages: list[Any], tools: list[Any], temperature: float) -> None:
    """Whatever roles, parts, calls, reasoning and tools a request has, it is read, and its entries are JSON."""
    message = chat_pb2.GetCompletionsRequest(model="m", messages=messages, tools=tools, temperature=temperature)
    for name in ("GetCompletion", "CompactContext")[: 1 + hasattr(chat_pb2, "CompactContextRequest")]:
        method = grpc_chat.METHODS[name]
        asked = message if name == "GetCompletion" else chat_pb2.CompactContextRequest(model="m", input=messages)
        fields = method.read_request(asked)
        request, fingerprint = facts_of(method, "h", 1, Carried(None, "metadata"), fields, Fingerprinter())
        assert request.model == "m"
        assert fingerprint is not None
        assert len(fingerprint.tail(0)) == len(fingerprint)
        told = request.parameters.get("gen_ai.request.temperature", temperature)
        assert not isinstance(told, float) or not math.isfinite(temperature) or told == pytest.approx(temperature, 1e-6)


@given(
    st.lists(
        st.builds(
            lambda index, finish, content, reasoning, usage: chat_pb2.GetChatCompletionChunk(
                id="one",
                outputs=[
                    chat_pb2.CompletionOutputChunk(
                        index=index,
                        finish_reason=finish,
                        delta=chat_pb2.Delta(content=content, reasoning_content=reasoning),
                    )
                ],
                usage=usage_pb2.SamplingUsage(prompt_tokens=usage) if usage else None,
            ),
            st.integers(-1, 100),
            st.integers(0, 9),
            _TEXT,
            _TEXT,
            st.integers(0, 2**31 - 1),
        ),
        max_size=6,
    ),
    st.sampled_from([Ending.COMPLETE, Ending.ABANDONED, Ending.FAILED]),
)
def test_any_stream_can_be_read(chunks: list[Any], ending: Ending) -> None:
    """Whatever chunks come, moments are in order, and the last usage is the one that counts."""
    exchange = MessageExchange(REQUEST, grpc_chat.METHODS["GetCompletionChunk"], 0)
    for moment, chunk in enumerate(chunks, 1):
        exchange.message_received(chunk, moment)
    found = exchange.end(ending, len(chunks) + 1, "X" if ending is Ending.FAILED else None)
    told = [chunk.usage.prompt_tokens for chunk in chunks if chunk.HasField("usage")]
    assert (found.usage.input_tokens if found.usage else None) == (told[-1] if told else None)
    assert found.streamed
    assert len(found.finish_reasons) <= 64
    if found.timeline.first_answer_token is not None:
        assert found.timeline.first_chunk is not None
        assert found.timeline.first_chunk <= found.timeline.first_answer_token

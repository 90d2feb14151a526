"""openai-agents: a ``Runner`` with one agent, over chat completions or responses."""

from collections.abc import Callable
from typing import Any

from sdks.cells import Ask, Driver
from sdks.drivers.openai import async_client


def _agent(model: Any, ask: Ask) -> dict[str, Any]:
    from agents import Agent, ModelSettings, RunConfig

    agent = Agent(
        name="Teacher", instructions=ask.system, model=model, model_settings=ModelSettings(include_usage=True)
    )
    return {
        "starting_agent": agent,
        "input": ask.conversation_so_far,
        "run_config": RunConfig(tracing_disabled=True),
    }


async def _run(model: Any, ask: Ask, pieces: list[Any]) -> None:
    from agents import Runner

    run = await Runner.run(**_agent(model, ask))
    pieces += [run.final_output, run.raw_responses]


async def _stream(model: Any, ask: Ask, pieces: list[Any]) -> None:
    from agents import Runner

    run = Runner.run_streamed(**_agent(model, ask))
    async for event in run.stream_events():
        if event.type == "raw_response_event":
            pieces.append(event.data)
    pieces += [run.final_output, run.raw_responses]


class OpenAIAgents(Driver):
    """Asynchronous at heart."""

    name = package = "openai-agents"
    needs = ("agents",)

    @staticmethod
    async def _with(kind: str, work: Callable[..., Any], ask: Ask, pieces: list[Any]) -> None:
        import agents

        async with async_client(ask) as client:
            await work(getattr(agents, kind)(model=ask.model, openai_client=client), ask, pieces)

    async def async_chat(self, ask: Ask, pieces: list[Any]) -> None:
        await self._with("OpenAIChatCompletionsModel", _run, ask, pieces)

    async def async_chat_stream(self, ask: Ask, pieces: list[Any]) -> None:
        await self._with("OpenAIChatCompletionsModel", _stream, ask, pieces)

    async def async_responses(self, ask: Ask, pieces: list[Any]) -> None:
        await self._with("OpenAIResponsesModel", _run, ask, pieces)

    async def async_responses_stream(self, ask: Ask, pieces: list[Any]) -> None:
        await self._with("OpenAIResponsesModel", _stream, ask, pieces)

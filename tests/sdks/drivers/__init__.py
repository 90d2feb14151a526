"""One small class for each SDK and way of using it: how an application would make the call.

A driver knows its SDK, and nothing of telemetry.
"""

from sdks.drivers import (
    anthropic,
    instructor,
    langchain_xai,
    litellm,
    llama_index,
    openai,
    openai_agents,
    pydantic_ai,
    xai_sdk,
)

ALL = [
    openai.OpenAI(),
    openai.OpenAIHelpers(),
    openai.OpenAIRaw(),
    openai.OpenAIOverAiohttp(),
    anthropic.Anthropic(),
    anthropic.AnthropicHelpers(),
    litellm.LiteLLM(),
    langchain_xai.ChatXAI(),
    llama_index.Chat(),
    llama_index.Complete(),
    instructor.FromOpenAI(),
    openai_agents.OpenAIAgents(),
    pydantic_ai.OverOpenAI(),
    pydantic_ai.OverXAI(),
    instructor.FromXAI(),
    xai_sdk.XAISDK(),
]
DRIVERS = [driver for driver in ALL if driver.installed]
"""The drivers whose SDKs are installed."""

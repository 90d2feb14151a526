"""A script that uses the openai SDK with xAI. It does not mention OpenTelemetry, and need not.

Run it under ``opentelemetry-instrument``; README.md says how.
"""

import os
from typing import Any

from openai import OpenAI

RULES = "You are the help desk of a bicycle shop. Be brief, friendly and exact. " * 120  # long enough to be cached


def main() -> None:
    """Ask two questions in one conversation."""
    client = OpenAI(
        base_url=os.environ.get("XAI_BASE_URL", "https://api.x.ai/v1"),
        api_key=os.environ["XAI_API_KEY"],
        default_headers={"x-grok-conv-id": "zero-code"},
    )
    messages: list[Any] = [{"role": "system", "content": RULES}]
    for question in ("My chain skips. Why?", "And what does a new one cost?"):
        messages.append({"role": "user", "content": question})
        completion = client.chat.completions.create(
            model=os.environ.get("XAI_MODEL", "grok-4.7"),
            messages=messages,
        )
        answer = completion.choices[0].message
        messages.append(answer.model_dump(exclude_none=True))  # with its reasoning: the prefix stays whole
        print(f"> {question}\n{answer.content}")


if __name__ == "__main__":
    main()

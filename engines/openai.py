"""Any server that speaks OpenAI's protocol, by its address."""

from __future__ import annotations

from core.engine import EngineFacts
from engines.base import OpenAiServer


class OpenAi(OpenAiServer):
    """Asks for nothing but `/v1/models` and the completions themselves."""

    facts = EngineFacts(
        "openai",
        "OpenAI-compatible server",
        "Any server that speaks OpenAI's protocol; give its address",
        starts=False,
        port=8000,
        tried="for real",
    )
    health = None

"""transformers' `generate` behind an OpenAI-compatible server."""

from __future__ import annotations

from collections.abc import Mapping

from core.engine import Engine, EngineFacts
from engines.variants.local import LocalServer
from engines.variants.transformers_serve import TransformersServe


class Transformers(LocalServer):
    """Every model that transformers knows, one request at a time."""

    facts = EngineFacts(
        "transformers",
        "Transformers",
        "Hugging Face transformers; every model, one request at a time",
        formats=("plain", "compressed-tensors", "gptq", "awq", "bitsandbytes", "fp8", "aqlm"),
        ignores_eos=True,
        key_env="LLMOPT_API_KEY",
        tried="for real",
    )
    backend = "transformers"
    package = "transformers"
    extra = "pip install transformers"

    def variants(self) -> Mapping[str, Engine]:
        """Its own server besides the one of this program."""
        return {"serve": TransformersServe()}

"""This program's own decode loop behind an OpenAI-compatible server."""

from __future__ import annotations

from core.engine import EngineFacts
from engines.variants.local import LocalServer


class Runtime(LocalServer):
    """Plain checkpoints and those that this program quantized, whose weights stay packed."""

    facts = EngineFacts(
        "runtime",
        "llmopt runtime",
        "This program's own decode loop; plain and quantized checkpoints, one request at a time",
        formats=("plain", "compressed-tensors", "gptq", "awq", "bitsandbytes", "fp8", "aqlm"),
        ignores_eos=True,
        key_env="LLMOPT_API_KEY",
        tried="for real",
    )
    backend = "runtime"

"""`llama-server`, llama.cpp's own."""

from __future__ import annotations

import re
from collections.abc import Sequence

from core import engine_paths
from core.engine import Command, Endpoint, EngineFacts, Found, Missing, ServeSpec, TokenScore
from core.errors import RequestError
from core.measure.limits import thread_limit
from core.models.resolve import ModelSource, resolve
from core.sanitize import clean
from engines.common import probing
from engines.common.arguments import Arguments
from engines.common.base import OpenAiServer

_SLOTS = 4
"""Sequences at once that it chooses by itself."""

COMPLAINTS = (
    (r"unknown (?:model architecture|pre-tokenizer type)", "this version of llama.cpp does not support the model: use a newer one"),
    (r"failed to allocate|unable to allocate|failed to create_?\s?context", "lower context or concurrency, or use a smaller or quantized model"),
    (r"error loading model|failed to load model", "the file is damaged, or this version of llama.cpp does not support it"),
)
"""Of llama.cpp in every server."""


_VERSION = re.compile(r"version:\s*(\d[\w.+-]*)")


class LlamaServer(OpenAiServer):
    """Answers several requests at once; found where the engine is configured, else on the path."""

    facts = EngineFacts(
        "llama-cpp/llama-server",
        "llama-server",
        "llama.cpp's own server, several requests at once",
        port=8080,
        formats=("gguf",),
        ignores_eos=True,
        key_env="LLAMA_API_KEY",
        tried="for real",
    )
    gauges = {  # noqa: RUF012
        "running": ("llamacpp:requests_processing",),
        "waiting": ("llamacpp:requests_deferred",),
        "kv_usage": ("llamacpp:kv_cache_usage_ratio",),
        "prefix_hits": ("llamacpp:prompt_tokens_cached",),
        "prefix_queries": ("llamacpp:prompt_tokens", "llamacpp:prompt_tokens_cached"),
        "drafted": ("llamacpp:spec_decode_num_draft_tokens",),
        "accepted": ("llamacpp:spec_decode_num_accepted_tokens",),
        "generated": ("llamacpp:tokens_predicted",),
    }
    complaints = COMPLAINTS

    def find(self) -> Found | Missing:
        """The installed version, or why there is none."""
        try:
            program = engine_paths.program("llama-cpp", "llama-server")
        except RequestError as error:
            return Missing(str(error))
        if program is None:
            return Missing(f"llama-server is not installed: put it on the path, or name its folder in {engine_paths.variable('llama-cpp')}")
        return Found(_version(program), program)

    def command(self, spec: ServeSpec, found: Found, port: int) -> Command:
        """`llama-server -m FILE ...`. Its context is that of all sequences together, which share it."""
        arguments = Arguments("llama-server", probing.flags(found.program))
        source = require_gguf(resolve(spec.model))
        arguments.add("-m", str(source.path), "--host", spec.host, "--port", str(port)).option("--alias", source.title)
        if spec.context is not None:
            slots = spec.concurrency or _SLOTS
            arguments.option("--parallel", slots).option("--ctx-size", slots * spec.context)
        else:
            arguments.option("--parallel", spec.concurrency)
        arguments.option("--threads", spec.threads or thread_limit())
        arguments.option("--cache-type-k", spec.kv_dtype, needed=True).option("--cache-type-v", spec.kv_dtype, needed=True)
        arguments.option("--gpu-layers", "0" if spec.device == "cpu" else None).option("--metrics", True).option("--seed", spec.seed)
        if spec.draft is not None:
            arguments.option(("--spec-draft-model", "--model-draft"), str(require_gguf(resolve(spec.draft)).path), needed=True)
            arguments.option("--spec-type", "draft-simple")
            # Newer versions name --draft-max in their help too, to say that it is gone.
            arguments.option(("--spec-draft-n-max", "--draft-max"), spec.gamma)
        if spec.quantization is not None or spec.tensor_parallel > 1 or spec.gpu_memory is not None:
            raise RequestError("llama-server supports no quantization, gpu-memory or tensor-parallel: omit them, or give its own options in extra")
        return Command((*found.program, *arguments.add(*spec.extra).values), notes=tuple(arguments.notes))

    def score(self, endpoint: Endpoint, text: str, tokens: Sequence[int] | None, top: int) -> tuple[TokenScore, ...]:
        """Always refused."""
        del endpoint, text, tokens, top
        raise RequestError("llama-server returns log-probabilities of generated text only, not of a given text: use llama-cpp/own")


def require_gguf(source: ModelSource) -> ModelSource:
    """The source, when it is a GGUF file. Raises RequestError."""
    if source.kind != "gguf":
        raise RequestError(f"llama.cpp reads .gguf files, and {source.title} is not one: create one with `llmopt quantize --method gguf`")
    return source


def _version(program: tuple[str, ...]) -> str:
    """A number of a release, or of a build; the compiler's follows it."""
    found = _VERSION.search(probing.output(program, ("--version",)))
    return clean(found.group(1), limit=40) if found else "of unknown version"

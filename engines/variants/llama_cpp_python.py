"""`python -m llama_cpp.server`: the server that llama-cpp-python brings itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core import engine_paths
from core.engine import Command, Endpoint, EngineFacts, Found, Missing, ServeSpec, TokenScore
from core.errors import RequestError
from core.measure.limits import thread_limit
from core.models.disk.gguf_header import read_gguf_header
from core.models.resolve import resolve
from engines.common import probing, scoring
from engines.common.arguments import Arguments
from engines.common.base import OpenAiServer
from engines.variants.llama_server import COMPLAINTS, require_gguf

_NEEDED = ("fastapi", "uvicorn", "sse-starlette", "pydantic-settings", "starlette-context")
_TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q5_0": 6, "q5_1": 7, "q8_0": 8, "bf16": 30}
"""Number formats of the cache by ggml's numbers, which it takes."""


class LlamaCppPython(OpenAiServer):
    """One request at a time. It has no `/health`, ends a stream without usage, and knows no `ignore_eos`."""

    facts = EngineFacts(
        "llama-cpp/python",
        "llama-cpp-python's server",
        "python -m llama_cpp.server, one request at a time",
        port=8000,
        formats=("gguf",),
        key_env="API_KEY",
        tried="for real",
    )
    health = None
    complaints = COMPLAINTS

    def find(self) -> Found | Missing:
        """The installed version, or why there is none."""
        python, install = engine_paths.python("llama-cpp"), "pip install 'llama-cpp-python[server]'"
        version = probing.package_version(python, "llama-cpp-python")
        if not version:
            return Missing(f"llama-cpp-python is not installed: {install}")
        lacking = [package for package in _NEEDED if not probing.package_version(python, package)]
        if lacking:
            return Missing(f"llama-cpp-python's server lacks {', '.join(lacking)}: {install}, and name its environment in {_PLACE}")
        return Found(version, (python, "-m", "llama_cpp.server"))

    def command(self, spec: ServeSpec, found: Found, port: int) -> Command:
        """`python -m llama_cpp.server --model FILE ...`."""
        if spec.draft is not None or spec.quantization is not None or spec.gpu_memory is not None or spec.tensor_parallel > 1:
            raise RequestError("llama-cpp-python's server supports no draft, quantization, gpu-memory or tensor-parallel: omit them, or use vllm")
        source = require_gguf(resolve(spec.model))
        arguments = Arguments("llama-cpp-python's server", probing.flags(found.program))
        arguments.add("--model", str(source.path), "--host", spec.host, "--port", str(port)).option("--model_alias", source.title)
        arguments.option("--n_ctx", spec.context or source.card().context or None)
        threads = spec.threads or thread_limit()
        arguments.option("--n_threads", threads).option("--n_threads_batch", threads)
        arguments.option("--n_gpu_layers", "-1" if spec.device.startswith("cuda") else None).option("--seed", spec.seed)
        # By default it breaks off an answer when the next request comes.
        arguments.option("--interrupt_requests", "False")
        if spec.kv_dtype is not None:
            kind = _cache_type(spec.kv_dtype)
            arguments.option("--type_k", kind, needed=True).option("--type_v", kind, needed=True).option("--flash_attn", "True", needed=True)
        if "--chat_format" not in spec.extra and "tokenizer.chat_template" not in read_gguf_header(source.path).metadata:
            arguments.notes.append(
                "the file has no chat template: this server formats conversations as for Llama 2, unless given extra --chat_format NAME"
            )
        return Command((*found.program, *arguments.add(*spec.extra).values), notes=tuple(arguments.notes))

    def score(self, endpoint: Endpoint, text: str, tokens: Sequence[int] | None, top: int) -> tuple[TokenScore, ...]:
        """How likely a text is: its echo, and the token behind it, without which there is none. It takes texts alone."""
        del tokens
        body = {"model": endpoint.model, "prompt": text, "max_tokens": 1, "echo": True, "logprobs": top, "temperature": 0}
        return self._scored(endpoint, "/v1/completions", body, lambda answer: scoring.of_echo(_without_answer(answer), None))


_PLACE = engine_paths.variable("llama-cpp")


def _cache_type(name: str) -> int:
    if name not in _TYPES:
        raise RequestError(f"llama.cpp has no cache type {name}: choose one of {', '.join(_TYPES)}")
    return _TYPES[name]


def _without_answer(answer: Any) -> Any:
    """The lists of an echo without the tokens that were generated."""
    try:
        choice, generated = answer["choices"][0], int(answer["usage"]["completion_tokens"])
        told = choice["logprobs"]
        kept = {name: values[: len(values) - generated] if isinstance(values, list) else values for name, values in told.items()}
    except (TypeError, KeyError, IndexError, AttributeError, ValueError, OverflowError):
        return answer
    return {"choices": [{"logprobs": kept}]}

"""vLLM: `vllm serve` in an environment of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence

from core import engine_paths
from core.engine import Command, Endpoint, EngineFacts, Found, Missing, ServeSpec, TokenScore
from core.errors import RequestError
from engines.common import probing, scoring
from engines.common.arguments import Arguments
from engines.common.base import OpenAiServer

_CPU = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_LOGGING_LEVEL": "INFO"}


class Vllm(OpenAiServer):
    """Found by its configured environment, else on the path."""

    facts = EngineFacts(
        "vllm",
        "vLLM",
        "PagedAttention, continuous batching, prefix caching; GPUs, and CPUs by the package vllm-cpu",
        port=8000,
        formats=("plain", "compressed-tensors", "gptq", "awq", "bitsandbytes", "fp8", "aqlm"),
        ignores_eos=True,
        key_env="VLLM_API_KEY",
        tried="for real",
    )
    gauges = {  # noqa: RUF012
        "running": ("vllm:num_requests_running",),
        "waiting": ("vllm:num_requests_waiting",),
        "kv_usage": ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
        "prefix_hits": ("vllm:prefix_cache_hits",),
        "prefix_queries": ("vllm:prefix_cache_queries",),
        "drafted": ("vllm:spec_decode_num_draft_tokens",),
        "accepted": ("vllm:spec_decode_num_accepted_tokens",),
        "generated": ("vllm:generation_tokens",),
    }
    complaints = (
        (
            r"KV cache is needed, which is larger than the available|available KV cache memory|No available memory for the cache blocks",
            "lower context",
        ),
        (r"less than desired \w+ memory utilization", "lower gpu-memory, or end other processes that use the memory"),
        (r"max_model_len .*is greater than the derived max_model_len", "lower context"),
        (r"Bfloat16 is only supported on GPUs with compute capability", "use dtype float16"),
        (r"Unknown quantization method|quantization method .* (?:is )?not supported", "this version cannot load the quantization of the checkpoint"),
        (r"Model architectures .* are not supported|No model class found", "this version does not support the model's architecture"),
        (r"SIGILL|Illegal instruction", "the CPU lacks an instruction that this build uses"),
    )

    def find(self) -> Found | Missing:
        """The installed version, or why there is none."""
        program = engine_paths.program("vllm", "vllm")
        if program is None:
            return Missing(
                f"vLLM is not installed: make an environment with `pip install vllm`, and name its folder in {engine_paths.variable('vllm')}"
            )
        python = engine_paths.python("vllm")
        if version := probing.package_version(python, "vllm"):
            return Found(version, (*program, "serve"))
        # The package for processors goes by another name, which `vllm` itself does not find: its server is a module.
        if version := probing.package_version(python, "vllm-cpu"):
            return Found(version, (python, "-m", "vllm.entrypoints.openai.api_server"))
        return Found("of unknown version", (*program, "serve"))

    def command(self, spec: ServeSpec, found: Found, port: int) -> Command:
        """`vllm serve MODEL ...`."""
        on_cpu = spec.device == "cpu" or (spec.device == "auto" and found.program[-1] != "serve")
        known = probing.flags(found.program, ("--help=all",)) or probing.flags(found.program)
        arguments = Arguments("vLLM", known).add(
            *([] if found.program[-1] == "serve" else ["--model"]), _model(spec), "--host", spec.host, "--port", str(port)
        )
        arguments.option("--max-model-len", spec.context)
        arguments.option("--dtype", spec.dtype if spec.dtype != "auto" else None)
        arguments.option("--quantization", spec.quantization, needed=True)
        arguments.option("--kv-cache-dtype", spec.kv_dtype, needed=True)
        arguments.option("--max-num-seqs", spec.concurrency)
        arguments.option("--seed", spec.seed)
        arguments.option("--enforce-eager", on_cpu)
        if not on_cpu:
            arguments.option("--gpu-memory-utilization", spec.gpu_memory)
            arguments.option("--tensor-parallel-size", spec.tensor_parallel if spec.tensor_parallel > 1 else None, needed=True)
        if spec.draft is not None:
            speculative = {"model": spec.draft, "num_speculative_tokens": spec.gamma}
            arguments.option("--speculative-config", json.dumps(speculative), needed=True)
        environment = dict(_CPU) if on_cpu else {}
        if on_cpu and spec.threads is not None:
            environment["OMP_NUM_THREADS"] = str(spec.threads)
        return Command((*found.program, *arguments.add(*spec.extra).values), environment, tuple(arguments.notes))

    def score(self, endpoint: Endpoint, text: str, tokens: Sequence[int] | None, top: int) -> tuple[TokenScore, ...]:
        """How likely a text is: `prompt_logprobs`, which also names the tokens' numbers."""
        body = {
            "model": endpoint.model,
            "prompt": text if tokens is None else list(tokens),
            "max_tokens": 1,
            "temperature": 0,
            "prompt_logprobs": top,
            "return_token_ids": True,
        }
        return self._scored(endpoint, "/v1/completions", body, lambda answer: scoring.of_prompt_logprobs(answer, tokens))


def _model(spec: ServeSpec) -> str:
    """The model as vLLM takes it: a folder, or a name that it finds itself."""
    from core.models.resolve import resolve

    source = resolve(spec.model)
    if source.kind == "gguf":
        raise RequestError("vLLM's GGUF support is experimental: serve this file with llama-cpp")
    return str(source.path)

"""TensorRT-LLM: `trtllm-serve` in an environment or container of its own."""

from __future__ import annotations

from math import isfinite
from typing import Any

from core import engine_paths
from core.engine import Command, Endpoint, EngineFacts, Found, Missing, ServerFigures, ServeSpec
from core.errors import RequestError
from core.models.resolve import require_folder, resolve
from engines.common import http, probing
from engines.common.arguments import Arguments
from engines.common.base import OpenAiServer


class TensorRtLlm(OpenAiServer):
    """Found by its configured environment, else on the path. Its `/metrics` is JSON that is gone once it was read."""

    facts = EngineFacts(
        "tensorrt-llm",
        "TensorRT-LLM",
        "Compiled kernels, in-flight batching, FP8; NVIDIA GPUs",
        port=8000,
        formats=("plain", "fp8", "awq", "gptq"),
        ignores_eos=True,
    )

    def find(self) -> Found | Missing:
        """The installed version, or why there is none."""
        program = engine_paths.program("tensorrt-llm", "trtllm-serve")
        if program is None:
            return Missing(
                "TensorRT-LLM is not installed: make an environment with `pip install tensorrt-llm`, and name its folder in "
                f"{engine_paths.variable('tensorrt-llm')}"
            )
        return Found(probing.package_version(engine_paths.python("tensorrt-llm"), "tensorrt-llm") or "of unknown version", program)

    def command(self, spec: ServeSpec, found: Found, port: int) -> Command:
        """`trtllm-serve MODEL ...`; speculation is only set in a YAML file, which is the user's."""
        if spec.draft is not None:
            raise RequestError("TensorRT-LLM configures speculative decoding only in a YAML file: omit draft, and give extra --config FILE")
        if spec.device == "cpu":
            raise RequestError("TensorRT-LLM needs an NVIDIA GPU: use vllm, llama-cpp or runtime on a CPU")
        arguments = Arguments("TensorRT-LLM", probing.flags(found.program, ("serve", "--help")) or probing.flags(found.program))
        arguments.add(str(require_folder(resolve(spec.model))), "--host", spec.host, "--port", str(port))
        arguments.option("--max_seq_len", spec.context).option("--max_batch_size", spec.concurrency)
        arguments.option("--tp_size", spec.tensor_parallel if spec.tensor_parallel > 1 else None, needed=True)
        arguments.option(("--kv_cache_free_gpu_memory_fraction", "--free_gpu_memory_fraction"), spec.gpu_memory)
        arguments.option("--kv_cache_dtype", spec.kv_dtype, needed=True)
        if not {"--config", "--extra_llm_api_options"} & set(spec.extra):
            arguments.notes.append("its metrics need a YAML file with enable_iter_perf_stats: true, given with extra --config FILE")
        return Command((*found.program, *arguments.add(*spec.extra).values), notes=tuple(arguments.notes))

    def figures(self, endpoint: Endpoint) -> ServerFigures:
        """The latest iteration of `/metrics`, which holds those since it was last read, by whomever: none is nothing known, not nothing running."""
        try:
            answer = http.get_json(endpoint, "/metrics", timeout=2.0)
        except RequestError:
            return ServerFigures()
        last: dict[str, Any] = answer[-1] if isinstance(answer, list) and answer and isinstance(answer[-1], dict) else {}
        cache, batching = (found if isinstance(found := last.get(name), dict) else {} for name in ("kvCacheStats", "inflightBatchingStats"))
        used, most = _number(cache.get("usedNumBlocks")), _number(cache.get("maxNumBlocks"))
        hits, queries = _prefix(cache)
        return ServerFigures(
            running=_number(last.get("numActiveRequests")),
            waiting=_number(last.get("numQueuedRequests", batching.get("numQueuedRequests"))),
            kv_usage=used / most if used is not None and most else None,
            prefix_hits=hits,
            prefix_queries=queries,
            memory=_number(last.get("gpuMemUsage")),
        )


def _prefix(cache: dict[str, Any]) -> tuple[float | None, float | None]:
    """Tokens found in the cache and looked for, of whole blocks; None where one of the counts is missing."""
    reused, missed, length = (_number(cache.get(name)) for name in ("reusedBlocks", "missedBlocks", "tokensPerBlock"))
    if reused is None or missed is None or length is None:
        return None, None
    return reused * length, (reused + missed) * length


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) else None

"""The ways to serve a model, as data: engine, weights, recipe, reason, and which GPUs cannot do it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from core.hardware.plan import recipes
from core.hardware.plan.estimate import Place
from core.hardware.plan.formats import STORED
from core.hardware.plan.machine import Gpu
from core.hardware.plan.recipes import Job, Recipe


@dataclass(frozen=True, slots=True)
class Way:
    """One way to serve."""

    title: str
    engine: str
    weights: str
    recipe: Callable[[Job], Recipe]
    reason: str
    refuse: Callable[[Gpu], str | None] = lambda _: None
    """Why a GPU cannot do it."""
    place: Place | None = None


def _no_fp8(gpu: Gpu) -> str | None:
    return None if gpu.fp8 else f"{_named(gpu)} has no FP8 units: they need Ada or Hopper (compute capability 8.9), or MI300"


def _no_int8(gpu: Gpu) -> str | None:
    return None if gpu.int8 else f"vLLM's INT8 kernels do not run on {_named(gpu)}: they need compute capability 7.5 to 9.0"


def _no_w4(gpu: Gpu) -> str | None:
    return None if gpu.w4 else f"vLLM's 4-bit weight kernels do not run on {_named(gpu)}: they need compute capability 7.5"


def _no_tensorrt(gpu: Gpu) -> str | None:
    return (
        None
        if gpu.vendor == "nvidia" and gpu.bf16
        else f"TensorRT-LLM does not run on {_named(gpu)}: it needs an NVIDIA GPU of compute capability 8.0"
    )


def _named(gpu: Gpu) -> str:
    capability = f" (compute capability {gpu.compute_capability[0]}.{gpu.compute_capability[1]})" if gpu.compute_capability else ""
    return gpu.name + capability


_Q4_LOSS = "published: Llama-2-7B's perplexity goes from 5.47 to 5.69 with GPTQ and 5.60 with AWQ, groups of 128 (AWQ paper, Table 4)"


def _gguf(kind: str, reason: str, place: Place | None = None) -> Way:
    where = " in main memory" if place == "memory" else ""
    return Way(
        f"GGUF {kind} with llama.cpp{where}", "llama.cpp", f"gguf-{kind.lower()}", lambda job: recipes.llama_cpp(job, kind), reason, place=place
    )


WAYS: dict[str, Way] = {
    "bf16": Way("16 bits with vLLM", "vllm", "bf16", recipes.vllm_plain, "the weights as they are: lossless, and nothing to verify"),
    "fp8": Way(
        "FP8 with vLLM",
        "vllm",
        "fp8",
        recipes.vllm_fp8,
        "on FP8 hardware: half the bytes and twice the FLOP/s of 16 bits, at a small loss",
        _no_fp8,
    ),
    "int8": Way(
        "INT8 W8A8 with vLLM",
        "vllm",
        "int8",
        recipes.vllm_int8,
        "INT8 products run at twice the speed of 16 bits and the weights take half the bytes, at a small loss",
        _no_int8,
    ),
    "w4": Way(
        "4-bit GPTQ or AWQ with vLLM",
        "vllm",
        "w4a16",
        recipes.vllm_int4,
        f"a quarter of the weights' bytes leaves memory for more and longer sequences; {_Q4_LOSS}",
        _no_w4,
    ),
    "tensorrt": Way(
        "INT4 AWQ with TensorRT-LLM",
        "tensorrt-llm",
        "awq-int4",
        recipes.tensorrt_int4,
        f"a single sequence is bound by reading the weights: 4 bits are the fewest bytes per token, and TensorRT-LLM fuses the rest; {_Q4_LOSS}",
        _no_tensorrt,
    ),
    "q4_k_m": _gguf(
        "Q4_K_M", "runs on a CPU, a GPU or both; the usual level: llama.cpp's table gives perplexity 6.41 against 6.23 in 16 bits for Llama-3-8B"
    ),
    "w4 cpu": Way(
        "4-bit GPTQ with vLLM on the CPU",
        "vllm",
        "w4a16",
        recipes.vllm_int4_cpu,
        "the checkpoint that GPUs serve, tested without one: transformers loads it too",
        place="memory",
    ),
    "q8_0": _gguf("Q8_0", "almost lossless: llama.cpp's table gives perplexity 6.234 against 6.233 in 16 bits for Llama-3-8B"),
    "q3_k_m": _gguf("Q3_K_M", "fewer bits than advisable for quality, if Q4_K_M does not fit"),
    "q2_k": _gguf("Q2_K", "the last resort: llama.cpp's table gives perplexity 9.75 against 6.23 in 16 bits for Llama-3-8B"),
    "q4_k_m memory": _gguf(
        "Q4_K_M", "main memory holds what does not fit on the GPU; -ngl auto puts as many layers on the GPU as fit", place="memory"
    ),
    "stored": Way("As it is", "", STORED, recipes.as_stored, "the checkpoint is already quantized"),
}
"""By name, as the rules of `advise` order them."""

"""How each way to serve a model is carried out: exact commands, and what this version does itself.

Flags are those of vLLM, llama.cpp, TensorRT-LLM and NVIDIA's Model Optimizer as of 2026.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from core.errors import LlmoptError
from core.formats.gguf.blocks import WRITTEN_HERE
from core.formats.gguf.families import FAMILIES
from core.hardware.plan.machine import Gpu
from core.hardware.snapshot import GIBIBYTE
from core.models.card import ModelCard
from core.models.disk.gguf_parts import first_part
from core.sanitize import clean

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_SHELL_SAFE = re.compile(r"[A-Za-z0-9._/:@%+=,-]+")
GROUP_SIZES = (128, 64, 32)


Refusal = Callable[[Mapping[str, object]], str | None]


@dataclass(frozen=True, slots=True)
class Job:
    """What a recipe is written for."""

    card: ModelCard
    model: str
    """The model as llmopt takes it."""
    served: str
    """The model as engines take it: a path or a Hugging Face id."""
    gpu: Gpu | None
    context: int
    concurrency: int
    parallel: int
    refused: Refusal = lambda _: None
    """Why llmopt refuses to make a checkpoint with these values of the quantize form."""

    @property
    def stem(self) -> str:
        """A name for files made of this model."""
        return _UNSAFE.sub("-", self.model.rstrip("/").rsplit("/", 1)[-1].removesuffix(".gguf")).strip("-.") or "model"


@dataclass(frozen=True, slots=True)
class Recipe:
    """The steps, in order: `action` or `prepare` first, then `command`."""

    command: str
    prepare: tuple[str, ...] = ()
    """Commands of other programs that come first."""
    action: Mapping[str, object] | None = None
    """Values that fill in the quantize form."""
    statement: str | None = None
    """What this version does not do itself."""


def served_name(model: str) -> str:
    """What engines call a model: the path of a bundled one, the first part of a GGUF model in several, any other as it is."""
    if not model.startswith("bundled:"):
        return first_part(model)
    from core.models.resolve import resolve

    try:
        return str(resolve(model, allow_download=False).path)
    except LlmoptError:
        return model


def vllm_plain(job: Job) -> Recipe:
    """The model as it is."""
    return Recipe(_vllm(job, job.served))


def vllm_fp8(job: Job) -> Recipe:
    """FP8 weights and activations, made here."""
    out = f"{job.stem}-fp8"
    action: dict[str, object] = {"model": job.model, "method": "fp8", "granularity": "channel", "activation_bits": 8}
    action |= {"format": "compressed-tensors", "out": out, **_short(job.card)}
    if (refused := job.refused(action)) is not None:
        return Recipe(
            _vllm(job, job.served, "--quantization", "fp8"), statement=f"vLLM converts the weights each time it loads them, as {_here(refused)}"
        )
    return Recipe(
        _vllm(job, out), action=action, statement="vLLM can also convert the weights each time it loads them: --quantization fp8 on the original."
    )


def vllm_int4(job: Job) -> Recipe:
    """GPTQ 4 bit, made here."""
    group = group_size(job.card)
    out = f"{job.stem}-gptq-w4g{group}" if group else f"{job.stem}-gptq-w4"
    action: dict[str, object] = {"model": job.model, "method": "gptq", "bits": 4, "symmetric": True, "format": "compressed-tensors", "out": out}
    action |= {"granularity": "group", "group_size": group} if group else {"granularity": "channel"}
    action |= _short(job.card, calibrates=True)
    if (refused := job.refused(action)) is not None:
        return _made_elsewhere(job, out, refused)
    return Recipe(
        _vllm(job, out),
        action=action,
        statement="AWQ is the other 4-bit method here: choose it in the form and compare the quality loss on this model.",
    )


def vllm_int4_cpu(job: Job) -> Recipe:
    """GPTQ 4 bit, made here, served by vLLM's build for CPUs."""
    made = vllm_int4(job)
    gibibytes = max(-(-job.card.kv_bytes(job.context, job.concurrency) // GIBIBYTE), 1)
    return Recipe(
        f"VLLM_CPU_KVCACHE_SPACE={gibibytes} {made.command} --dtype bfloat16 --enforce-eager",
        action=made.action,
        statement=f"{made.statement} " * (made.action is None) + "vLLM for CPUs is the package vllm-cpu, in its own environment.",
    )


def vllm_int8(job: Job) -> Recipe:
    """INT8 weights and activations, made here."""
    out = f"{job.stem}-w8a8"
    action: dict[str, object] = {"model": job.model, "method": "gptq", "bits": 8, "granularity": "channel", "symmetric": True, "activation_bits": 8}
    action |= {"format": "compressed-tensors", "out": out, **_short(job.card, calibrates=True)}
    refused = job.refused(action)
    return Recipe(_vllm(job, out), action=action) if refused is None else _made_elsewhere(job, out, refused)


_WINDOW = 512
"""Tokens of a window in which quantize evaluates, and of a sequence with which it calibrates, unless it is given others."""


def _short(card: ModelCard, *, calibrates: bool = False) -> dict[str, object]:
    """Values for a model whose context is shorter than what quantize uses by itself."""
    if card.context >= _WINDOW:
        return {}
    return {"context": card.context, **({"calibration_length": card.context} if calibrates else {})}


def _made_elsewhere(job: Job, out: str, refused: str) -> Recipe:
    """A checkpoint that another tool has to make."""
    return Recipe(
        _vllm(job, out),
        statement=f"Make {out} with llm-compressor, or serve a published checkpoint of this kind in its place, as {_here(refused)}",
    )


def _here(refused: str) -> str:
    return f"this version does not make it: {refused.rpartition(': ')[0] or refused}."


def tensorrt_int4(job: Job) -> Recipe:
    """INT4 AWQ made by NVIDIA's Model Optimizer, served by TensorRT-LLM."""
    out = f"{job.stem}-int4-awq"
    serve = ["trtllm-serve", out, "--max_seq_len", str(job.context), "--max_batch_size", str(job.concurrency), "--tp_size", str(job.parallel)]
    return Recipe(
        _line(serve),
        prepare=(_line(["python", "hf_ptq.py", "--pyt_ckpt_path", job.served, "--qformat", "int4_awq", "--export_path", out]),),
        statement=(
            "This version does not quantize for TensorRT-LLM or start it: hf_ptq.py is in the folder "
            "examples/hf_ptq of NVIDIA's Model Optimizer, trtllm-serve comes with TensorRT-LLM."
        ),
    )


def llama_cpp(job: Job, kind: str) -> Recipe:
    """A GGUF file, made here where the family is known, and served by llama.cpp."""
    out = f"{job.stem}-{kind}"
    action = {"model": job.model, "method": "gguf", "level": kind, "out": out, **_short(job.card)}
    refused = job.refused(action) if job.card.model_type in FAMILIES else "This version does not write this family as GGUF"
    if refused is None:
        by_llama = None if kind in WRITTEN_HERE else "llama.cpp writes this level, through the package llama-cpp-python, which must be installed."
        return Recipe(_llama_server(job, f"{out}/model.gguf"), action=action, statement=by_llama)
    source, target = f"{job.stem}-f16.gguf", f"{job.stem}-{kind}.gguf"
    if kind == "F16":
        target = source
    prepare = [_line(["python", "convert_hf_to_gguf.py", job.served, "--outfile", source, "--outtype", "f16"])]
    if kind != "F16":
        prepare.append(_line(["llama-quantize", source, target, kind]))
    return Recipe(
        _llama_server(job, target),
        prepare=tuple(prepare),
        statement=f"{refused}: both tools come with llama.cpp.",
    )


def as_stored(job: Job) -> Recipe:
    """A checkpoint that is quantized already, served as it is."""
    method = job.card.quant_method
    statement = f"The checkpoint is already quantized ({clean(method, limit=40)}): another format starts from the original model."
    if method == "gguf":
        return Recipe(_llama_server(job, job.served), statement=statement)
    return Recipe(_vllm(job, job.served), statement=statement)


def group_size(card: ModelCard) -> int | None:
    """The largest usual group size that divides every row; None: only whole rows."""
    rows = {linear.in_features for linear in card.linears}
    return next((size for size in GROUP_SIZES if rows and all(row % size == 0 for row in rows)), None)


def _vllm(job: Job, model: str, *options: str) -> str:
    words = ["vllm", "serve", model, "--max-model-len", str(job.context), "--max-num-seqs", str(job.concurrency), *options]
    if job.parallel > 1:
        words += ["--tensor-parallel-size", str(job.parallel)]
    if job.gpu is not None and not job.gpu.bf16:
        words += ["--dtype", "half"]
    return _line(words)


def _llama_server(job: Job, file: str) -> str:
    words = ["llama-server", "-m", file, "-c", str(job.context * job.concurrency), "-np", str(job.concurrency)]
    return _line(words + (["-ngl", "auto"] if job.gpu is not None else []))


def _line(words: list[str]) -> str:
    """A line for a POSIX shell; what could disturb a terminal is replaced."""
    return " ".join(word if _SHELL_SAFE.fullmatch(word) else "'" + clean(word).replace("'", "'\"'\"'") + "'" for word in words)

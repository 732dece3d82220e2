"""Which format and which engine for a model on a machine: rules as data, each answer with its numbers and its reason.

The thresholds of the rules are the estimator's: a way is open when its whole budget (weights with scales, KV cache for the
asked context and concurrency, activations, runtime) fits, not when a multiple of the parameter count does.

1. No GPU, or for local use: GGUF with llama.cpp, Q4_K_M, fewer bits only where that does not fit.
2. Enough memory for 16 bits and the asked context and concurrency: no quantization (general use).
3. Throughput: FP8 where the GPU has it, else 4-bit GPTQ or AWQ with vLLM, INT8 where the GPU has no FP8 (A100).
4. Lowest latency: INT4 with TensorRT-LLM: fewest bytes read a token.
5. What does not fit comes last, with what is missing; where nothing fits: a smaller model, or more GPUs, and how many.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Literal, get_args

from core.errors import RequestError
from core.hardware.plan import recipes
from core.hardware.plan.estimate import Estimate, Place, estimate
from core.hardware.plan.formats import STORED, quantized_format
from core.hardware.plan.machine import NAMED, Gpu, Machine
from core.hardware.plan.recipes import Job, Refusal
from core.hardware.plan.ways import WAYS, Way
from core.models.card import ModelCard
from core.models.source import not_linears

UseCase = Literal["general", "throughput", "latency", "local"]
USE_CASES: tuple[UseCase, ...] = get_args(UseCase)

_MOST_GPUS = 64


@dataclass(frozen=True, slots=True)
class Number:
    """A figure of a recommendation."""

    name: str
    value: float
    unit: Literal["byte", "token", "sequence", "token/s", "GPU", "parameter"]
    how: str


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One way to serve the model. `why_not` is None when it may be followed."""

    title: str
    engine: str
    format: str
    """Key of the weight format; empty when the advice is another model or machine."""
    reason: str
    numbers: tuple[Number, ...]
    command: str
    prepare: tuple[str, ...] = ()
    """Commands of other programs that come before it."""
    action: Mapping[str, object] | None = None
    """Values that fill in the quantize form, when this version makes the checkpoint itself."""
    statement: str | None = None
    """Which step this version does not do itself."""
    why_not: str | None = None
    context: int = 0
    concurrency: int = 0
    tensor_parallel: int = 1
    label: str = "estimate"

    def to_json(self) -> dict[str, object]:
        """Plain values for a JSON document."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Use:
    context: int
    concurrency: int
    order: tuple[str, ...]


_USES: dict[UseCase, _Use] = {
    "general": _Use(4096, 8, ("bf16", "fp8", "int8", "w4", "q4_k_m memory")),
    "throughput": _Use(4096, 32, ("fp8", "w4", "int8", "bf16", "q4_k_m memory")),
    "latency": _Use(4096, 1, ("tensorrt", "w4", "fp8", "int8", "bf16", "q4_k_m memory")),
    "local": _Use(4096, 1, ("q4_k_m", "q8_0", "q4_k_m memory", "q3_k_m", "q2_k")),
}
_WITHOUT_GPU = ("q4_k_m", "q8_0", "w4 cpu", "q3_k_m", "q2_k")
_ONLY_IF_OTHERS_FAIL = frozenset({"q3_k_m", "q2_k", "q4_k_m memory"})


def recommend(
    card: ModelCard,
    machine: Machine,
    use_case: UseCase = "general",
    *,
    context: int | None = None,
    concurrency: int | None = None,
    model: str | None = None,
    refused: Refusal | None = None,
) -> list[Recommendation]:
    """Ways to serve the model, the best first; what cannot be done comes last and says why.

    Args:
        card: the model.
        machine: where it shall run.
        use_case: general, throughput, latency or local.
        context: tokens per sequence, at most the model's own; default: 4096, or the model's own when shorter.
        concurrency: sequences at once; default: 8, 32 for throughput, 1 for latency and local use.
        model: the model as llmopt takes it; default: the card's name.
        refused: why llmopt refuses to quantize with these values of its form; default: by the card alone.

    Raises:
        RequestError: an unknown use case, or a number out of range.
    """
    if use_case not in _USES:
        raise RequestError(f"unknown use case {str(use_case)[:40]!r}: choose one of {', '.join(USE_CASES)}")
    use = _USES[use_case]
    if context is not None and context > card.context:
        raise RequestError(f"a context of {context:,} tokens is more than the {card.context:,} of {card.name}: ask for less")
    by_card = not_linears(card)
    asked = _Asked(
        card,
        machine,
        context or min(use.context, card.context),
        concurrency or use.concurrency,
        model or card.name,
        refused or (lambda action: None if action["method"] == "gguf" else by_card),
    )
    good: list[Recommendation] = []
    fewer: list[Recommendation] = []
    bad: list[Recommendation] = []
    for key in _order(card, machine, use):
        if key in _ONLY_IF_OTHERS_FAIL and good + fewer:
            continue
        found = _try(WAYS[key], asked)
        (bad if found.why_not else good if found.concurrency >= asked.concurrency else fewer).append(found)
    if not good + fewer:
        good.append(_too_large(asked))
    return good + fewer + bad


@dataclass(frozen=True, slots=True)
class _Asked:
    card: ModelCard
    machine: Machine
    context: int
    concurrency: int
    model: str
    refused: Refusal

    def estimate(self, weights: str, parallel: int, place: Place | None, concurrency: int | None = None) -> Estimate:
        return estimate(
            self.card,
            self.machine,
            context=self.context,
            concurrency=concurrency or self.concurrency,
            weights=quantized_format(self.card) if weights == STORED else weights,
            tensor_parallel=parallel,
            place=place,
        )


def _order(card: ModelCard, machine: Machine, use: _Use) -> tuple[str, ...]:
    if card.quantization is not None:
        return ("stored",)
    if not machine.gpus:
        return (*_WITHOUT_GPU, *(key for key in use.order if key in {"bf16", "fp8", "int8", "w4", "tensorrt"}))
    return use.order


def _try(option: Way, asked: _Asked) -> Recommendation:
    gpus = asked.machine.gpus
    needs_gpu = option.engine in {"vllm", "tensorrt-llm"} and option.place is None
    if needs_gpu and not gpus:
        return _refused(option, f"{option.engine} is recommended on a GPU only, and {asked.machine.name} has none that it can use")
    weakest = min(gpus, key=lambda gpu: gpu.compute_capability or (0, 0)) if gpus else None
    refusal = option.refuse(weakest) if weakest is not None else None
    if refusal is not None:
        return _refused(option, refusal)
    best: Estimate | None = None
    for parallel in _parallel(asked.card, gpus, option):
        best = asked.estimate(option.weights, parallel, option.place)
        if best.fits:
            break
    assert best is not None
    return _answer(option, asked, best)


def _parallel(card: ModelCard, gpus: tuple[Gpu, ...], option: Way) -> Iterator[int]:
    """1, 2, 4, ... GPUs, as far as they share the heads evenly; MIG devices cannot work together."""
    yield 1
    if option.place == "memory" or any(gpu.mig for gpu in gpus):
        return
    parallel = 2
    while parallel <= len(gpus) and card.heads % parallel == 0:
        yield parallel
        parallel *= 2


def _answer(option: Way, asked: _Asked, best: Estimate) -> Recommendation:
    sequences = min(asked.concurrency, best.largest_concurrency)
    if sequences < asked.concurrency:
        best = asked.estimate(option.weights, best.tensor_parallel, option.place, max(sequences, 1))
    gpu = asked.machine.gpus[0] if asked.machine.gpus else None
    job = Job(asked.card, asked.model, recipes.served_name(asked.model), gpu, asked.context, max(sequences, 1), best.tensor_parallel, asked.refused)
    recipe = option.recipe(job)
    why_not = None
    if sequences < 1:
        why_not = f"{-best.left / 2**30:,.1f} GiB short {_where(best)} for one sequence of {asked.context:,} tokens"
    reason = option.reason
    if 0 < sequences < asked.concurrency:
        reason += f"; {sequences:,} of {asked.concurrency:,} requested sequences fit"
    return Recommendation(
        title=option.title,
        engine=option.engine or ("llama.cpp" if recipe.command.startswith("llama-server") else "vllm"),
        format=best.weights,
        reason=reason,
        numbers=tuple(_numbers(asked, best)),
        command=recipe.command,
        prepare=recipe.prepare,
        action=recipe.action,
        statement=recipe.statement,
        why_not=why_not,
        context=asked.context,
        concurrency=sequences,
        tensor_parallel=best.tensor_parallel,
    )


def _refused(option: Way, why_not: str) -> Recommendation:
    return Recommendation(option.title, option.engine, option.weights, option.reason, (), "", why_not=why_not)


def _numbers(asked: _Asked, best: Estimate) -> Iterator[Number]:
    each = f" on each of {best.tensor_parallel} GPUs" if best.tensor_parallel > 1 else ""
    for line in best.lines:
        yield Number(line.name + each, line.bytes, "byte", line.how)
    yield Number("left" + each, best.left, "byte", f"of {best.capacity:,} bytes, {best.kept_free.bytes:,} kept free: {best.kept_free.how}")
    yield Number(
        "largest context", best.largest_context, "token", f"at {best.concurrency:,} sequences; the model's own limit is {best.model_context:,}"
    )
    yield Number("largest concurrency", best.largest_concurrency, "sequence", f"of {best.context:,} tokens each")
    gpu = asked.machine.gpus[0] if best.place == "gpu" and asked.machine.gpus else None
    if gpu is not None and gpu.bandwidth and not asked.card.experts:
        read = best.line("weights").bytes + best.line("kv cache").bytes / best.concurrency
        yield Number(
            "speed limit of one sequence",
            gpu.bandwidth / read,
            "token/s",
            f"{gpu.bandwidth / 1e9:,.0f} GB/s (data sheet) over the bytes read per token: no engine is faster without speculation",
        )


def _too_large(asked: _Asked) -> Recommendation:
    """Nothing fits: how much is missing, and what would do."""
    weights = quantized_format(asked.card) if asked.card.quantization is not None else "w4a16" if asked.machine.gpus else "gguf-q4_k_m"
    one = asked.estimate(weights, max(_parallel(asked.card, asked.machine.gpus, WAYS["bf16"])), None, concurrency=1)
    numbers = [Number("missing", -one.left, "byte", f"{_where(one)} for one sequence of {asked.context:,} tokens with weights in {weights}")]
    others = one.total - one.line("weights").bytes
    room = (one.capacity - one.kept_free.bytes - others) * one.tensor_parallel
    bits = next(row.bits for row in one.weight_formats if row.format == weights)
    ways = []
    if room > 0:
        fitting = room * 8 / bits
        numbers.append(
            Number(
                "parameters that would fit",
                int(fitting),
                "parameter",
                f"at {bits:.2f} bits per weight, next to the cache, activations and runtime of this model",
            )
        )
        ways.append(f"a model of at most {fitting / 1e9:.1f} billion parameters")
    more = _gpus_needed(asked, weights)
    if more is not None:
        numbers.append(Number("GPUs needed", more, "GPU", f"of {asked.machine.gpus[0].name}, sharing the model by tensor parallelism"))
        ways.append(f"{more} x {asked.machine.gpus[0].name}")
    single = _single_gpu(asked, weights)
    if single is not None:
        ways.append(f"one {single}")
    ways.append("a hosted model behind an API")
    return Recommendation(
        title="A smaller model, or more memory",
        engine="",
        format="",
        reason=f"{asked.card.name} does not fit {_where(one)} even in {weights}: use {', or '.join(ways)}",
        numbers=tuple(numbers),
        command="",
        statement="This version cannot make the model small enough for this machine.",
        context=asked.context,
        concurrency=0,
        tensor_parallel=one.tensor_parallel,
    )


def _gpus_needed(asked: _Asked, weights: str) -> int | None:
    if not asked.machine.gpus or any(gpu.mig for gpu in asked.machine.gpus):
        return None
    gpu = min(asked.machine.gpus, key=lambda gpu: gpu.memory)
    count = 1
    while count <= _MOST_GPUS and asked.card.heads % count == 0:
        larger = Machine(asked.machine.name, (gpu,) * count, asked.machine.ram, asked.machine.cores)
        if estimate(asked.card, larger, context=asked.context, weights=weights, tensor_parallel=count).fits:
            return count
        count *= 2
    return None


def _single_gpu(asked: _Asked, weights: str) -> str | None:
    for gpu in sorted(NAMED.values(), key=lambda gpu: gpu.memory):
        machine = Machine(gpu.name, (gpu,), asked.machine.ram, asked.machine.cores)
        if estimate(asked.card, machine, context=asked.context, weights=weights).fits:
            return gpu.name
    return None


def _where(budget: Estimate) -> str:
    if budget.place == "memory":
        return "in main memory"
    return f"on {budget.device}" if budget.tensor_parallel == 1 else f"on each of {budget.tensor_parallel} {budget.device}"

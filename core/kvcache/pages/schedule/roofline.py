"""How long a step of a model takes on a GPU, and how many KV blocks it holds: an estimate from data sheets, nothing measured.

step = max(bytes of the weights + bytes of the keys and values read) / bandwidth, 2 x parameters x tokens / arithmetic)
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from core.errors import RequestError
from core.hardware.plan.estimate import Estimate, estimate
from core.hardware.plan.formats import kv_format
from core.hardware.plan.machine import NAMED, Machine
from core.hardware.snapshot import GIBIBYTE
from core.kvcache.pages.spec import PagesSpec
from core.measure.units import size
from core.models.card import ModelCard
from core.models.well_known import well_known
from core.sanitize import clean

TFLOPS: dict[str, float] = {
    "b200": 2250,
    "h200": 989,
    "gh200": 989,
    "h100": 989,
    "h100-pcie": 756,
    "a100-80": 312,
    "a100-40": 312,
    "l40s": 362,
    "l4": 121,
    "a10": 125,
    "rtx6000-ada": 364,
    "a6000": 155,
    "5090": 209.5,
    "4090": 165,
    "4080": 97.5,
    "3090": 71,
    "3060": 25.5,
    "t4": 65,
    "v100-32": 125,
    "mi300x": 1307,
    "mi325x": 1307,
}
"""Dense 16-bit matrix products with sums in 32 bits, TFLOP/s, by the makers' data sheets; keys of `core.hardware.plan.machine.NAMED`."""


@dataclass(frozen=True)
class Roofline:
    """A GPU's share of a model, and its speed."""

    device: str
    tensor_parallel: int
    bandwidth: float
    """Bytes a second."""
    flops: float | None
    """None: only memory counts."""
    weight_bytes: int
    parameters: float
    kv_bytes_per_token: float
    block_size: int
    block_bytes: int
    blocks: int
    how: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    def seconds(self, tokens: int, kv_tokens: int) -> float:
        """Of a step in which `tokens` go through the model and `kv_tokens`, summed over the sequences, have their keys and values read."""
        memory = (self.weight_bytes + kv_tokens * self.kv_bytes_per_token) / self.bandwidth
        return memory if self.flops is None else max(memory, 2 * self.parameters * tokens / self.flops)


def simulated(spec: PagesSpec, card: ModelCard) -> ModelCard:
    """The card of the model that a request is about. Raises RequestError for a size that is not known."""
    return well_known(spec.size) if spec.mode == "simulate" and spec.size is not None else card


def roofline_of(spec: PagesSpec, card: ModelCard) -> Roofline:
    """The estimate for a request.

    Raises:
        RequestError: an unknown GPU or format, a bandwidth that is neither known nor given, weights that leave no memory for a cache.
    """
    machine, bandwidth, flops, sources = _speed(spec)
    planned = estimate(
        card,
        machine,
        context=-(-spec.batch_tokens // spec.most_sequences),
        concurrency=spec.most_sequences,
        weights=spec.weights,
        kv=spec.kv,
        tensor_parallel=spec.tensor_parallel,
    )
    form, parallel = kv_format(spec.kv), planned.tensor_parallel
    heads = -(-card.kv_heads // parallel)
    each = card.kv_bytes_per_token(form.bits) * heads / card.kv_heads
    block_bytes = -(-card.kv_bytes(spec.block_size, 1, form.bits) * heads // card.kv_heads)
    room = planned.left + planned.line("kv cache").bytes
    blocks = _blocks(spec, card, planned, room, block_bytes)
    share = f", a GPU's share of {parallel}; communication is not counted" if parallel > 1 else ""
    weights = planned.line("weights")
    how = (
        "step = max((weights + keys and values read) / bandwidth, 2 x parameters x tokens / arithmetic); attention's own products, kernel launches, "
        "sampling and scheduling are not counted",
        f"weights {size(weights.bytes)}: {weights.how}",
        f"{each:,.0f} bytes per token of cache ({form.how}){share}",
        *sources,
        f"{blocks:,} blocks of {spec.block_size} tokens in {size(max(room, 0))}: memory less weights, activations, runtime and what is kept free",
    )
    return Roofline(
        planned.device,
        parallel,
        bandwidth,
        flops,
        weights.bytes,
        card.parameters / parallel,
        each,
        spec.block_size,
        block_bytes,
        blocks,
        how,
        planned.notes,
    )


def _speed(spec: PagesSpec) -> tuple[Machine, float, float | None, tuple[str, ...]]:
    """Where it runs, bytes and operations per second, and where the figures come from."""
    here, key = Machine.here(), spec.gpu.strip().lower().replace(" ", "-").replace("_", "-")
    machine = here if key == "this" else here.with_gpus(spec.gpu, spec.tensor_parallel)
    if spec.memory is not None and machine.gpus:
        machine = replace(machine, gpus=tuple(replace(gpu, memory=round(spec.memory * GIBIBYTE)) for gpu in machine.gpus))
    elif spec.memory is not None:
        machine = replace(machine, ram=round(spec.memory * GIBIBYTE))
    known = min((gpu.bandwidth for gpu in machine.gpus if gpu.bandwidth is not None), default=None)
    bandwidth = spec.bandwidth * 1e9 if spec.bandwidth is not None else known
    if bandwidth is None:
        where = clean(machine.name)
        raise RequestError(f"the memory bandwidth of {where} is not known: give bandwidth in GB/s, or name a GPU: {', '.join(NAMED)}")
    stated = spec.tflops if spec.tflops is not None else TFLOPS.get(key)
    arithmetic = (
        "compute throughput is not known and not counted: give tflops"
        if stated is None
        else f"{stated:g} TFLOP/s in 16 bits, {'as given' if spec.tflops is not None else 'by the data sheet'}"
    )
    sources = (f"{bandwidth / 1e9:,.0f} GB/s, {'as given' if spec.bandwidth is not None else 'by the data sheet'}", arithmetic)
    return machine, bandwidth, None if stated is None else stated * 1e12, sources


def _blocks(spec: PagesSpec, card: ModelCard, planned: Estimate, room: int, block_bytes: int) -> int:
    if room < 2 * block_bytes:
        raise RequestError(
            f"{clean(card.name)} leaves no memory for a cache on {planned.device}: weights take {size(planned.line('weights').bytes)} of "
            f"{size(planned.capacity)}; choose smaller weights, more GPUs (tensor-parallel) or a larger one"
        )
    holds = room // block_bytes
    if spec.blocks is not None and spec.blocks > holds:
        raise RequestError(f"{spec.blocks:,} blocks do not fit on {planned.device}, which holds {holds:,} next to the weights: request fewer")
    return spec.blocks or holds

"""Make models ready to answer: whole in memory when they fit, block by block when they do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch

from core.errors import RequestError
from core.evaluate.logits.sources import LogitSource, ModelLogits, OnBlock, StreamedLogits
from core.evaluate.spec import EvaluateSpec
from core.formats.opening import can_read, open_packed, open_streamed, open_whole
from core.measure.limits import available_memory
from core.models.card import ModelCard
from core.models.source import ModelSource
from core.sanitize import clean

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_OF_CARDS = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16} | _DTYPES
_SHARE_OF_FREE_MEMORY = 0.5


def dtype_for(spec: EvaluateSpec, card: ModelCard, device: str) -> torch.dtype:
    """The arithmetic that was asked for; `auto` is float32 on a CPU, where it costs little, and the checkpoint's own elsewhere."""
    if spec.dtype != "auto":
        return _DTYPES[spec.dtype]
    return torch.float32 if device == "cpu" else _OF_CARDS.get(card.dtype, torch.bfloat16)


def streams(spec: EvaluateSpec, cards: Sequence[ModelCard], device: str) -> bool:
    """Whether the models are read block by block.

    Raises:
        RequestError: it was asked for, and a checkpoint is quantized in a way that only transformers can read.
    """
    foreign = next((card for card in cards if card.quantization is not None and not can_read(card.quantization)), None)
    if spec.streaming == "on" and foreign is not None:
        raise RequestError(f"{clean(foreign.name)} is quantized in a way that does not support streaming: give --streaming off")
    if spec.kernels == "packed":
        return False
    if spec.streaming != "auto" or foreign is not None:
        return spec.streaming == "on"
    needed = sum(card.parameters * dtype_for(spec, card, device).itemsize for card in cards)
    return needed > _SHARE_OF_FREE_MEMORY * _free_memory(device)


def open_model(source: ModelSource, dtype: torch.dtype, device: str, *, streaming: bool, on_block: OnBlock) -> LogitSource:
    """A model that is ready to answer."""
    if streaming:
        return StreamedLogits(open_streamed(source, dtype, device), on_block=on_block)
    return ModelLogits(open_whole(source, dtype, device))


def open_with_kernels(source: ModelSource, dtype: torch.dtype, device: str) -> tuple[LogitSource, str]:
    """A model whose quantized linears stay packed, and in words which kernels multiply them."""
    model, kernels = open_packed(source, dtype, device)
    counts = Counter(kernels.values())
    return ModelLogits(model), ", ".join(f"{kernel} for {count} linears" for kernel, count in counts.most_common()) or "no quantized linears"


def _free_memory(device: str) -> int:
    if device.startswith("cuda"):
        return torch.cuda.mem_get_info(device)[0]
    return available_memory()

"""The data of the comparison's four charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from core.quantize.compare.result import CompareRow, GranularityErrors, Histogram, MemoryBar, Scatter, ScatterSeries

_BINS = 64
_POINTS = 400


def histogram(linear: str, original: Tensor, dequantized: Tensor, title: str) -> Histogram:
    """Counts of the weights of one linear before and after, over the range of the original."""
    largest = float(original.abs().max()) or 1.0
    counts = [torch.histc(values.flatten().float().cpu(), _BINS, -largest, largest) for values in (original, dequantized.clamp(-largest, largest))]
    edges = torch.linspace(-largest, largest, _BINS + 1)
    before, after = (tuple(int(count) for count in found.tolist()) for found in counts)
    return Histogram(linear=linear, edges=tuple(edges.tolist()), original=before, dequantized=after, dequantized_title=title)


def scatter(linear: str, original: Tensor, dequantized: Mapping[str, Tensor], seed: int) -> Scatter:
    """The same randomly drawn weights before and after each quantization, by title, in rising order."""
    draw = torch.randperm(original.numel(), generator=torch.Generator().manual_seed(seed))[:_POINTS]
    values = original.flatten()[draw.to(original.device)].float().cpu()
    order = torch.argsort(values)
    series = tuple(
        ScatterSeries(title=title, values=tuple(tensor.flatten()[draw.to(tensor.device)].float().cpu()[order].tolist()))
        for title, tensor in dequantized.items()
    )
    return Scatter(linear=linear, original=tuple(values[order].tolist()), dequantized=series)


def granularity_errors(bits: int, linears: Sequence[str], channel: Sequence[float], tensor: Sequence[float]) -> GranularityErrors:
    """Relative weight errors of every linear with one scale a channel next to those with one scale a tensor."""
    return GranularityErrors(bits=bits, linears=tuple(linears), channel=tuple(channel), tensor=tuple(tensor))


def memory_bars(bytes_before: int, kept: int, rows: Sequence[CompareRow], scales: Mapping[str, int]) -> tuple[MemoryBar, ...]:
    """Bytes of the original and of every variant, in codes, scales (by the row's name) and what stays in full precision."""
    bars = [MemoryBar(title="original", codes=bytes_before - kept, scales=0, kept=kept)]
    return (*bars, *(MemoryBar(title=row.title, codes=row.bytes - kept - scales[row.name], scales=scales[row.name], kept=kept) for row in rows))

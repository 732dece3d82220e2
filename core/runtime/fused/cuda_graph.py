"""The step of a fused decoder as a CUDA graph: all its kernels are started by one call."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from core.runtime.fused.compile import unfit
from core.runtime.fused.decoder import FusedDecoder
from core.runtime.fused.fixed_step import FixedStep, Run

_WARM_UP = 3
"""Runs before the capture, in which kernels are chosen and their workspaces allocated."""


def use_cuda_graph(decoder: FusedDecoder, *, compiled: bool = False) -> str | None:
    """Capture the step of one token a row at its first use; the sequences are forgotten.

    Args:
        decoder: on a CUDA device.
        compiled: compile the step before it is captured, so that fewer and larger kernels run.

    Returns:
        None when the step is captured; else a sentence that says why it is not: the decoder continues as it was.
    """
    reason = unfit(decoder)
    if reason is None and decoder.device.type != "cuda":
        reason = f"the model is on {decoder.device.type}, and CUDA graphs need a CUDA device"
    if reason is not None:
        return f"decoding continues without a CUDA graph: {reason}"
    decoder.use_fixed(FixedStep(_compiled_and_captured if compiled else _captured))
    decoder.reset(decoder.batch)
    return None


def _compiled_and_captured(run: Run, batch: int) -> Run:
    faster: Run = torch.compile(run, dynamic=False)
    return _captured(faster, batch)


def _captured(run: Run, batch: int) -> Run:
    """The run on buffers of its own, recorded with the first token; what it returns is copied out, as the next replay writes it over."""
    device = torch.device("cuda", torch.cuda.current_device())
    tokens = torch.zeros(batch, dtype=torch.int64, device=device)
    position = torch.zeros(1, dtype=torch.int64, device=device)
    graph = torch.cuda.CUDAGraph()
    outputs: list[Tensor] = []

    def replay(new: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
        tokens.copy_(new)
        position.copy_(place)
        if not outputs:
            outputs.extend(_record(graph, run, tokens, position))
        graph.replay()
        return outputs[0].clone(), outputs[1].clone()

    return replay


def _record(graph: torch.cuda.CUDAGraph, run: Run, tokens: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
    """Capture a run; the runs before it write what the first replay writes again."""
    stream: Any = torch.cuda.Stream
    side = stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(_WARM_UP):
            run(tokens, position)
    torch.cuda.current_stream().wait_stream(side)
    with torch.cuda.graph(graph):
        return run(tokens, position)

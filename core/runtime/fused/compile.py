"""The step of a fused decoder through torch.compile."""

from __future__ import annotations

import shutil

import torch

from core.runtime.fused.decoder import FusedDecoder
from core.runtime.fused.fixed_step import FixedStep, Run
from core.sanitize import clean

_COMPILERS = ("c++", "g++", "clang++", "cl")


def use_compiled(decoder: FusedDecoder) -> str | None:
    """Compile the step of one token a row; the sequences are forgotten.

    Compilation takes the first steps of each batch size, about a minute. It is meant for GPUs, where it makes fewer and larger kernels; on the
    CPUs where it was measured the bound steps are faster than it (`python -m tests.benchmarks decode_speed --compiled` shows yours).

    Returns:
        None when the step is compiled; else a sentence that says why it is not: the decoder continues as it was.
    """
    reason = unfit(decoder)
    if reason is None and decoder.device.type == "cpu" and not any(map(shutil.which, _COMPILERS)):
        reason = "torch.compile needs a C++ compiler: install g++ or clang++"
    if reason is not None:
        return f"decoding continues without compilation: {reason}"
    decoder.use_fixed(FixedStep(_compiled))
    try:
        decoder.forward(torch.zeros(decoder.batch, 1, dtype=torch.int64, device=decoder.device))
    except Exception as error:  # compilers raise whatever the machine's toolchain led them to
        decoder.use_fixed(None)
        return f"decoding continues without compilation: torch.compile failed: {clean(str(error).strip().partition(chr(10))[0], limit=200)}"
    finally:
        decoder.reset(decoder.batch)
    return None


def unfit(decoder: FusedDecoder) -> str | None:
    """Why a decoder cannot have a step of fixed shapes; None when it can."""
    return None if decoder.has_static_cache else "a step of fixed shapes needs the static cache: omit the cache"


def _compiled(run: Run, batch: int) -> Run:
    del batch
    faster: Run = torch.compile(run, dynamic=False)
    return faster

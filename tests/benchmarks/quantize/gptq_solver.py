"""Our GPTQ solver against the original implementation (IST-DASLab/gptq): same weights, Hessian and grid, same process, same threads.

python -m tests.benchmarks gptq_solver --reference PATH    PATH: a checkout that holds gptq.py and quant.py
LLMOPT_GPTQ_REFERENCE=PATH does the same. Nothing of the original is part of this project.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.benchmarks.report import CANNOT_RUN_HERE, record
from tests.core.quantize.by_hessian import gptq

BITS, GROUP_SIZE, DAMP = 4, 128, 0.01


def problem(size: int) -> tuple[Tensor, Tensor]:
    """A square weight and the Hessian of correlated inputs with features of very different size, as language models have them."""
    generator = torch.Generator().manual_seed(size)
    spread = torch.exp(torch.randn(size, generator=generator))
    mixing = torch.eye(size) + torch.randn(size, size, generator=generator) / size**0.5
    inputs = torch.randn(2 * size, size, generator=generator) * spread @ mixing
    return 0.02 * torch.randn(size, size, generator=generator), 2 / len(inputs) * inputs.t() @ inputs


def with_the_original(modules: tuple[Any, Any], weight: Tensor, hessian: Tensor) -> tuple[float, Tensor]:
    """Seconds and the dequantized weight of the original."""
    original, grids = modules
    linear = torch.nn.Linear(*weight.shape[::-1], bias=False)  # type: ignore[misc]
    linear.weight.data = weight.clone()
    solver = original.GPTQ(linear)
    solver.H = hessian.clone()
    solver.quantizer = grids.Quantizer()
    solver.quantizer.configure(BITS, perchannel=True, sym=True, mse=False)
    began = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        solver.fasterquant(percdamp=DAMP, groupsize=GROUP_SIZE)
    return time.perf_counter() - began, linear.weight.data


def compare(modules: tuple[Any, Any], size: int, repeats: int) -> dict[str, float]:
    """Best time of each, taken in turns, and the quotient of the layer errors."""
    weight, hessian = problem(size)
    theirs, ours, seconds_theirs, seconds_ours = weight, weight, [], []
    identity = 0.0
    for _ in range(repeats):
        seconds, theirs = with_the_original(modules, weight, hessian)
        seconds_theirs.append(seconds)
        began = time.perf_counter()
        found = gptq(weight, hessian, bits=BITS, group_size=GROUP_SIZE, damp=DAMP)
        seconds_ours.append(time.perf_counter() - began)
        ours = found.dequantize()
        assert found.losses is not None
        damped = hessian + DAMP * hessian.diagonal().mean() * torch.eye(size)
        identity = abs(2 * float(found.losses.double().sum()) / _error(weight, ours, damped) - 1)
    return {
        f"seconds_original_{size}": min(seconds_theirs),
        f"seconds_ours_{size}": min(seconds_ours),
        f"time_ratio_{size}": min(seconds_ours) / min(seconds_theirs),
        f"error_ratio_{size}": _error(weight, ours, hessian) / _error(weight, theirs, hessian),
        f"identity_error_{size}": identity,
    }


def _error(weight: Tensor, other: Tensor, hessian: Tensor) -> float:
    difference = other - weight
    return float(((difference @ hessian).double() * difference).sum())


def main() -> bool:
    """Measure, print and record; exits with 77 without the original."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks gptq_solver", description=__doc__)
    parser.add_argument("--reference", type=Path, default=os.environ.get("LLMOPT_GPTQ_REFERENCE"))
    parser.add_argument("--sizes", type=int, nargs="+", default=[2048, 4096])
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.reference is None or not (Path(arguments.reference) / "gptq.py").is_file():
        print("needs a checkout of github.com/IST-DASLab/gptq: --reference PATH", file=sys.stderr)
        sys.exit(CANNOT_RUN_HERE)
    sys.path.insert(0, str(arguments.reference))
    with contextlib.redirect_stdout(io.StringIO()):
        modules = importlib.import_module("gptq"), importlib.import_module("quant")
    if not torch.cuda.is_available():
        torch.cuda.synchronize = lambda *_: None
    compare(modules, 256, 1)  # first calls start threads and libraries
    figures: dict[str, float] = {"threads": torch.get_num_threads()}
    bars: dict[str, tuple[str, float]] = {}
    for size in arguments.sizes:
        figures |= compare(modules, size, arguments.repeats)
        bars |= {f"time_ratio_{size}": ("<=", 0.33), f"error_ratio_{size}": ("<=", 1.01), f"identity_error_{size}": ("<=", 1e-4)}
    return record("gptq_solver", figures, bars)


if __name__ == "__main__":
    sys.exit(not main())

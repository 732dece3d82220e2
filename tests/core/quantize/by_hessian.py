"""GPTQ by a Hessian that a test made."""

import torch
from torch import Tensor

from core.calibration.cholesky import factorize
from core.numerics.grid import Clipping, Granularity, Grid
from core.numerics.tensor import QuantizedTensor
from core.quantize.gptq import solve


def gptq(
    weight: Tensor,
    hessian: Tensor,
    *,
    bits: int = 4,
    group_size: int | None = 128,
    symmetric: bool = True,
    act_order: bool = False,
    damp: float = 0.01,
    static_groups: bool = False,
    granularity: Granularity | None = None,
    clipping: Clipping = "absmax",
    scale_dtype: torch.dtype = torch.float32,
) -> QuantizedTensor:
    chosen: Granularity = granularity or ("group" if group_size else "channel")
    grid = Grid(bits, symmetric, chosen, group_size or weight.shape[1], clipping, scale_dtype)
    return solve(weight, factorize(hessian, damp=damp, by_diagonal=act_order, alternative="rtn"), grid, static_groups=static_groups)

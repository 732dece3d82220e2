"""Matrix products and factors where their speed matters."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_BLOCK = 128
_SMALLEST = 2**22


def product_nt(left: Tensor, right: Tensor) -> Tensor:
    """Left [m, k] times the transpose of right [n, k].

    On CPUs whose vector units MKL leaves unused, oneDNN's kernel, which PyTorch compiles models with, takes less than half the time.
    """
    kernel = _onednn()
    large = left.shape[0] * left.shape[1] * right.shape[0] >= _SMALLEST
    if kernel is None or not large or left.device.type != "cpu" or left.dtype != torch.float32:
        return left @ right.t()
    return kernel(left, right.contiguous(), None, "none", [], "")


def upper_factor_(matrix: Tensor) -> bool:
    """Overwrite the upper triangle of a symmetric float32 [n, n] by U, upper triangular with U Uᵀ = the matrix.

    This is the Cholesky factor of the matrix with rows and columns reversed, found block by block from the last column. What stands
    below the diagonal afterwards has no meaning.

    Returns:
        Whether the matrix is positive definite; if not, it holds an unfinished factor.
    """
    size = matrix.shape[0]
    for end in range(size, 0, -_BLOCK):
        begin = max(end - _BLOCK, 0)
        panel = matrix[:end, begin:end]
        if end < size:
            panel -= product_nt(matrix[:end, end:], matrix[begin:end, end:])
        corner, failed = torch.linalg.cholesky_ex(panel[begin:].flip(0, 1))
        if int(failed) or not bool(torch.isfinite(corner.diagonal()).all()):
            return False
        corner = corner.flip(0, 1)
        if begin:
            inverse = torch.linalg.solve_triangular(corner, torch.eye(end - begin, device=matrix.device), upper=True)
            panel[:begin] = product_nt(panel[:begin].contiguous(), inverse)
        panel[begin:] = corner
    return True


def _onednn() -> Callable[..., Tensor] | None:
    """oneDNN's product for ordinary tensors, None where this build of torch has none."""
    if not torch.backends.mkldnn.is_available() or not torch.backends.mkldnn.enabled:  # type: ignore[no-untyped-call]
        return None
    return getattr(torch.ops.mkldnn, "_linear_pointwise", None)

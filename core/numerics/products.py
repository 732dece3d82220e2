"""Matrix products and factors where their speed matters."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_BLOCK = 128
_GRAM_BLOCK = 256
_SMALLEST = 2**22


def product_nt(left: Tensor, right: Tensor) -> Tensor:
    """Left [m, k] times the transpose of right [n, k]."""
    return linear(left, right)


def linear(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Inputs [..., in] times the transpose of weight [out, in], plus bias [out].

    On CPUs whose vector units MKL leaves unused, oneDNN's kernel, which PyTorch compiles models with, takes less than half the time.
    """
    kernel = _onednn()
    plain = inputs.dtype == weight.dtype == torch.float32 and inputs.device.type == "cpu"
    differentiated = torch.is_grad_enabled() and (inputs.requires_grad or weight.requires_grad)
    if kernel is None or not plain or differentiated or inputs.numel() * weight.shape[0] < _SMALLEST:
        return torch.nn.functional.linear(inputs, weight, bias)
    return kernel(inputs, weight.contiguous(), bias, "none", [], "")


def add_gram_(total: Tensor, rows: Tensor) -> None:
    """Add to the lower triangle of `total`, float32 [n, n], that of rows [m, n] transposed times themselves; above the diagonal it has no meaning.

    A block of rows of the triangle at a time, so that little more than half of the products are taken.
    """
    features = rows.t().contiguous().to(torch.float32)
    for begin in range(0, len(total), _GRAM_BLOCK):
        end = min(begin + _GRAM_BLOCK, len(total))
        total[begin:end, :end] += product_nt(features[begin:end], features[:end])


def mirror_lower_(matrix: Tensor) -> None:
    """Copy what is below the diagonal of [n, n] above it."""
    for begin in range(0, len(matrix), _GRAM_BLOCK):
        end = min(begin + _GRAM_BLOCK, len(matrix))
        corner = matrix[begin:end, begin:end]
        corner.copy_(corner.tril() + corner.tril(-1).t())
        matrix[:begin, begin:end] = matrix[begin:end, :begin].t()


def upper_factor_(matrix: Tensor) -> bool:
    """Overwrite the upper triangle of a symmetric float32 [n, n] by U, upper triangular with U Uᵀ = the matrix.

    This is the Cholesky factor of the matrix with rows and columns reversed, found block by block from the last column. What is
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


def multiplies_bfloat16() -> bool:
    """Whether this CPU has units for products of bfloat16 numbers summed in float32, several times as fast as those of float32."""
    known = (getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("avx512_bf16", "amx_tile"))
    return _onednn() is not None and any(bool(supported()) for supported in known if supported is not None)


def _onednn() -> Callable[..., Tensor] | None:
    """oneDNN's product for ordinary tensors, None where this build of torch has none."""
    if not torch.backends.mkldnn.is_available() or not torch.backends.mkldnn.enabled:  # type: ignore[no-untyped-call]
        return None
    return getattr(torch.ops.mkldnn, "_linear_pointwise", None)

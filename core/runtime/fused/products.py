"""Products with weights, bound to the buffers they read and write, each by the kernel that is fastest for so many rows.

What was measured on x86 decides: MKL's product of one row with a float32 matrix runs on one thread, so it is cut into a batch; oneDNN multiplies
a few rows two to four times as fast as MKL, and bfloat16 from a blocked copy of the weight two to three times as fast as from the plain one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from core.numerics.packed.linears import PackedLinear

Step = Callable[[], object]
"""An operation that is bound to its buffers."""

_FEW = 8
"""Rows that the blocked layout is chosen for; it serves one as well as dozens."""
_LARGE = 1 << 20
"""Weights from which on oneDNN reads a float32 matrix faster than MKL on one thread."""
_PART = 64 * 1024
"""Weights from which on a thread is worth its start."""


class Product(Protocol):
    """y = x Wᵀ + b."""

    out_features: int

    def __call__(self, rows: Tensor) -> Tensor:
        """Floats [n, in] to [n, out]."""

    def bind(self, rows: Tensor, out: Tensor, *, add: bool = False) -> Step:
        """The product as a step from `rows` [n, in] into `out` [n, out], or added to it."""


class FloatProduct:
    """A product with a plain weight.

    Args:
        weight: [out, in], looked into and not copied.
        bias: [out].
        blocked: hold a second copy of the weight in oneDNN's layout; ignored where oneDNN is not used.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, *, blocked: bool = False) -> None:
        self.weight, self.bias = weight, bias
        self.out_features = len(weight)
        usable = uses_onednn(weight.device, weight.dtype)
        self._blocked: Tensor | None = torch.ops.mkldnn._reorder_linear_weight(weight, _FEW) if blocked and usable else None
        self._onednn = usable and (self._blocked is not None or weight.dtype == torch.float32)

    def __call__(self, rows: Tensor) -> Tensor:
        """Floats [n, in] to [n, out]."""
        if not self._takes_onednn(len(rows)):
            out = rows.new_empty(len(rows), self.out_features)
            self.bind(rows, out)()
            return out
        product: Tensor = self._by_onednn(rows)()
        return product

    def bind(self, rows: Tensor, out: Tensor, *, add: bool = False) -> Step:
        """The product as a step."""
        if self._takes_onednn(len(rows)):
            product, write = self._by_onednn(rows), out.add_ if add else out.copy_
            return lambda: write(product())
        if len(rows) == 1 and rows.device.type == "cpu" and rows.dtype == torch.float32 and (parts := self._parts()) > 1:
            return self._in_parts(rows, out, parts, add)
        turned = self.weight.t()
        if add:
            added: Step = partial(torch.addmm, out, rows, turned, out=out)
            return added if self.bias is None else _both(added, partial(out.add_, self.bias))
        if self.bias is not None:
            return partial(torch.addmm, self.bias, rows, turned, out=out)
        return partial(torch.mm, rows, turned, out=out)

    def _takes_onednn(self, count: int) -> bool:
        alone = torch.get_num_threads() == 1 and self.weight.numel() >= _LARGE
        return self._onednn and (count > 1 or alone or self.weight.dtype != torch.float32)

    def _by_onednn(self, rows: Tensor) -> Callable[[], Tensor]:
        weight = self.weight if self._blocked is None else self._blocked
        product: Callable[[], Tensor] = partial(torch.ops.mkldnn._linear_pointwise.default, rows, weight, self.bias, "none", [], "")
        return product

    def _parts(self) -> int:
        most = min(torch.get_num_threads(), self.weight.numel() // _PART)
        return next((parts for parts in range(most, 1, -1) if self.out_features % parts == 0), 1)

    def _in_parts(self, rows: Tensor, out: Tensor, parts: int, add: bool) -> Step:
        """One row by a batch of matrices, so that each thread takes one."""
        left = rows.expand(parts, 1, -1)
        right = self.weight.view(parts, self.out_features // parts, -1).transpose(1, 2)
        target = out.view(parts, 1, -1)
        bias = None if self.bias is None else self.bias.view(parts, 1, -1)
        if add:
            added: Step = partial(torch.baddbmm, target, left, right, out=target)
            return added if bias is None else _both(added, partial(target.add_, bias))
        if bias is not None:
            return partial(torch.baddbmm, bias, left, right, out=target)
        return partial(torch.bmm, left, right, out=target)


class PackedProduct:
    """A product with a quantized weight."""

    def __init__(self, linear: PackedLinear) -> None:
        self._linear = linear
        self.out_features = linear.out_features

    def __call__(self, rows: Tensor) -> Tensor:
        """Floats [n, in] to [n, out]."""
        product: Tensor = self._linear(rows)
        return product

    def bind(self, rows: Tensor, out: Tensor, *, add: bool = False) -> Step:
        """The product as a step."""
        linear, write = self._linear, out.add_ if add else out.copy_
        return lambda: write(linear(rows))


class JoinedProduct:
    """Products that read the same rows, their outputs side by side."""

    def __init__(self, parts: Sequence[Product]) -> None:
        self._parts = parts
        self.out_features = sum(part.out_features for part in parts)

    def __call__(self, rows: Tensor) -> Tensor:
        """Floats [n, in] to [n, out]."""
        return torch.cat([part(rows) for part in self._parts], dim=1)

    def bind(self, rows: Tensor, out: Tensor, *, add: bool = False) -> Step:
        """The products as a step."""
        pairs = list(zip(self._parts, torch.split(out, [part.out_features for part in self._parts], dim=1), strict=True))
        writes = [(part, target.add_ if add else target.copy_) for part, target in pairs]

        def step() -> None:
            for part, write in writes:
                write(part(rows))

        return step


class Norm:
    """Root mean square norm: x / sqrt(mean(x²) + eps) * w, summed in float32.

    Args:
        weight: [H], with the family's offset added; or [heads, H] for rows of several heads.
        eps: under the root.
    """

    def __init__(self, weight: Tensor, eps: float) -> None:
        self.weight, self.eps = weight, eps

    def __call__(self, rows: Tensor) -> Tensor:
        """Rows [..., H] of any float dtype, which is kept."""
        width = (rows.shape[-1],)
        if self.weight.dim() > 1:
            return functional.rms_norm(rows.to(self.weight.dtype), width, None, self.eps).mul_(self.weight).to(rows.dtype)
        return functional.rms_norm(rows.to(self.weight.dtype), width, self.weight, self.eps).to(rows.dtype)

    def bind(self, rows: Tensor, out: Tensor) -> Step:
        """The norm as a step from `rows` into `out`, both [n, H]; they may be the same."""
        if rows.device.type != "cpu" or rows.dtype not in (torch.float32, torch.bfloat16):
            return lambda: out.copy_(self(rows))
        weight, eps, width = self.weight.float(), self.eps, rows.shape[-1]
        wide = rows if rows.dtype == torch.float32 else torch.empty_like(rows, dtype=torch.float32, memory_format=torch.contiguous_format)
        widen: Step | None = None if wide is rows else partial(wide.copy_, rows)
        if rows.dim() == 2 and len(rows) == 1:
            return self._of_one(wide, widen, weight, out)
        root = wide.new_empty(*rows.shape[:-1], 1)
        floor = torch.full_like(root, eps)

        def step() -> None:
            if widen is not None:
                widen()
            torch.linalg.vector_norm(wide, 2, -1, True, out=root)
            torch.addcmul(floor, root, root, value=1 / width, out=root).rsqrt_()
            if widen is None:
                torch.mul(wide, root, out=out).mul_(weight)
            else:
                torch.mul(wide.mul_(weight), root, out=out)

        return step

    def _of_one(self, wide: Tensor, widen: Step | None, weight: Tensor, out: Tensor) -> Step:
        """For one row: the root is a number of Python's, which saves two operations."""
        flat, eps, width, dot, mul = wide.view(-1), self.eps, wide.shape[-1], torch.dot, torch.mul

        def step() -> None:
            if widen is not None:
                widen()
            scale = (dot(flat, flat).item() / width + eps) ** -0.5
            if widen is None:
                mul(wide, weight, out=out).mul_(scale)
            else:
                mul(wide.mul_(weight), scale, out=out)

        return step


@cache
def uses_onednn(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether torch's oneDNN products can be called directly for this device and dtype."""
    names: Any = getattr(torch.ops, "mkldnn", None)
    library: Any = torch.backends.mkldnn
    if device.type != "cpu" or not library.is_available() or not hasattr(names, "_linear_pointwise"):
        return False
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype == torch.float32


def _both(first: Step, second: Step) -> Step:
    def step() -> None:
        first()
        second()

    return step

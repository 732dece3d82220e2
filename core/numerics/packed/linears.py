"""Linears whose weight stays packed in memory, for decoding: at one token a step the weight's bytes are the time.

Where no kernel takes a weight, a linear with the dequantized weight takes its place; it is also the reference for the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from core.numerics.activations import ActivationQuantizer
from core.numerics.fp8.linear import Fp8Linear, fits_fp8_units, uses_fp8_units
from core.numerics.fp8.tensor import Float8Tensor
from core.numerics.packed.kernels import KERNELS, Kernel
from core.numerics.stored import StoredWeight
from core.numerics.tensor import QuantizedTensor

DEQUANTIZED = "dequantized"


class PackedLinear(nn.Module):
    """y = x Wᵀ + b with a quantized W [out, in]."""

    bias: Tensor | None
    order: Tensor | None
    """int64 [in]: which feature is at each column of the packed weight; None for all in their own places."""

    def __init__(
        self,
        kernel: str,
        product: nn.Module,
        shape: tuple[int, int],
        *,
        bias: Tensor | None = None,
        order: Tensor | None = None,
        activations: ActivationQuantizer | None = None,
    ) -> None:
        super().__init__()
        self.kernel = kernel
        """Name of the kernel for the screen."""
        self.out_features, self.in_features = shape
        self.product = product
        self.activations = activations
        self.register_buffer("bias", bias, persistent=False)
        self.register_buffer("order", order, persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Floats [..., in] to [..., out]."""
        if self.activations is not None:
            inputs = self.activations(inputs)
        if self.order is not None:
            inputs = inputs.index_select(-1, self.order)
        outputs: Tensor = self.product(inputs.reshape(-1, inputs.shape[-1]))
        if self.bias is not None:
            outputs += self.bias
        return outputs.view(*inputs.shape[:-1], self.out_features)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(buffer.nbytes for buffer in self.buffers())


class _Dequantized(nn.Module):
    weight: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight, persistent=False)

    def forward(self, rows: Tensor) -> Tensor:
        return nn.functional.linear(rows, self.weight)


def pack(weight: StoredWeight, device: torch.device | str, dtype: torch.dtype, bias: Tensor | None = None) -> PackedLinear:
    """A linear for this weight by the fastest kernel that takes it.

    Args:
        weight: [out, in].
        device: where it will run.
        dtype: of its inputs and outputs.
        bias: [out].
    """
    device = torch.device(device)
    bias = None if bias is None else bias.detach().to(device, dtype)
    if isinstance(weight, Float8Tensor) and fits_fp8_units(weight) and uses_fp8_units(str(device)):
        floats = Fp8Linear(weight, device, dtype)
        return PackedLinear(floats.kernel, floats, weight.shape, bias=bias)
    kernel = kernel_for(weight, device, dtype)
    if kernel is None or not isinstance(weight, QuantizedTensor):
        return dequantized(weight, device, dtype, bias)
    group = kernel.limits.group(weight)
    assert group is not None
    weight, order = _in_order(weight)
    product = kernel.make(_moved(weight, device), dtype, group)
    rounds = None if kernel.limits.rounds_inputs else weight.activations
    return PackedLinear(kernel.name, product, weight.shape, bias=bias, order=None if order is None else order.to(device), activations=rounds)


def dequantized(weight: StoredWeight, device: torch.device | str, dtype: torch.dtype, bias: Tensor | None = None) -> PackedLinear:
    """The reference: a linear with the weight that the codes stand for, in `dtype`."""
    return PackedLinear(DEQUANTIZED, _Dequantized(weight.dequantize(dtype).to(device)), weight.shape, bias=bias, activations=weight.activations)


def kernel_for(weight: StoredWeight, device: torch.device | str, dtype: torch.dtype) -> Kernel | None:
    """The kernel that `pack` would use; None when the weight would be dequantized."""
    if not isinstance(weight, QuantizedTensor):
        return None
    return next((kernel for kernel in KERNELS if kernel.limits.take(weight, torch.device(device), dtype)), None)


def use_packed(model: nn.Module, weights: Mapping[str, StoredWeight]) -> dict[str, str]:
    """Put packed linears in the places of a model's linears; a head that shares its weight with the embedding stays as it is.

    Args:
        model: with its other weights in place; device and dtype of each linear are kept.
        weights: by the linear's name in the model.

    Returns:
        Name of the kernel for each linear that was replaced.

    Raises:
        ValueError: a name is not a linear of the model, or the shapes differ.
    """
    shared = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    kernels: dict[str, str] = {}
    for name, weight in weights.items():
        linear = model.get_submodule(name)
        if not isinstance(linear, nn.Linear) or tuple(linear.weight.shape) != weight.shape:
            raise ValueError(f"{name} is not a linear of shape {list(weight.shape)}")
        if id(linear.weight) in shared:
            continue
        packed = pack(weight, linear.weight.device, linear.weight.dtype, linear.bias)
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, packed)
        kernels[name] = packed.kernel
    return kernels


def stack(weights: Sequence[QuantizedTensor]) -> QuantizedTensor | None:
    """Weights that read the same input as one, rows under rows; None when their grids or groups differ."""
    first = weights[0]
    alike = all(
        weight.bits == first.bits
        and weight.symmetric == first.symmetric
        and weight.scales.shape[1] == first.scales.shape[1]
        and weight.activations == first.activations
        and torch.equal(weight.group_index, first.group_index)
        for weight in weights
    )
    if not alike:
        return None
    scales = [weight.scales.expand(weight.shape[0], -1) for weight in weights]
    zeros = [weight.zeros.expand(weight.shape[0], -1) for weight in weights if weight.zeros is not None]
    granularity = "channel" if first.granularity == "tensor" else first.granularity
    codes = torch.cat([weight.codes for weight in weights])
    return replace(first, codes=codes, scales=torch.cat(scales), zeros=torch.cat(zeros) if zeros else None, granularity=granularity, losses=None)


def _in_order(weight: QuantizedTensor) -> tuple[QuantizedTensor, Tensor | None]:
    """The weight with its columns sorted by group, and the order; None when they are sorted already."""
    if weight.sequential:
        return weight, None
    order = torch.argsort(weight.group_index, stable=True)
    return replace(weight, codes=weight.codes[:, order].contiguous(), group_index=weight.group_index[order], losses=None), order


def _moved(weight: QuantizedTensor, device: torch.device) -> QuantizedTensor:
    zeros = None if weight.zeros is None else weight.zeros.to(device)
    index = weight.group_index.to(device)
    return replace(weight, codes=weight.codes.to(device), scales=weight.scales.to(device), zeros=zeros, group_index=index)

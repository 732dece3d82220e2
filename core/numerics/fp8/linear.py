"""A linear whose weight stays in 8-bit floats: multiplied as such where the hardware can, dequantized elsewhere."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core.numerics.activations import ActivationQuantizer, token_scales
from core.numerics.fp8.codec import E4M3, cast
from core.numerics.fp8.tensor import Float8Tensor
from core.numerics.fp8.units import has_fp8_units

_MULTIPLE = 16
"""Of rows and columns of the weight, for the matrix units."""


def fits_fp8_units(weight: Float8Tensor) -> bool:
    """Whether the matrix units take this weight as it is: E4M3 by tensor or channel, rounded inputs, sides that are multiples of 16."""
    plain_inputs = type(weight.activations) is ActivationQuantizer
    sides_fit = all(side % _MULTIPLE == 0 for side in weight.shape)
    return weight.format is E4M3 and weight.granularity != "block" and plain_inputs and sides_fit


class Fp8Linear(nn.Module):
    """y = x Wᵀ + b. `units` says which way it goes.

    Args:
        weight: [out, in].
        device: where it will run.
        dtype: of its inputs and outputs.
        bias: [out].
        units: False dequantizes even where the hardware could multiply; None looks at the hardware.
    """

    codes: Tensor
    scales: Tensor
    bias: Tensor | None

    def __init__(
        self, weight: Float8Tensor, device: torch.device | str, dtype: torch.dtype, bias: Tensor | None = None, *, units: bool | None = None
    ) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.units = fits_fp8_units(weight) and (uses_fp8_units(str(device)) if units is None else units)
        self.dtype, self.activations = dtype, weight.activations
        by_channel = weight.granularity == "channel"
        scales = weight.scales.float().reshape(1, -1) if by_channel and self.units else weight.expanded_scales()
        self.register_buffer("codes", weight.codes.to(device), persistent=False)
        self.register_buffer("scales", scales.to(device), persistent=False)
        self.register_buffer("bias", None if bias is None else bias.detach().to(device, dtype), persistent=False)

    @property
    def kernel(self) -> str:
        """The way it multiplies, for a screen."""
        return "fp8 matrix units" if self.units else "fp8, dequantized"

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(buffer.nbytes for buffer in self.buffers())

    def forward(self, inputs: Tensor) -> Tensor:
        """Floats [..., in] to [..., out]."""
        if self.units:
            return self._multiplied(inputs.reshape(-1, self.in_features)).view(*inputs.shape[:-1], self.out_features)
        rounded = inputs if self.activations is None else self.activations(inputs)
        weight = (self.codes.float() * self.scales).to(inputs.dtype)
        return nn.functional.linear(rounded, weight, self.bias)

    def _multiplied(self, rows: Tensor) -> Tensor:
        """[n, in] to [n, out] by torch's scaled product of 8-bit floats; scales are of one kind on both sides, a number each or a vector each."""
        assert self.activations is not None
        fixed = self.activations.scale
        by_token = fixed is None
        scales = token_scales(rows.float(), self.activations.kind) if fixed is None else fixed.to(rows.device, torch.float32)
        codes = cast(rows.float() / scales, E4M3)
        of_weight = self.scales
        if by_token or of_weight.numel() > 1:
            scales = scales.reshape(-1, 1).expand(len(rows), 1).contiguous()
            of_weight = of_weight.reshape(1, -1).expand(1, self.out_features).contiguous()
        else:
            scales, of_weight = scales.reshape(()), of_weight.reshape(())
        # Vectors of scales are taken with bfloat16 outputs only, on every hardware so far.
        product = torch._scaled_mm(codes, self.codes.t(), scale_a=scales, scale_b=of_weight, out_dtype=torch.bfloat16)
        return product.to(rows.dtype) if self.bias is None else product.to(rows.dtype) + self.bias


def uses_fp8_units(device: str) -> bool:
    """Whether linears on this device (`cpu`, `cuda`, `cuda:1`) multiply 8-bit floats directly; elsewhere they dequantize."""
    if not device.startswith("cuda"):
        return False
    return torch.cuda.is_available() and torch.version.hip is None and has_fp8_units(torch.cuda.get_device_capability(device))

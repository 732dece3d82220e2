"""Activations as kernels with rounded inputs see them: to int8 or to an 8-bit float, by one scale a token or one for all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

ActivationKind = Literal["int8", "fp8-e4m3", "fp8-e5m2"]

_FLOATS = {"fp8-e4m3": torch.float8_e4m3fn, "fp8-e5m2": torch.float8_e5m2}
_INT8_STEPS = 127.5


@dataclass(frozen=True)
class ActivationQuantizer:
    """How the inputs of a linear are rounded. The convention is that of compressed-tensors."""

    kind: ActivationKind
    scale: Tensor | None = None
    """One number, from calibration; None: one scale a token, found at run time."""

    def __call__(self, activations: Tensor) -> Tensor:
        """Activations [..., features] rounded to the grid and back, in their own dtype."""
        scale = token_scales(activations, self.kind) if self.scale is None else self.scale.to(activations.device, activations.dtype)
        if self.kind == "int8":
            return torch.clamp(torch.round(activations / scale), -128, 127) * scale
        dtype = _FLOATS[self.kind]
        limit = torch.finfo(dtype).max
        return (activations / scale).clamp(-limit, limit).to(dtype).to(activations.dtype) * scale


def token_scales(activations: Tensor, kind: ActivationKind = "int8") -> Tensor:
    """Scales [..., 1] that fit each token, that is each slice along the last dimension, into the range of the grid."""
    steps = _INT8_STEPS if kind == "int8" else torch.finfo(_FLOATS[kind]).max
    scales = activations.abs().amax(dim=-1, keepdim=True) / steps
    return torch.where(scales == 0, torch.finfo(activations.dtype).eps, scales)


def static_scale(largest: float, kind: ActivationKind = "int8") -> Tensor:
    """The scale, float32 [1], for activations whose magnitude was never seen above `largest`."""
    steps = _INT8_STEPS if kind == "int8" else torch.finfo(_FLOATS[kind]).max
    return torch.tensor([largest / steps if largest > 0 else torch.finfo(torch.float32).eps])

"""What a model is quantized with: the arithmetic, and the tokens of the calibration text."""

from __future__ import annotations

import torch
from torch import Tensor

from core.calibration.windows import windows_for
from core.models.card import ModelCard
from core.models.source import ModelSource
from core.models.stream.arithmetic import arithmetic, looking_arithmetic
from core.quantize.methods import METHODS
from core.quantize.spec import QuantizeSpec


def calibration_arithmetic(spec: QuantizeSpec, card: ModelCard, device: str) -> torch.dtype:
    """As `looking_arithmetic` for a method that only looks at inputs; float32 for one that needs it."""
    if METHODS[spec.method].full_precision:
        return torch.float32
    looks_only = spec.calibrates and METHODS[spec.method].looks_only
    return looking_arithmetic(card, device) if looks_only else arithmetic(card, device)


def calibration_windows_of(spec: QuantizeSpec, source: ModelSource) -> tuple[Tensor, str]:
    """Calibration tokens int64 [N, T] and where they are from."""
    return windows_for(source, spec.calibration, spec.calibration_samples, spec.calibration_length, spec.seed)

"""Quantization-aware training."""

from __future__ import annotations

from core.measure.estimates import FitLine
from core.models.card import ModelCard
from core.quantize.methods.base import GRID, Method
from core.quantize.plan.request import Request
from core.training.memory import rows_at_once, training_bytes

EXTRA_BYTES = 4 + 2
"""Bytes of a trained weight besides those of any training: what it is rounded to, and the original."""


class _Qat(Method):
    def memory(self, request: Request, card: ModelCard) -> tuple[FitLine, ...]:
        trained = sum(linear.out_features * linear.in_features * linear.count for linear in card.linears)
        tokens = rows_at_once(request.calibration_length, card.vocabulary) * request.calibration_length
        other, blocks = max(card.parameters - trained, 0), max(card.layers, 1)
        needed = training_bytes(trained, other, card.hidden_size, blocks, card.vocabulary, tokens, extra=EXTRA_BYTES)
        return (FitLine("training", needed, "the whole model with gradients, Adam's moments and activations"),)

    def extra_steps(self, request: Request, linears: int) -> int:
        return request.train_steps


QAT = _Qat(
    name="qat",
    summary="trains through the rounding for a few hundred steps",
    solver="core.quantize.whole.qat:SOLVER",
    example="--method qat --bits 4 --granularity channel",
    fields=(*GRID, "train_steps", "learning_rate"),
    holds_model=True,
    # Every step wants text that no step before it saw.
    defaults={"clipping": "mse", "calibration_samples": 1024},
)

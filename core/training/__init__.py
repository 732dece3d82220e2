"""One small trainer, resumable, for distillation, quantization-aware training and the bundled models."""

from core.training.schedule import warmup_stable_decay
from core.training.trainer import Settings, Trainer

__all__ = ["Settings", "Trainer", "warmup_stable_decay"]

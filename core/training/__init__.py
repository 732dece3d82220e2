"""One small trainer, resumable, for distillation, quantization-aware training and the bundled models."""

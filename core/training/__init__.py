"""One trainer, resumable, for distillation, quantization-aware training and the bundled models.

Imports the ground floor alone: models, objectives and blocks come from the caller. Never `core.models`, whose bundled models are trained here.
"""

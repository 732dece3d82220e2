"""One trainer, resumable, for distillation, quantization-aware training and the bundled models.

May import the rooms below it. Never a capability's spec, and never a model of its own: objectives come from the caller.
"""

"""The fields of a quantization in groups, as the form and the command line's help show them."""

from __future__ import annotations

SECTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("method", ("model", "method", "level", "imatrix", "format")),
    ("grid", ("bits", "granularity", "group_size", "symmetric", "clipping", "fp8_format", "double_quant")),
    ("budget", ("budget", "max_kl", "widths")),
    ("activations", ("activation_bits", "activation_scales", "alpha")),
    (
        "solver",
        ("act_order", "static_groups", "damp", "train_steps", "learning_rate", "codebooks", "codebook_bits", "codebook_vector", "codebook_rows"),
    ),
    ("calibration", ("calibration", "calibration_samples", "calibration_length")),
    ("evaluation", ("text", "context", "eval_tokens")),
    ("output", ("out", "device", "seed")),
)
"""(title, fields); no field is in two."""

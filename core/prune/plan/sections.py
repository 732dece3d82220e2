"""The fields of a pruning in groups, as the form and the command line's help show them."""

from __future__ import annotations

SECTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("method", ("model", "method", "sparsity", "keep", "remove", "criterion")),
    ("layers", ("allocation", "owl_threshold", "owl_range", "atp_step", "scope", "within_block")),
    ("solver", ("swaps", "refit", "damp", "alps_steps")),
    ("structure", ("heads", "compensation", "multiple_of")),
    ("recovery", ("recover_steps", "recover_rate", "recover_tokens")),
    ("calibration", ("calibration", "calibration_samples", "calibration_length")),
    ("evaluation", ("text", "context", "eval_tokens", "speed_tokens")),
    ("output", ("out", "device", "seed")),
)
"""(title, fields); no field is in two."""

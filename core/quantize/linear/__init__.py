"""One weight at a time: rounding, scales, clipping, codebooks, and how the result is stored.

May import `numerics`, `calibration`, `formats`, `core.runs.steps` and faces. Never the walk over a model.
"""

"""One weight at a time, pure tensors: rounding, scales, clipping, codebooks.

May import `numerics`, `calibration` and faces. Never files, and never the walk over a model.
"""

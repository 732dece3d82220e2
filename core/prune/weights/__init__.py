"""One weight at a time: which of its elements become zero, and what those that are left become.

May import `numerics` and `calibration`. Never the walk over a model, nor files.
"""

"""Checkpoints on disk: one class per format, with compress and decompress, opened by registry.

May import `models` and `numerics`. Never decides what to quantize, and never runs a model.
"""

"""8-bit floats: codec, tensor, linear, and which GPUs multiply them directly.

May import the grids and activations of `core.numerics`. Never a file layout: how FP8 is stored belongs in `core.formats`.
"""

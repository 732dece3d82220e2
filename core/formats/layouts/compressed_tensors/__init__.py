"""compressed-tensors: packed integers, 8-bit floats, mixed widths, config groups.

May import `core.formats` and `core.numerics`. Never the package compressed-tensors, which only tests compare with.
"""

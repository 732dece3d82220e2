"""How the linears of each quantization method are stored: one file per format.

May import `core.formats` and `core.numerics`. Never a solver: a layout stores what was quantized elsewhere.
"""

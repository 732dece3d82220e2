"""Number formats: grids, 8-bit floats, quantized tensors, low-bit linears, error measures.

The lowest floor: imports torch and itself, never a model, a file or a run.
"""

"""The forward pass of Llama-like decoders in few operations: bound steps, CUDA graphs, torch.compile.

May import `core.runtime` and `core.numerics`. Never a family by its name in code: a family is a row in `families`.
"""

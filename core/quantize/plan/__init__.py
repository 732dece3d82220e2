"""What methods are described with: the part of a request that they look at, integer grids, GGUF levels, shapes of codebooks, the form's sections.

May import `core.models` and `core.formats`' data. Never a method or the spec, which stand above it, and never tensors.
"""

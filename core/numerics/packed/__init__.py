"""Codes of few bits in dense words and bytes, and linears that multiply them packed.

May import `core.numerics` and its `fp8`. Never the names of a checkpoint's tensors: those belong in `core.formats`.
"""

"""Before the run: sizes, levels, names, memory and the facts of each method.

May import the spec, `core.models` and `core.formats`' data. Never tensors: forms and the command line read it.
"""

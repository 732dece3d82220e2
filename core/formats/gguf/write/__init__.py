"""From a model folder to a GGUF file, tensor by tensor, and importance matrices.

May import `core.formats.gguf`, `writing` and `core.models`. Never holds a whole model in memory.
"""

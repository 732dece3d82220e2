"""From a GGUF file to tensors, a configuration and a tokenizer for transformers.

May import `core.formats.gguf`, `core.models` and `write`, whose layouts it undoes. Never trusts a position before it was checked.
"""

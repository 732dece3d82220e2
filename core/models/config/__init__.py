"""One reading of every spelling of `config.json`: sizes, attention kinds, families, quantization.

May import `disk`. Never weights, and never transformers: its defaults are read from its source text.
"""

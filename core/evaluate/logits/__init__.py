"""Where logits come from (memory, streamed blocks, llama.cpp) and the figures of single tokens.

May import `core.models` and `core.formats`. Never keeps the logits of a text: rows become figures in one pass.
"""

"""Models on this machine: resolve a name, read the card, find blocks and linears, load.

May import `text`, `numerics` and the rooms below. Never quantized layouts: a checkpoint's format belongs in `core.formats`.
"""

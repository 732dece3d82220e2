"""A model of which only the blocks at work are in memory.

May import `core.models`, `core.numerics` and transformers. Never a method: what happens to a block belongs in `calibration` or a capability.
"""

"""Before a run: what methods look at, and estimates.

May import shared rooms without tensors. Never `pipeline`, `weights` or `structure`.
"""

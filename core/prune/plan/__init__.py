"""Before a run: what methods look at, and estimates. Imports no torch.

May import shared rooms without tensors. Never `pipeline`, `weights` or `structure`.
"""

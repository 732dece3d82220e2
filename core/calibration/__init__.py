"""A model walked block by block with captured inputs: statistics, norm groups, the Cholesky factor.

May import `models` and `numerics`. Never a method: what is done with the statistics belongs to a capability.
"""

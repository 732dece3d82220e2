"""What schemes keep keys and values in: rings, grids, attention mass, rotary positions.

May import `catalog`, `paging`, `runtime` and `numerics`. Never one scheme's rule.
"""

"""One row of the comparison: quality through a cache, speed, retrieval, bytes.

May import `catalog`, `storage`, `evaluate` and `runtime`. Never the internals of one scheme.
"""

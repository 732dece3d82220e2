"""The caches that the decode loop itself needs: dynamic, static, stacked.

May import `core.runtime.cache`. Never a lossy scheme: those belong in `core.kvcache.schemes`.
"""

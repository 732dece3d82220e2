"""One scheme per file: a `core.runtime.cache.KvLayer` built from a `core.kvcache.storage.build.LayerContext`.

May import `storage`, `catalog`, `paging`, `runtime` and `numerics`. A scheme never imports another scheme, but for a base they share.
"""

"""One scheme a file: a `core.runtime.cache.KvLayer` that is built from a `core.kvcache.storage.build.LayerContext`."""

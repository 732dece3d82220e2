"""The experiment `llmopt kv-cache-pages`: sequences decoded on one block pool while the pages are watched.

May import `core.paging`, `core.runtime` and `catalog`. Never the run of another experiment.
"""

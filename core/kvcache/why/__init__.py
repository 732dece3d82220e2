"""The experiment `llmopt kv-cache-why`: the same tokens generated with a cache and without one.

May import the parts of `core.kvcache`. Never the run of another experiment.
"""

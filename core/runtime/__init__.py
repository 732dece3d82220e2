"""Decode loops over any transformers causal LM: prefill, caches, sampling, stopping.

May import `models` and `numerics`. Never a cache scheme, a drafter or a server: those implement or call its interfaces.
"""

"""Perplexity, KL divergence and top-1 agreement, each with its standard error and its stated convention.

Imports models, formats and the ground floor. Never a capability, which calls it.
"""

"""Decode loops over a model that is in memory."""

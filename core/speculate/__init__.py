"""Speculative decoding: draft cheaply, verify exactly, measure what it brings."""

"""Quantization: make the weights smaller, measure what it cost."""

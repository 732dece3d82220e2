"""The Quantize tab."""

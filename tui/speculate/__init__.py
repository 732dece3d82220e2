"""The Speculative tab."""

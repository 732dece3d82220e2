"""Models: resolve a name, read its card, find its parts, stream its blocks."""

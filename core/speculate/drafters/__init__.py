"""Ways to draft, one a file."""

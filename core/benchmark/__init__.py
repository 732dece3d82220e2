"""Load on a server of language models, and what was measured."""

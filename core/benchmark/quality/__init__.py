"""How good the answers of a server are: perplexity, divergence, questions with choices.

May import `server`, `workload` and `core.formats`. Never a figure that the server did not report.
"""

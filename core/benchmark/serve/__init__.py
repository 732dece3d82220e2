"""The experiment `llmopt serve`: a server as a run, stopped by cancelling it.

May import `server`. Never a load.
"""

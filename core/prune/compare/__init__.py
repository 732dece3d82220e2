"""The experiment `llmopt prune-compare`: one model pruned in several ways, side by side.

May import the faces and parts of `core.prune`. Never its run.
"""

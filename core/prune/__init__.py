"""The experiment `llmopt prune`: remove weights, channels, heads, hidden width or layers, measure the quality loss and the speed.

May import the shared rooms up to `core.runs`. Never another capability; what two need moves down.
"""

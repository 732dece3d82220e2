"""The experiment `llmopt quantize`: make the weights smaller, measure the quality loss.

May import the shared rooms up to `core.runs`. Never another capability; what two need moves down.
"""

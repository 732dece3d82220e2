"""The experiment `llmopt kv-cache`: cache and eviction schemes behind one interface, side by side.

May import the shared rooms up to `core.runs`. Never another capability; what two need moves down.
"""

"""The experiment `llmopt speculate`: draft cheaply, verify exactly, measure the speed-up.

May import the shared rooms up to `core.runs`. Never another capability; what two need moves down.
"""

"""The experiment `llmopt distill`: a student learns what a teacher predicts, and the gain is measured.

May import the shared rooms up to `core.runs`. Never another capability; what two need moves down.
"""

"""The experiment `llmopt verify`: look at a checkpoint's tensors, then let the model predict text.

May import `core.formats.verify` and `core.evaluate`. Never the spec of the run that made the checkpoint.
"""

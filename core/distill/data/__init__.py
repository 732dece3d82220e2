"""The experiment `llmopt distill-data`: a teacher answers prompts, and answers worth learning from become a training file.

May import the shared rooms up to `core.runs`. Never the rest of `core.distill`, and never another capability.
"""

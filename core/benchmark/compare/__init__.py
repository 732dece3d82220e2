"""The experiment `llmopt benchmark-compare`: the same load on several engines and formats.

May import the parts of `core.benchmark`. Never a quantization: formats are made by runs of their own.
"""

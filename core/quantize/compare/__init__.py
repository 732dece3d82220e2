"""The experiment `llmopt quantize-compare`: one model quantized in several ways, side by side.

May import the parts of `core.quantize`. Never the run of another experiment.
"""

"""The experiment `llmopt benchmark-machine`: matrix products, bandwidth, the roofline of a model.

May import `core.numerics` and `core.hardware`. Never a server.
"""

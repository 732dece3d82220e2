"""One student trained in several ways and compared: what a teacher adds to the text alone, and which loss adds most.

May import the rooms of `core.distill` and below. Never another capability.
"""

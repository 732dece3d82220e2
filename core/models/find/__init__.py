"""Which models are on this machine: folders, the Hugging Face cache, the bundled ones.

May import `config`, `disk` and the card. Never loads weights and never asks the network.
"""

"""Ways to draft, one per file.

May import `core.runtime` and `core.models`. Never the verification, which treats all drafters alike.
"""

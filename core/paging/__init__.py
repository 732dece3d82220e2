"""The pages of a KV cache: block pool, prefix index, page store, slots.

May import the ground floor. Never a scheduler or a live view: those call it.
"""

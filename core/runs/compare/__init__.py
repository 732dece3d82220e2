"""Two or more runs next to each other: what was requested differently, what was measured differently.

May import `core.runs` and `state`. Never a capability: one that keeps single values compares them itself, by registry.
"""

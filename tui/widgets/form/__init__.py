"""Forms made from a spec, and the pickers they open.

May import `core.spec` and the other widgets. Never one capability's fields: those come from its spec.
"""

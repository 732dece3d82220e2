"""How many streams the load generator itself can follow on this machine.

May import `client` and `core.measure`. Never a model server: the counterpart sends at known times.
"""

"""Will it fit, and which format and engine to use: estimates by formula, rules as data.

May import `core.models`, `core.formats` and the probe of this machine. Never starts or measures anything.
"""

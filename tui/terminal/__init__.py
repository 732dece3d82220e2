"""What this terminal can do, its driver and its colours.

Imports textual and the standard library. Never a widget or a run; `ssh` decides before textual is imported.
"""

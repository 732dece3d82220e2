"""The Runs screen: all runs of this home, one followed, two compared.

May import `core.runs` and the shared rooms of `tui`. Never a tab, and never one capability's result.
"""

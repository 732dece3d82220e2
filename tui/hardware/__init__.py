"""The Hardware tab: what the machine does now, and what would fit on it.

May import `core.hardware` and the shared rooms of `tui`. Never another tab.
"""

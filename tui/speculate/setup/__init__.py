"""The form of a speculative run, and what is predicted for it.

May import its capability's faces, `tui.experiment` and `tui.widgets`. Never another tab.
"""

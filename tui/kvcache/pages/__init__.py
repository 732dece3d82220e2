"""The blocks of a paged cache, decoded or simulated.

May import its capability's faces, `tui.experiment` and `tui.widgets`. Never another tab.
"""

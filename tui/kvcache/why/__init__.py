"""Generation with and without a cache.

May import its capability's faces, `tui.experiment` and `tui.widgets`. Never another tab.
"""

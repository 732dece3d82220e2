"""A speculative run in progress: the text, with what became of each drafted token.

May import its capability's faces, `tui.experiment` and `tui.widgets`. Never another tab.
"""

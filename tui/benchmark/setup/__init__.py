"""The forms of a load, a comparison and a server, and what each will do.

May import its capability's faces, `tui.experiment` and `tui.widgets`. Never another tab.
"""

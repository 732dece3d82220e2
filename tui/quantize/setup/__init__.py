"""The form of a quantization, the fit check below it, and the tables it opens.

May import its capability's faces, `tui.experiment` and `tui.widgets`. Never another tab.
"""

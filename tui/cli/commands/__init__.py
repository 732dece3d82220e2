"""One module per command whose options are more than a spec.

May import `core`, `printing` and `tui.cli`. Never a screen; imported only when its command is called.
"""

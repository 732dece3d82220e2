"""What the tabs that make a model smaller share: their finished runs in a table, the checkpoint of one, errors and maps of its linears.

May import `core.evaluate.verify`, `tui.experiment` and `tui.widgets`. Never one way to make it smaller.
"""

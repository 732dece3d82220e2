"""Size against quality over all runs of a model.

May import `core.runs.pareto`, `tui.experiment` and `tui.widgets`. Never one capability, nor a tab.
"""

"""One target from admission to its figures: server, warm-up, levels, pauses, live figures, an early end.

May import all other parts. Never the report, a run or a check.
"""

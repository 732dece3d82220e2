"""One load carried out: warm-up, levels, pauses, live figures, an early end.

May import `client`, `server`, `workload`, `metrics` and `analysis`. Never the report.
"""

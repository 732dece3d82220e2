"""From outcomes to figures and verdicts: measured window, sweep, knee, thresholds, noise.

May import `client`'s outcomes, `metrics` and `core.measure`. Never the network and never a file.
"""

"""Cache schemes as data: settings, bytes by formula, refusals, what fits a machine.

May import `core.models` and `core.hardware`. Never a tensor: building a cache belongs in `storage`.
"""

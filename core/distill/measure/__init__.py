"""What a distillation gained: held-out divergence while it trains, the gap closed, and where the student still differs.

May import `events` and shared rooms. Never the run or the check.
"""

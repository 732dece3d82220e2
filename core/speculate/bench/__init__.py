"""Plain against speculative decoding of the same prompts, in turns: loop, counts, target, prompts.

May import `drafters`, `runtime` and `evaluate`. Never one drafter's rule.
"""

"""What a student learns besides predictions: hidden states of its teacher's blocks, or relations between tokens.

May import `core.training` and `core.models`. Never the run, the check or the student's life cycle.
"""

"""What to send and when: prompts, lengths, arrivals, one schedule for all workers.

Imports the ground floor and numpy. Never sends anything.
"""

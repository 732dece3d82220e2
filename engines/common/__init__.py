"""What OpenAI-compatible servers share: flags, probing, short requests, scoring.

May import `core`. Never one engine by name.
"""

"""The Hardware tab: what the machine does now, and what would fit on it."""

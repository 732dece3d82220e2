"""What the user touches: the Textual app `llmopt-tui` and its headless twin `llmopt`.

May import `core` and `engines`. Never computes a figure: it asks `core`, and draws typed results.
"""

"""What a person touches: the Textual app `llmopt-tui` and the headless twin `llmopt`."""

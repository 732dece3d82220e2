"""llmopt core: real implementations; knows no screen and no engine."""

__version__ = "0.1.0"

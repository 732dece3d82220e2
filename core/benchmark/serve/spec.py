"""What can be asked of `llmopt serve`: what every engine is started with."""

from core.engine import ServeSpec

__all__ = ["ServeSpec"]

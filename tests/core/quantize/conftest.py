"""The context of a run, as every capability's tests have it."""

from tests.core.conftest import RecordingContext

__all__ = ["RecordingContext"]

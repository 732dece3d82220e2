"""Quiet transformers for these tests."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def quiet_transformers() -> None:
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()

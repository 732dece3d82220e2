from __future__ import annotations

import pytest
from hypothesis import settings

from core.runs import registry
from core.runs.launch.launch import LocalLauncher
from tests.core.runs import tick


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.CAPABILITIES, "tick", tick.CAPABILITY)


@pytest.fixture
def launcher() -> LocalLauncher:
    return tick.launcher()


# A busy machine is slow now and then, which is no property of the code.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

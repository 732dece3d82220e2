"""Models of every family, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.core.formats.gguf.models import FAMILIES, make_model


@pytest.fixture(scope="session")
def family_dirs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Model type -> folder."""
    root = tmp_path_factory.mktemp("gguf-models")
    return {name: make_model(root / name, name) for name in FAMILIES}

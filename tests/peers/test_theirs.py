"""Checkpoints that other projects make here and now: read to equal logits, and verified without a complaint."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

from core import text
from core.calibration.windows import calibration_windows
from core.evaluate.encoding import encode
from core.formats.opening import open_whole
from core.formats.verify.checks import CheckBook
from core.formats.verify.verify import look_at_folder
from core.models.resolve import resolve
from core.models.source import require_folder
from core.models.stream.streaming import load_tokenizer
from tests.benchmarks.formats.cross_loading import THEIRS, Pair, checkpoint
from tests.peers import environments as peers

pytestmark = pytest.mark.engines


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled model away from its package, which peers may write beside."""
    folder = tmp_path_factory.mktemp("models") / "base"
    shutil.copytree(require_folder(resolve("bundled:base")), folder)
    return folder


@pytest.fixture(scope="module")
def calibration(model: Path) -> Tensor:
    return calibration_windows(text.load("builtin", split="train"), load_tokenizer(model), 8, 128, 0)


@pytest.mark.parametrize("pair", [pytest.param(pair, id=pair.title) for pair in THEIRS])
def test_a_checkpoint_of_another_project(pair: Pair, model: Path, calibration: Tensor, tmp_path: Path) -> None:
    loads_there = pair.made_by != "autoround" or pair.settings["format"] == "auto_round"
    reader = pair.made_by if loads_there else "gptqmodel"
    if peers.missing([pair.made_by, reader]):
        pytest.skip(f"{peers.variable(pair.made_by)} or {peers.variable(reader)} names no Python")
    folder = checkpoint(pair, model, calibration, tmp_path)
    windows = encode(text.load("builtin"), load_tokenizer(model), 128).tokens.view(1, 128)
    theirs = peers.logits(reader, folder, windows)
    with torch.no_grad():
        ours = torch.log_softmax(open_whole(folder, torch.float32)(windows).logits.float(), dim=-1)
    divergence = (ours.exp() * (ours - theirs)).sum(-1).mean()
    assert float(divergence) < 1e-3

    if not any(folder.glob("tokenizer*")):
        for file in model.glob("tokenizer*"):
            shutil.copy(file, folder)
    book = CheckBook()
    look_at_folder(folder, book, lambda name: None)
    assert [(result.id, result.found) for result in book.results() if result.status == "fail"] == []

"""A changed model measured next to the original: the figures are those of the plain measures, whatever changed the model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from core.evaluate.compared import Evaluation
from core.evaluate.logits.sources import ModelLogits
from core.models.load import load_model
from core.models.resolve import resolve
from core.models.stream.streaming import StreamedModel
from tests.core.evaluate.measure import divergence


def test_the_figures_are_those_of_the_two_models_in_memory(tiny_llama_dir: Path, noisy_llama_dir: Path, novel: Path) -> None:
    source = resolve(str(tiny_llama_dir))
    evaluation = Evaluation.prepare(source, str(novel), tokens=512, context=64)
    labels: list[str] = []
    with (
        StreamedModel.open(source, torch.float32, "cpu") as original,
        StreamedModel.open(resolve(str(noisy_llama_dir)), torch.float32, "cpu") as noisy,
    ):
        measured = evaluation.measure(original, {"noisy": noisy, "same": original}, labels.append)
        expected = evaluation.steps(3, original.n_blocks)
    reference, changed = (ModelLogits(load_model(folder, torch.float32, "cpu")) for folder in (tiny_llama_dir, noisy_llama_dir))
    plain = divergence(reference, changed, evaluation.encoding.tokens, 64)
    found = measured.others["noisy"]
    assert found.kl_mean == pytest.approx(plain.kl_mean, rel=1e-4)
    assert found.ppl == pytest.approx(plain.ppl, rel=1e-4)
    assert found.ppl_ref == pytest.approx(measured.original.ppl)
    assert measured.others["same"].kl_mean == pytest.approx(0, abs=1e-9)
    assert measured.others["same"].ppl_ratio == 1
    assert measured.convention.windows == 8
    assert measured.convention.tokens_scored == 8 * 63
    assert len(labels) == expected

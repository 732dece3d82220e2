"""Several ways to train one student, measured on the same tokens."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.distill.compare.run import run
from core.distill.compare.spec import PROGRAMS, TEXT_ALONE, DistillCompareSpec
from core.distill.events import HeldOut
from core.distill.run import run as run_one
from core.errors import RequestError
from tests.core.conftest import RecordingContext
from tests.core.distill.requests import SMALL

SHARED = {name: value for name, value in SMALL.items() if name in DistillCompareSpec.model_fields}


def spec_for(model: Path, **values: object) -> DistillCompareSpec:
    return DistillCompareSpec.parse({"model": str(model), **SHARED, **values})


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> RecordingContext:
    return RecordingContext(tmp_path_factory.mktemp("artifacts"))


def test_rows_are_those_of_single_runs(tiny_llama_dir: Path, context: RecordingContext, tmp_path: Path) -> None:
    spec = spec_for(tiny_llama_dir)
    result = run(spec, context)
    assert [row.title for row in result.rows] == [variant.title for variant in PROGRAMS]
    single = run_one(spec.of(PROGRAMS[1]), RecordingContext(tmp_path))
    row = result.rows[1]
    assert (row.ppl, row.kl_mean, row.gap_closed) == (single.metrics.ppl_after, single.metrics.kl_mean, single.metrics.gap_closed)
    assert (result.ppl_untrained, result.tokens) == (single.metrics.ppl_untrained, single.metrics.tokens)
    assert result.parameters == single.metrics.parameters_after
    assert not list(context.artifacts.iterdir())


def test_gains_over_text_alone_are_paired_differences(tiny_llama_dir: Path, context: RecordingContext) -> None:
    import math

    result = run(spec_for(tiny_llama_dir), context)
    alone = next(row for row in result.rows if row.title == TEXT_ALONE)
    assert alone.over_text is None
    for row in result.rows:
        if row is not alone:
            assert row.over_text == pytest.approx(math.log(alone.ppl / row.ppl), abs=1e-9)
            assert row.over_text_se is not None
            assert row.over_text_se < row.ln_ppl_ratio_se + alone.ln_ppl_ratio_se


def test_each_training_is_told_under_its_title(tiny_llama_dir: Path, context: RecordingContext) -> None:
    context.details.clear()
    run(spec_for(tiny_llama_dir), context)
    events = [HeldOut.parse(data) for kind, data in context.details if kind == HeldOut.kind]
    assert {event.label for event in events if event} == {variant.title for variant in PROGRAMS}


def test_what_does_not_fit_is_refused(tiny_llama_dir: Path, context: RecordingContext) -> None:
    with pytest.raises(RequestError, match="leaves nothing out"):
        run(spec_for(tiny_llama_dir, layers=2), context)
    with pytest.raises(RequestError, match="exclude each other"):
        spec_for(tiny_llama_dir, student="bundled:draft")

"""One model pruned in several ways."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import Cancelled
from core.prune.compare.run import run
from core.prune.compare.spec import PruneCompareSpec
from core.prune.run import run as prune
from tests.core.conftest import RecordingContext
from tests.core.prune.requests import SMALL, spec_for


def spec_of(model: Path, **values: object) -> PruneCompareSpec:
    return PruneCompareSpec.model_validate({"model": str(model), **SMALL, **values})


def test_each_row_is_what_a_run_of_the_same_request_finds(tiny_llama_dir: Path, context: RecordingContext) -> None:
    result = run(spec_of(tiny_llama_dir), context)
    row = next(row for row in result.rows if row.name == "sparsegpt-2of4")
    alone = prune(spec_for(tiny_llama_dir, method="sparsegpt", keep="2:4"), context)
    assert row.kl_mean == alone.metrics.kl_mean
    assert row.ppl == alone.metrics.ppl_after
    assert row.sparsity == alone.metrics.sparsity
    assert row.bytes == alone.metrics.bytes_after
    assert {"magnitude-s30", "wanda-s50", "sparsegpt-s50", "wanda-2of4"} <= {row.name for row in result.rows}


def test_nothing_stays_on_disk_and_progress_reaches_its_end(tiny_llama_dir: Path, context: RecordingContext) -> None:
    run(spec_of(tiny_llama_dir, speed_tokens=2), context)
    assert list(context.artifacts.iterdir()) == []
    done, totals = [step[0] for step in context.steps], {step[1] for step in context.steps}
    assert totals == {done[-1]}


def test_cancelling_leaves_nothing_behind(tiny_llama_dir: Path, context: RecordingContext) -> None:
    context.cancel_when = lambda context: len(context.steps) > 30
    with pytest.raises(Cancelled):
        run(spec_of(tiny_llama_dir), context)
    assert list(context.artifacts.iterdir()) == []

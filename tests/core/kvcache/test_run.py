from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from core import text
from core.errors import Cancelled, RequestError
from core.evaluate.encoding import encode
from core.evaluate.logits.sources import ModelLogits
from core.evaluate.logits.walk import walk
from core.evaluate.windows import Windows
from core.formats.opening import open_whole, tokenizer_of
from core.kvcache.measure.chart import chart
from core.kvcache.result import COMPARED, KvCacheResult
from core.kvcache.run import run
from core.kvcache.spec import DEFAULT_SCHEMES, KvCacheSpec
from core.models.resolve import resolve
from core.runs.compare.compare import metrics_of
from core.runs.figures import figure
from tests.conftest import TINY_LLAMA
from tests.core.conftest import RecordingContext


def asked(folder: Path, **values: Any) -> KvCacheSpec:
    small = {"windows": 3, "batch": 2, "context": 64, "prompt": 40, "budget": 36, "steps": 4, "repeats": 1, "group": 8, "residual": 8}
    return KvCacheSpec.model_validate({"model": str(folder), "device": "cpu", "threads": 1} | small | values)


@pytest.fixture(scope="module")
def found(tiny_llama_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[KvCacheResult, RecordingContext]:
    context = RecordingContext(tmp_path_factory.mktemp("run"))
    return run(asked(tiny_llama_dir, heads=("all",)), context), context


def test_every_scheme_holds_the_bytes_of_its_formula(found: tuple[KvCacheResult, RecordingContext]) -> None:
    rows = found[0].rows
    assert [row.name for row in rows] == [*DEFAULT_SCHEMES, "mha", "mqa"]
    assert {row.name: row.bytes_held for row in rows} == {row.name: row.bytes_formula for row in rows}
    assert {(row.tokens, row.sequences) for row in rows} == {(63, 2)}
    assert all(row.bytes_on_device == row.bytes_held for row in rows)


def test_lossless_schemes_lose_nothing_and_the_others_are_compared_with_the_full_cache(found: tuple[KvCacheResult, RecordingContext]) -> None:
    rows = {row.name: row for row in found[0].rows}
    for name in ("dynamic", "static", "paged", "mha"):
        assert rows[name].ppl == pytest.approx(rows["dynamic"].ppl, rel=1e-6)
        assert rows[name].top1_agreement == 1
    assert rows["dynamic"].ppl_ratio == 1
    assert rows["dynamic"].kl_mean == 0
    assert rows["dynamic"].tpot_ratio == 1
    assert rows["sliding"].kl_mean > 0  # type: ignore[operator]
    assert rows["mqa"].own_heads is False
    assert rows["mqa"].compression == pytest.approx(2)
    assert rows["int8"].bits_per_value == pytest.approx(8 + 16 / 8)
    assert all(row.seconds > 0 and row.ttft_ms > 0 and row.tpot_ms > 0 for row in found[0].rows)  # type: ignore[operator]


def test_the_result_has_what_the_command_line_promises(found: tuple[KvCacheResult, RecordingContext]) -> None:
    document = json.loads(found[0].model_dump_json())
    assert list(document)[:2] == ["schema", "llmopt_version"]
    promised = {"scheme", "bytes_held", "bytes_per_token", "ppl", "ppl_ratio", "top1_agreement", "ttft_ms", "tpot_ms"}
    assert all(promised <= set(row) for row in document["rows"])
    assert document["evaluation"]["tokens_scored"] == 3 * (64 - 40)
    assert KvCacheResult.model_validate_json(json.dumps(document)).rows == found[0].rows


def test_predictions_that_take_too_much_memory_are_computed_again(
    tiny_llama_dir: Path, found: tuple[KvCacheResult, RecordingContext], context: RecordingContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.kvcache.measure.scheme_bench.KEPT_BYTES", 0)
    again = run(asked(tiny_llama_dir, schemes=("kivi-2", "h2o")), context)
    kept = {row.name: (row.ppl, row.kl_mean, row.top1_agreement) for row in found[0].rows}
    for row in again.rows:
        assert (row.ppl, row.kl_mean, row.top1_agreement) == pytest.approx(kept[row.name], rel=1e-6, abs=1e-9)


def test_runs_are_compared_by_scheme(found: tuple[KvCacheResult, RecordingContext]) -> None:
    measures = metrics_of(json.loads(found[0].model_dump_json()))
    assert measures["kivi-4.ppl"] == next(row.ppl for row in found[0].rows if row.name == "kivi-4")
    assert figure("kivi-4.ppl").title == "kivi-4: perplexity"
    assert figure("kivi-4.bytes_held").better == "lower"
    assert all(name in COMPARED for _, _, name in (measure.rpartition(".") for measure in measures))


def test_notes_say_what_the_figures_are_not(found: tuple[KvCacheResult, RecordingContext]) -> None:
    notes = " ".join(found[0].notes)
    assert "arXiv 2305.13245" in notes
    assert "No needle test" in notes, "the test's tokenizer has no words"
    assert "first 40 tokens" in notes
    assert found[0].needle is None


def test_the_chart_marks_what_nothing_beats(found: tuple[KvCacheResult, RecordingContext]) -> None:
    points = found[0].chart
    assert [point.bytes_per_token for point in points] == sorted(point.bytes_per_token for point in points)
    assert points == chart(found[0].rows)
    front = [point for point in points if point.on_front]
    assert front
    for point in front:
        assert not any(other.bytes_per_token < point.bytes_per_token and other.ppl_ratio < point.ppl_ratio for other in points)
    assert all(point.low <= point.ppl_ratio <= point.high for point in points)


def test_the_live_view_is_told_perplexities_as_they_grow(found: tuple[KvCacheResult, RecordingContext]) -> None:
    result, context = found
    for row in result.rows:
        curve = [(step, value) for name, value, step, label in context.metrics if name == "ppl" and label == row.name]
        assert [step for step, _ in curve] == sorted({step for step, _ in curve})
        assert curve[-1] == (3 * 24, pytest.approx(row.ppl, rel=1e-6)), "two batches of windows, three windows"
    labels = [label for name, _, _, label in context.metrics if name == "bytes_per_token"]
    assert labels == [row.name for row in result.rows]


def test_progress_ends_where_it_said_it_would(found: tuple[KvCacheResult, RecordingContext]) -> None:
    steps = found[1].steps[1:]
    assert len({total for _, total, _ in steps}) == 1
    assert [done for done, _, _ in steps] == sorted(done for done, _, _ in steps)
    assert steps[-1][0] > 0.85 * steps[-1][1]


def test_cancel_is_honoured_wherever_it_comes(tiny_llama_dir: Path, context: RecordingContext) -> None:
    for after in (2, 5):
        context.steps.clear()
        context.cancel_when = lambda seen, after=after: len(seen.steps) > after  # type: ignore[misc]
        with pytest.raises(Cancelled):
            run(asked(tiny_llama_dir, schemes=("static",), windows=1), context)


@pytest.fixture(scope="module")
def sliding_dir(tiny_llama_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import MistralConfig, MistralForCausalLM

    folder = tmp_path_factory.mktemp("models") / "tiny-mistral"
    torch.manual_seed(0)
    MistralForCausalLM(MistralConfig(**TINY_LLAMA, sliding_window=24)).bfloat16().save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny_llama_dir / name, folder / name)
    return folder


def test_a_scheme_that_the_model_cannot_have_is_a_row_with_its_reason(sliding_dir: Path, context: RecordingContext) -> None:
    result = run(asked(sliding_dir, schemes=("static", "h2o"), windows=1, needle=False), context)
    rows = {row.name: row for row in result.rows}
    assert "use a sliding window of 24 tokens" in str(rows["h2o"].refused)
    assert rows["h2o"].ppl is None
    assert rows["static"].refused is None
    assert rows["static"].ppl == pytest.approx(rows["dynamic"].ppl, rel=1e-6)
    assert "h2o" not in result.metrics
    assert any("h2o was skipped" in line for line in context.lines)


def test_windows_of_the_model_itself_are_looked_through_as_in_an_evaluation(sliding_dir: Path, context: RecordingContext) -> None:
    result = run(asked(sliding_dir, schemes=("static", "int8"), windows=2, needle=False), context)
    source = resolve(str(sliding_dir))
    tokens = encode(text.builtin("held-out"), tokenizer_of(source), 2 * 64).tokens.view(2, 64)
    windows = Windows(tokens, torch.arange(2) * 64, torch.full((2,), 40))
    (plain,) = walk([ModelLogits(open_whole(source, torch.float32))], windows)
    assert result.rows[0].ppl == pytest.approx(float(plain.nll.mean().exp()), rel=1e-6)
    assert result.rows[1].ppl == pytest.approx(result.rows[0].ppl, rel=1e-6)


@pytest.fixture(scope="module")
def falcon_dir(tiny_llama_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import FalconConfig, FalconForCausalLM

    folder = tmp_path_factory.mktemp("models") / "tiny-falcon"
    torch.manual_seed(0)
    shape: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 320, "max_position_embeddings": 128}
    FalconForCausalLM(FalconConfig(**shape)).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny_llama_dir / name, folder / name)
    return folder


def test_an_attention_that_does_not_show_its_queries_is_a_row_with_its_reason(falcon_dir: Path, context: RecordingContext) -> None:
    result = run(asked(falcon_dir, schemes=("int8", "sliding", "h2o"), windows=1, needle=False), context)
    rows = {row.name: row for row in result.rows}
    assert "the attention of falcon does not expose" in str(rows["h2o"].refused)
    for name in ("int8", "sliding"):
        assert rows[name].bytes_held == rows[name].bytes_formula
        assert rows[name].path == "module"


def test_a_lone_scheme_that_cannot_be_measured_fails_the_request(sliding_dir: Path, context: RecordingContext) -> None:
    with pytest.raises(RequestError, match="h2o needs attention over the whole text"):
        run(asked(sliding_dir, schemes=("h2o",)), context)


def test_a_text_that_is_short_gives_fewer_windows_and_says_so(tiny_llama_dir: Path, tmp_path: Path, context: RecordingContext) -> None:
    short = tmp_path / "short.txt"
    short.write_text("x = 1\n" * 16)
    result = run(asked(tiny_llama_dir, schemes=("static",), text=str(short), windows=9), context)
    assert result.evaluation.windows == 1
    assert any("1 windows of 64 tokens, fewer than the 9" in note for note in result.notes)
    short.write_text("x")
    with pytest.raises(RequestError, match="one window needs 64"):
        run(asked(tiny_llama_dir, schemes=("static",), text=str(short)), context)

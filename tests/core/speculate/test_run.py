"""A run from its request to its result."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import Cancelled
from core.speculate.bench import speculator as ways
from core.speculate.events import PromptEvent, RoundEvent
from core.speculate.lossless.run import run as judge
from core.speculate.lossless.spec import SpeculateTestSpec
from core.speculate.result import SpeculateResult
from core.speculate.run import run, slowdowns
from core.speculate.spec import SpeculateSpec
from tests.core.conftest import RecordingContext

FEW = {"prompts": 2, "prompt_tokens": 32, "tokens": 20, "repeats": 1, "threads": 1}


@pytest.fixture(scope="module", autouse=True)
def few_timings() -> Iterator[None]:
    """Costs need no precision here."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ways, "TIMED_ROUNDS", 4)
        patched.setattr(ways, "PLAIN_STEPS", 6)
        patched.setattr(ways, "_BLOCKS", 1)
        yield


def of(context: RecordingContext, model: Path | str, **values: Any) -> SpeculateResult:
    return run(SpeculateSpec.parse(FEW | {"model": str(model)} | values), context)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[SpeculateResult, RecordingContext]:
    context = RecordingContext(tmp_path_factory.mktemp("run"))
    return of(context, "bundled:base", gamma=(2, 3), temperature=(0.0, 0.9)), context


def test_every_setting_is_measured_beside_plain_decoding(finished: tuple[SpeculateResult, RecordingContext]) -> None:
    result, _ = finished
    assert [(row.gamma, row.temperature) for row in result.rows] == [(2, 0.0), (2, 0.9), (3, 0.0), (3, 0.9)]
    for row in result.rows:
        assert row.identical is (True if row.temperature == 0 else None)
        assert row.tokens == 40
        assert row.seconds > 0
        assert row.baseline_seconds > 0
        assert row.speedup == pytest.approx(row.tokens_per_second / row.baseline_tokens_per_second)
        assert row.tokens_per_round == pytest.approx((row.tokens - 2) / row.rounds)
        assert row.tokens_per_round == pytest.approx(1 + row.accepted_per_round, abs=2 / row.rounds)
        assert row.target_calls == row.rounds + 2
        assert 0 < (row.alpha or 0) <= 1
        assert row.cost_ratio > 0
        assert row.verification_ratio > 0
        assert len(row.acceptance_by_position) <= row.gamma
    assert result.identical is True
    assert result.speedup == max(row.speedup for row in result.rows)
    assert result.draft == "bundled:draft"
    assert result.draft_parameters == 2229504
    assert SpeculateResult.model_validate(result.model_dump(mode="json")) == result


def test_the_live_view_is_told_texts_and_rounds(finished: tuple[SpeculateResult, RecordingContext]) -> None:
    result, context = finished
    prompts = [found for kind, data in context.details if kind == PromptEvent.kind and (found := PromptEvent.parse(data))]
    rounds = [found for kind, data in context.details if kind == RoundEvent.kind and (found := RoundEvent.parse(data))]  # type: ignore[assignment]
    assert len(prompts) == 2 * len(result.rows)
    assert len(rounds) == sum(row.rounds for row in result.rows)
    for found in rounds:  # type: ignore[assignment]
        assert 1 <= len(found.emitted) <= found.gamma + 1
        assert (found.corrected is None) != (found.bonus is None) or found.ended
        assert (found.rejected is not None) == (found.corrected is not None)
    assert context.steps[-1][:2] == (8, 8)


def test_greedy_texts_are_told_as_they_are(finished: tuple[SpeculateResult, RecordingContext]) -> None:
    """Two gammas give the same greedy text, round for round put together."""
    _, context = finished
    texts: dict[int, str] = {}
    for kind, data in context.details:
        if data["temperature"] == 0 and data["prompt"] == 0:
            found = RoundEvent.parse(data) if kind == RoundEvent.kind else None
            texts[data["gamma"]] = texts.get(data["gamma"], "") + ("".join(found.emitted) if found else data["first"])
    assert texts[2] == texts[3]


@pytest.mark.parametrize(
    "values", [{"drafter": "lookup", "task": "edit"}, {"drafter": "layers", "keep_layers": 1}, {"batch": 2}, {"repetition_penalty": 1.2, "top_k": 50}]
)
def test_every_drafter_leaves_greedy_texts_alone(context: RecordingContext, tiny_llama_dir: Path, values: dict[str, Any]) -> None:
    result = of(context, tiny_llama_dir, **({"draft": str(tiny_llama_dir)} | values))
    assert result.identical is True
    assert result.lossless


def test_own_words_may_be_longer_than_prompts_of_the_text(context: RecordingContext, tiny_llama_dir: Path) -> None:
    result = of(context, tiny_llama_dir, drafter="lookup", prompt="import sys\n" * 6, prompt_tokens=8)
    assert (result.prompts, result.corpus) == (1, "a prompt of your own")


def test_slowdowns_are_said_plainly(context: RecordingContext, tiny_llama_dir: Path) -> None:
    result = of(context, tiny_llama_dir, draft=str(tiny_llama_dir), gamma=(2,))
    row = result.rows[0].model_copy(update={"speedup": 0.5, "first_difference": "prompt 0, token 3"})
    sentences = list(slowdowns([row]))
    assert "slowdown: 0.50 times plain decoding" in sentences[0]
    assert "diverges" in sentences[1]
    assert result.rows[0].alpha == 1.0
    assert any("even with every draft accepted" in warning for warning in result.warnings)


def test_a_run_can_be_cancelled(context: RecordingContext, tiny_llama_dir: Path) -> None:
    context.cancel_when = lambda told: len(told.details) > 0
    with pytest.raises(Cancelled):
        of(context, tiny_llama_dir, drafter="lookup")


@pytest.mark.parametrize("drafter", ["model", "lookup", "layers"])
def test_the_test_of_losslessness_passes(context: RecordingContext, tiny_llama_dir: Path, drafter: str) -> None:
    few = {"draws": 5000, "model_draws": 600, "prompts": 2, "prompt_tokens": 24, "tokens": 16, "threads": 1}
    models = {"model": str(tiny_llama_dir)} | ({"draft": str(tiny_llama_dir)} if drafter == "model" else {})
    spec = SpeculateTestSpec.parse(few | models | {"drafter": drafter})
    result = judge(spec, context)
    assert result.lossless
    assert result.exit_code == 0
    assert result.greedy is not None
    assert result.greedy.identical == 2
    assert [found.name for found in result.comparisons][-1] == "model"
    assert len(result.comparisons) == 2 * 6 + 1
    assert result.total_variation <= result.total_variation_bound

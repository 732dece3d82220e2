"""`llmopt speculate-simulate`: what is printed, and what a finished run feeds it."""

from __future__ import annotations

import pytest

from core.runs.state import store
from core.runs.state.files import write_json
from core.runs.state.store import Run
from core.speculate.result import SpeculateResult, SpeculateRow
from core.speculate.spec import SpeculateSpec
from tests.tui.cli.conftest import Llmopt

ROW = SpeculateRow(
    gamma=4,
    temperature=0.0,
    alpha=0.7,
    acceptance_by_position=(0.8, 0.7, 0.6, 0.5),
    judged_by_position=(100, 80, 56, 34),
    accepted_per_round=1.864,
    tokens_per_round=2.86,
    drafted_share=1.0,
    drafted_per_round=4.0,
    cost_ratio=0.2,
    verification_ratio=1.2,
    predicted_speedup=1.4,
    speedup=1.35,
    speedup_range=(1.3, 1.4),
    tokens=100,
    rounds=36,
    target_calls=40,
    draft_calls=144,
    seconds=1.0,
    baseline_seconds=1.35,
    tokens_per_second=100.0,
    baseline_tokens_per_second=74.0,
    identical=True,
)


@pytest.fixture
def finished() -> Run:
    run = store.create(SpeculateSpec(model="bundled:base"))
    rows = (ROW, ROW.model_copy(update={"gamma": 2, "speedup": 1.2}))
    result = SpeculateResult(
        model="bundled:base",
        drafter="model",
        draft="bundled:draft",
        acceptance="exact",
        lossless=True,
        **ROW.model_dump(
            include={
                *("speedup", "predicted_speedup", "alpha", "cost_ratio", "verification_ratio", "gamma", "temperature", "tokens_per_round"),
                *("tokens_per_second", "baseline_tokens_per_second", "identical", "seconds"),
            }
        ),
        rows=rows,
        task="continue",
        corpus="c",
        sha256="0",
        prompts=1,
        prompt_tokens=1,
        new_tokens=1,
        batch=1,
        parameters=2,
        draft_parameters=1,
        dtype="float32",
        device="cpu",
        threads=1,
        peak_rss_bytes=1,
    )
    write_json(run.path / "result.json", result.model_dump(mode="json") | {"run": run.id, "artifacts": []})
    run.save_state(run.state.model_copy(update={"status": "done"}))
    return run


def test_a_slowdown_is_said_in_words(llmopt: Llmopt) -> None:
    out = llmopt("speculate-simulate", "--alpha", "0.5", "--gamma", "5", "--cost-ratio", "0.3").out
    assert "a simulation, not a measurement" in out
    assert "would be a slowdown, 0.79 times" in " ".join(out.split())
    assert "vllm serve MODEL --speculative-config" in out


def test_the_document_holds_the_whole_table(llmopt: Llmopt) -> None:
    document = llmopt("speculate-simulate", "--alpha", "0.8", "--gamma", "5", "--cost-ratio", "0.05", "--json").document
    assert document["schema"] == "llmopt.speculate-simulate/1"
    assert document["simulation"] is True
    assert document["speedup"] == pytest.approx(2.95, abs=0.005)
    assert document["slowdown"] is False
    assert len(document["table"]) == 80
    assert {answer["engine"] for answer in document["advice"]} == {"vLLM", "SGLang", "llama.cpp", "TensorRT-LLM"}


def test_a_scenario_gives_alpha_and_gamma_and_what_is_said_counts_first(llmopt: Llmopt) -> None:
    document = llmopt("speculate-simulate", "--scenario", "translation", "--json").document
    assert (document["alpha"], document["gamma"]) == (0.80, 7)
    document = llmopt("speculate-simulate", "--scenario", "translation", "--gamma", "3", "--json").document
    assert (document["alpha"], document["gamma"]) == (0.80, 3)


def test_a_batch_needs_to_know_the_machine(llmopt: Llmopt) -> None:
    answer = llmopt("speculate-simulate", "--batch", "8")
    assert answer.code == 2
    assert "--ridge" in answer.err
    alone = llmopt("speculate-simulate", "--ridge", "295", "--json").document
    together = llmopt("speculate-simulate", "--ridge", "295", "--batch", "64", "--json").document
    assert together["speedup"] < alone["speedup"]


def test_a_run_feeds_what_it_measured(llmopt: Llmopt, finished: Run) -> None:
    document = llmopt("speculate-simulate", "--run", "last", "--json").document
    assert document["gamma"] == 4
    expected = (1 + 0.8 + 0.56 + 0.336 + 0.168) / (4 * 0.2 + 1.2)
    assert document["speedup"] == pytest.approx(expected)
    assert [row["gamma"] for row in document["measured"]] == [4, 2]
    assert document["measured"][0]["within_15_percent"] is True
    assert any("bundled/draft" in (answer["command"] or "") for answer in document["advice"])
    out = llmopt("speculate-simulate", "--run", finished.id).out
    assert "from measured acceptance and costs" in out
    assert "predicted" in out
    other = llmopt("speculate-simulate", "--run", finished.id, "--gamma", "3", "--json").document
    assert (other["gamma"], other["expected_tokens"]) == (3, pytest.approx(1 + 0.8 + 0.56 + 0.336))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--alpha", "1.5"), "probability"),
        (("--gamma", "0"), "gamma"),
        (("--cost-ratio", "-1"), "cost ratio"),
        (("--scenario", "poetry"), "code-completion"),
        (("--run", "nothing"), "runs list"),
        (("--ridge", "0"), "ridge"),
        (("--verification", "0"), "verification"),
    ],
)
def test_what_cannot_be_is_refused(llmopt: Llmopt, arguments: tuple[str, ...], said: str) -> None:
    answer = llmopt("speculate-simulate", *arguments)
    assert answer.code == 2
    assert said in answer.err


def test_another_run_is_refused(llmopt: Llmopt, finished: Run) -> None:
    (finished.path / "result.json").write_text("{}")
    answer = llmopt("speculate-simulate", "--run", "last")
    assert answer.code == 2
    assert "no result" in answer.err
    (finished.path / "result.json").write_text('{"rows": 3}')
    assert "cannot be read" in llmopt("speculate-simulate", "--run", "last").err

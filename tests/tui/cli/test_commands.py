"""Each command on a machine like this one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from core.hardware.snapshot import CpuState, GpuMemory, GpuState, MemoryState, ProcessState, Snapshot
from core.quantize.methods import METHODS
from core.quantize.spec import QuantizeSpec
from core.runs.registry import spec_class
from core.runs.state import store
from core.runs.state.files import write_json
from core.runs.state.store import Run
from tests.core.runs.tick import TickSpec
from tests.tui.cli.conftest import Llmopt
from tui.cli.commands.hardware import print_snapshot
from tui.cli.help.quantize import EXAMPLES, quantizing
from tui.cli.options import build_spec, command_line, without_effect
from tui.cli.printing.output import columns, table


@pytest.fixture
def finished() -> Callable[..., Run]:
    def make(metrics: dict[str, float], **asked: object) -> Run:
        run = store.create(TickSpec.model_validate({"model": "bundled:base"} | asked))
        write_json(
            run.path / "result.json", {"metrics": metrics, "evaluation": {"corpus": "c", "context": 512}, "rows": [{"scheme": "a", "ppl": 2.0}]}
        )
        run.save_state(run.state.model_copy(update={"status": "done", "started": run.state.created, "ended": run.state.created + 75}))
        return run

    return make


def test_runs_are_listed_newest_first_within_80_columns(llmopt: Llmopt, finished: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    runs = [finished({"ppl_ratio": 1.0123}, model="bundled:base" * (1 + 9 * index)) for index in range(3)]
    lines = llmopt("runs", "list").out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [run.id for run in runs[::-1]]
    assert all(columns(line) <= 80 for line in lines)
    assert "1 min" in lines[-1]
    assert lines[-1].endswith("ppl x1.012")
    listed = llmopt("runs", "list", "--json", "--limit", "2").document["runs"]
    assert isinstance(listed, list)
    assert [row["run"] for row in listed] == [run.id for run in runs[:0:-1]]
    assert listed[0]["metrics"] == {"ppl_ratio": 1.0123}
    assert llmopt("runs", "list", "--status", "failed", "--json").document["runs"] == []


def test_no_runs_is_no_error(llmopt: Llmopt) -> None:
    answer = llmopt("runs", "list")
    assert (answer.code, answer.out) == (0, "")
    assert "no runs yet" in answer.err


def test_show_tells_what_was_asked_and_what_came_of_it(llmopt: Llmopt, finished: Callable[..., Run]) -> None:
    run = finished({"ppl_before": 8.0, "ppl_after": 10.0, "kl_mean": 0.5, "kl_se": 0.01, "seconds": 75.0}, ticks=9)
    out = llmopt("runs", "show", "last").out
    words = [line.split() for line in out.splitlines()]
    assert ["run", run.id] in words
    assert ["ticks", "9"] in words
    assert ["perplexity", "8", "10", "1.250"] in words
    assert ["KL", "divergence,", "nat", "0.5", "±", "0.01"] in words
    document = llmopt("runs", "show", "last", "--json").document
    assert document["result"] == run.result
    assert document["spec"] == json.loads(run.spec_file.read_text())


def test_compare_sets_two_runs_beside_each_other(llmopt: Llmopt, finished: Callable[..., Run]) -> None:
    first, second = finished({"ppl_after": 8.0}, ticks=3), finished({"ppl_after": 10.0}, ticks=4)
    answer = llmopt("runs", "compare", first.id, second.id)
    words = [line.split() for line in answer.out.splitlines()]
    assert ["ticks", "3", "4"] in words
    assert ["perplexity", "after", "8*", "10", "1.250"] in words
    document = llmopt("runs", "compare", first.id, second.id, "--json").document
    assert document["metrics"] == {"ppl_after": {"values": [8.0, 10.0], "ratios": [1.0, 1.25], "better": "lower", "best": 0}}


def test_an_export_goes_to_stdout_or_whole_into_a_file(llmopt: Llmopt, finished: Callable[..., Run], tmp_path: Path) -> None:
    run = finished({"ppl_after": 8.0})
    text = llmopt("runs", "export", run.id, "--to", "csv").out
    out = tmp_path / "run.csv"
    answer = llmopt("runs", "export", run.id, "--to", "csv", "--out", str(out))
    assert (answer.code, answer.out) == (0, "")
    assert out.read_text() == text
    lost = llmopt("runs", "export", run.id, "--out", str(tmp_path / "no" / "where"))
    assert lost.code == 1
    assert lost.err.count("\n") == 1


def test_remove_takes_only_what_is_over(llmopt: Llmopt, finished: Callable[..., Run]) -> None:
    run = finished({})
    queued = store.create(TickSpec(model="x"))
    assert llmopt("runs", "rm", queued.id).code == 2
    assert llmopt("runs", "rm", run.id).code == 0
    assert store.list_runs() == [queued]


def test_models_lists_folders_and_names_what_is_broken(llmopt: Llmopt, model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "models" / "broken\x1b[31m"
    broken.mkdir(parents=True)
    (broken / "config.json").write_text("{")
    monkeypatch.setenv("LLMOPT_MODELS", f"{model_dir.parent}:{broken.parent}")
    answer = llmopt("models")
    assert str(model_dir) in answer.out
    assert "broken" in answer.err
    assert "\x1b" not in answer.out + answer.err
    models = llmopt("models", "--json").document["models"]
    assert isinstance(models, list)
    zeros = next(model for model in models if model["path"] == str(model_dir))
    assert zeros["parameters"] == zeros["card"]["parameters"] == 2 * 320 * 64 + 64 + 2 * (64 * 64 * 2 + 64 * 32 * 2 + 3 * 64 * 128 + 2 * 64)


def test_hardware_shows_this_machine(llmopt: Llmopt) -> None:
    out = llmopt("hardware").out
    assert {"CPU", "memory"} <= {line.split()[0] for line in out.splitlines() if line.strip()}
    assert all(columns(line) <= 120 for line in out.splitlines())
    document = llmopt("hardware", "--json").document
    assert {"gpus", "cpu", "memory", "disks", "processes"} <= set(document)


def test_what_the_driver_does_not_tell_is_not_available_and_never_zero(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    known = GpuState(
        0, "NVIDIA H100 80GB HBM3", memory=GpuMemory(total=80 << 30, used=12 << 30), utilization=97.0, power=512.3, power_limit=700.0, temperature=64
    )
    process = ProcessState(4242, "compute", gpu=0, gpu_memory=11 << 30, owner="ada\x1b[2J", command="python -m core.runs.worker " + "x" * 90, run="r")
    print_snapshot(Snapshot(0.0, (known, GpuState(1)), CpuState(None), MemoryState(64 << 30, 8 << 30, 56 << 30), processes=(process,), host="box"))
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert all(columns(line) <= 80 for line in lines)
    assert "\x1b" not in out
    assert lines[1].split()[-9:] == ["97", "%", "n/a", "64", "°C", "512", "W", "700", "W"]
    assert lines[2].split() == ["1", *["n/a"] * 8]
    assert any(line.split()[:4] == ["4242", "0", "11.0", "GiB"] for line in lines)


def test_estimate_says_what_each_figure_is_made_of(llmopt: Llmopt, model_dir: Path) -> None:
    answer = llmopt("estimate", str(model_dir), "--context", "128", "--concurrency", "2", "--gpu", "h100")
    assert answer.code == 0
    assert "estimates, not measurements" in answer.out
    document = llmopt("estimate", str(model_dir), "--context", "128", "--concurrency", "2", "--gpu", "h100", "--json").document
    lines = document["lines"]
    assert isinstance(lines, list)
    kv = next(line for line in lines if line["name"] == "kv cache")
    assert kv["bytes"] == 2 * 128 * 2 * 2 * 2 * 16 * 2
    assert document["total"] == sum(line["bytes"] for line in lines)
    assert all(line["how"] for line in lines)


def test_recommend_gives_commands_that_can_be_copied(llmopt: Llmopt, model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    out = llmopt("recommend", str(model_dir), "--gpu", "a100-80", "--use-case", "throughput").out
    assert any(line.startswith("vllm serve") for line in out.splitlines())
    assert any(line.startswith("llmopt quantize") for line in out.splitlines())
    answers = llmopt("recommend", str(model_dir), "--gpu", "a100-80", "--json").document["recommendations"]
    assert isinstance(answers, list)
    assert all(answer["reason"] for answer in answers)


def test_a_command_line_names_only_what_differs_from_the_defaults() -> None:
    values = spec_class("quantize").parse({"model": "my model", "bits": 3, "symmetric": False, "seed": 0}).model_dump()
    assert command_line("quantize", values) == "llmopt quantize 'my model' --bits 3 --no-symmetric"


def test_a_table_is_cut_where_it_may_be_and_kept_where_it_may_not() -> None:
    text = table([("20260101-000000-quantize-ab12", "x" * 90, "done")], ("run", "model", "state"), right=(), shrink=(1,), width=60)
    header, row = text.splitlines()
    assert columns(header) == 60
    assert row.startswith("20260101-000000-quantize-ab12  x")
    assert row.endswith("…  done")
    assert header.split() == ["run", "model", "state"]


def test_a_table_is_aligned_for_wide_letters_and_safe_for_hostile_ones() -> None:
    text = table([("模型", "1"), ("\x1b[2Jab", "22")], (), right=(1,), shrink=(0,), width=80)
    assert "\x1b" not in text
    assert len({columns(line) for line in text.splitlines()}) == 1


def test_a_saved_spec_beside_another_method_keeps_only_what_was_chosen(tmp_path: Path) -> None:
    run = store.create(QuantizeSpec(model="bundled:base", method="gptq", eval_tokens=2048))
    asked = build_spec(QuantizeSpec, None, {"method": "nf4"}, run.spec_file)
    assert asked == QuantizeSpec(model="bundled:base", method="nf4", eval_tokens=2048)
    assert build_spec(QuantizeSpec, None, {"bits": 3}, run.spec_file) == QuantizeSpec(model="bundled:base", bits=3, eval_tokens=2048)


def test_every_method_has_an_example_that_is_a_request() -> None:
    methods = set()
    for arguments in EXAMPLES:
        model, *options = arguments.split()
        given: dict[str, object] = {"model": model}
        for word in options:
            if word.startswith("--"):
                name = word[2:].replace("-", "_")
                given[name] = True
            else:
                given[name] = word
        methods.add(QuantizeSpec.model_validate(given).method)
    assert methods | {"rtn"} == set(METHODS)
    assert all(len(line) <= 78 for line in quantizing().splitlines())


def test_lists_of_numbers_are_given_with_commas() -> None:
    assert command_line("quantize", {"model": "m", "method": "mixed", "widths": (2, 4)}) == "llmopt quantize m --method mixed --widths 2,4"


def test_an_option_that_means_nothing_beside_the_method_is_told() -> None:
    spec = QuantizeSpec(model="bundled:base", method="gguf")
    assert without_effect(spec, {"bits": 4, "level": "Q4_K_M", "seed": 1}) == ["--bits has no effect with method gguf"]

"""The rules, one by one: which engine and format for which machine, with what to do next."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import RequestError
from core.hardware.plan.advise import USE_CASES, Recommendation, UseCase, recommend
from core.hardware.plan.estimate import estimate
from core.hardware.plan.formats import WEIGHT_FORMATS
from core.hardware.plan.machine import NAMED, Machine
from core.hardware.snapshot import GIBIBYTE
from core.models.card import LinearShape, ModelCard
from core.quantize.spec import QuantizeSpec
from tests.core.hardware.cards import CONFIGS, card

HOST = Machine("host", (), 64 * GIBIBYTE, 8, "Some CPU")


def first(name: str, machine: Machine, use_case: UseCase = "general") -> Recommendation:
    return recommend(card(name), machine, use_case)[0]


def find(rows: list[Recommendation], form: str) -> Recommendation:
    return next(row for row in rows if row.format == form)


@pytest.mark.parametrize("use_case", USE_CASES)
def test_without_a_gpu_gguf_and_llama_cpp(use_case: UseCase) -> None:
    best = first("Llama-3-8B", HOST, use_case)
    assert (best.engine, best.format, best.why_not) == ("llama.cpp", "gguf-q4_k_m", None)
    assert best.prepare == ()
    assert best.action == {"model": "Llama-3-8B", "method": "gguf", "level": "Q4_K_M", "out": "Llama-3-8B-Q4_K_M"}
    assert best.command.startswith("llama-server -m Llama-3-8B-Q4_K_M/model.gguf -c ")
    assert "-ngl" not in best.command
    assert best.statement is not None
    assert "llama-cpp-python" in best.statement


def test_a_family_that_is_not_written_as_gguf_here_gets_the_commands_of_llama_cpp() -> None:
    strange = card("Llama-3-8B").model_copy(update={"model_type": "strange"})
    best = recommend(strange, HOST)[0]
    assert best.action is None
    assert best.prepare[0].startswith("python convert_hf_to_gguf.py Llama-3-8B --outfile Llama-3-8B-f16.gguf")
    assert best.prepare[1] == "llama-quantize Llama-3-8B-f16.gguf Llama-3-8B-Q4_K_M.gguf Q4_K_M"


def test_without_a_gpu_there_is_still_something_to_do_here() -> None:
    rows = recommend(card("TinyLlama-1.1B"), HOST)
    here = next(row for row in rows if row.action is not None and row.engine == "vllm")
    assert here.why_not is None
    assert here.command.startswith("VLLM_CPU_KVCACHE_SPACE=1 vllm serve TinyLlama-1.1B-gptq-w4g128 ")


def test_for_local_use_gguf_though_there_is_a_gpu() -> None:
    best = first("Llama-3-8B", HOST.with_gpus("4090"), "local")
    assert (best.engine, best.format) == ("llama.cpp", "gguf-q4_k_m")
    assert best.command.endswith("-ngl auto")


def test_fewer_bits_only_where_the_usual_level_does_not_fit() -> None:
    small = Machine("small", (), 5 * GIBIBYTE, 4)
    rows = recommend(card("Llama-3-8B"), small, "local")
    assert rows[0].format == "gguf-q2_k" or rows[0].format == "gguf-q3_k_m"
    assert find(rows, "gguf-q4_k_m").why_not is not None
    assert not any(row.format in {"gguf-q2_k", "gguf-q3_k_m"} for row in recommend(card("Llama-3-8B"), HOST, "local"))


def test_enough_memory_means_16_bits() -> None:
    best = first("Llama-3-8B", HOST.with_gpus("a100-80"))
    assert (best.engine, best.format, best.action) == ("vllm", "bf16", None)
    assert best.command == "vllm serve Llama-3-8B --max-model-len 4096 --max-num-seqs 8"


def test_throughput_means_vllm_with_4_bit_weights() -> None:
    best = first("Llama-3-8B", HOST.with_gpus("a100-80"), "throughput")
    assert (best.engine, best.format) == ("vllm", "w4a16")
    assert best.statement is not None
    assert "AWQ" in best.statement


def test_fp8_first_where_the_hardware_has_it_and_int8_on_an_a100() -> None:
    assert first("Llama-3-8B", HOST.with_gpus("h100"), "throughput").format == "fp8"
    rows = recommend(card("Llama-3-8B"), HOST.with_gpus("a100-80"), "throughput")
    fp8 = find(rows, "fp8")
    assert fp8.why_not is not None
    assert "compute capability 8.0" in fp8.why_not
    assert rows.index(fp8) > rows.index(find(rows, "int8"))
    assert find(rows, "int8").why_not is None


def test_where_16_bits_do_not_fit_the_next_best_is_fp8_or_int8_by_the_hardware() -> None:
    model = card("Llama-3-70B")
    assert recommend(model, HOST.with_gpus("h100", 2), concurrency=16)[0].format == "fp8"
    assert recommend(model, HOST.with_gpus("a100-80", 2), concurrency=16)[0].format == "int8"
    assert recommend(model, HOST.with_gpus("a6000", 2), concurrency=16)[0].format == "w4a16"


def test_every_family_gets_an_answer() -> None:
    folder = Path(__file__).parents[3] / "data" / "configs"
    for path in sorted(folder.glob("*.json")):
        model = ModelCard.from_config(json.loads(path.read_text()), name=path.stem)
        for use_case in USE_CASES:
            for machine in (HOST, HOST.with_gpus("h100", 8)):
                assert recommend(model, machine, use_case)[0].why_not is None


def test_lowest_latency_means_int4_with_tensorrt_llm() -> None:
    best = first("Llama-3-8B", HOST.with_gpus("h100"), "latency")
    assert (best.engine, best.format) == ("tensorrt-llm", "awq-int4")
    assert best.command.startswith("trtllm-serve Llama-3-8B-int4-awq ")
    assert best.prepare == ("python hf_ptq.py --pyt_ckpt_path Llama-3-8B --qformat int4_awq --export_path Llama-3-8B-int4-awq",)
    assert best.action is None
    assert best.statement is not None
    assert "This version does not quantize" in best.statement


def test_an_old_gpu_gets_what_runs_on_it() -> None:
    best = first("TinyLlama-1.1B", HOST.with_gpus("v100-32"))
    assert best.format == "bf16"
    assert best.command.endswith("--dtype half"), "it has no bfloat16"
    rows = recommend(card("TinyLlama-1.1B"), HOST.with_gpus("v100-32"), "latency")
    assert {row.format for row in rows if row.why_not} == {"awq-int4", "w4a16", "fp8", "int8"}


def test_a_model_too_large_for_one_gpu_is_shared_by_as_few_as_do() -> None:
    best = first("Llama-3-70B", HOST.with_gpus("h100", 8))
    assert (best.format, best.tensor_parallel) == ("bf16", 4)
    assert "--tensor-parallel-size 4" in best.command


def test_where_the_gpu_is_too_small_main_memory_helps() -> None:
    big = Machine("big", (NAMED["3060"],), 128 * GIBIBYTE, 16)
    best = first("Llama-3-70B", big)
    assert (best.engine, best.format) == ("llama.cpp", "gguf-q4_k_m")
    assert "main memory" in best.title


def test_too_large_means_a_smaller_model_or_more_gpus_and_how_many() -> None:
    best = first("Llama-3-70B", Machine("one", (NAMED["l4"],), 16 * GIBIBYTE, 8))
    assert best.format == ""
    numbers = {number.name: number.value for number in best.numbers}
    assert numbers["GPUs needed"] == 4
    four = Machine("four", (NAMED["l4"],) * 4, 16 * GIBIBYTE, 8)
    assert estimate(card("Llama-3-70B"), four, context=4096, weights="w4a16", tensor_parallel=4).fits
    assert not estimate(card("Llama-3-70B"), four, context=4096, weights="w4a16", tensor_parallel=2).fits
    assert "L40S" in best.reason
    assert 30e9 < numbers["parameters that would fit"] < 40e9
    assert numbers["missing"] > 0


def test_too_large_for_main_memory() -> None:
    best = first("Llama-3.1-405B", HOST)
    assert best.format == ""
    assert "smaller model" in best.title.lower()
    assert all(row.why_not for row in recommend(card("Llama-3.1-405B"), HOST)[1:])


def test_fewer_sequences_than_asked_come_after_what_fits_in_full() -> None:
    rows = recommend(card("Llama-3-8B"), HOST.with_gpus("4090"), context=8192, concurrency=8)
    assert find(rows, "bf16").concurrency < 8
    assert "requested sequences fit" in find(rows, "bf16").reason
    assert rows.index(find(rows, "fp8")) < rows.index(find(rows, "bf16"))
    assert next(number for number in find(rows, "bf16").numbers if number.name == "left").value >= 0


def test_mig_devices_are_not_put_together() -> None:
    from tests.core.hardware.fake_probe import FakeProbe

    rows = recommend(card("Llama-3-8B"), Machine.from_snapshot(FakeProbe("mig").snapshot(0.0)))
    assert all(row.tensor_parallel == 1 for row in rows)


def test_a_checkpoint_that_is_quantized_already_is_served_as_it_is() -> None:
    done = card("Llama-3-8B").model_copy(update={"quantization": {"quant_method": "gptq\x1b"}, "file_bytes": 6_000_000_000, "name": "done"})
    (row,) = recommend(done, HOST.with_gpus("4090"))
    assert row.format == "stored"
    assert row.command == "vllm serve done --max-model-len 4096 --max-num-seqs 8"
    assert row.statement is not None
    assert "\x1b" not in row.statement
    gguf = done.model_copy(update={"quantization": {"quant_method": "gguf", "type": "Q4_K"}, "name": "done.gguf"})
    (row,) = recommend(gguf, HOST)
    assert (row.engine, row.command) == ("llama.cpp", "llama-server -m done.gguf -c 32768 -np 8")


def test_the_group_size_divides_every_row_or_whole_rows_share_a_scale() -> None:
    action = find(recommend(card("Qwen2.5-0.5B"), HOST.with_gpus("t4"), "throughput"), "w4a16").action
    assert action is not None
    assert action["group_size"] == 128
    odd = card("Qwen2.5-0.5B").model_copy(update={"linears": (LinearShape(name_suffix="q_proj", out_features=100, in_features=100, count=24),)})
    action = find(recommend(odd, HOST.with_gpus("t4"), "throughput"), "w4a16").action
    assert action is not None
    assert action["granularity"] == "channel"


def test_names_with_spaces_or_escapes_make_safe_commands() -> None:
    rows = recommend(card("Llama-3-8B"), HOST.with_gpus("h100"), "latency", model="/models/my model; rm -rf ~\x1b[2J")
    for row in rows:
        for command in (row.command, *row.prepare):
            assert "\x1b" not in command
            words = shlex.split(command)
            assert "rm" not in words
            assert ";" not in words


def test_a_bundled_model_is_a_path_to_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    from core.hardware.plan import recipes

    monkeypatch.setattr(recipes, "served_name", lambda _: "/package/base")
    row = find(recommend(card("TinyLlama-1.1B"), HOST.with_gpus("4090"), model="bundled:base"), "w4a16")
    assert row.action is not None
    assert row.action["model"] == "bundled:base"
    assert row.command.startswith("vllm serve bundled-base-gptq-w4g128 ")
    assert find(recommend(card("TinyLlama-1.1B"), HOST.with_gpus("4090"), model="bundled:base"), "bf16").command.startswith(
        "vllm serve /package/base "
    )


machines = st.one_of(
    st.integers(1, 256).map(lambda size: Machine("host", (), size * GIBIBYTE, 4)),
    st.tuples(st.sampled_from(sorted(NAMED)), st.sampled_from([1, 2, 3, 8])).map(lambda pair: HOST.with_gpus(*pair)),
)


@given(st.sampled_from(sorted(CONFIGS)).map(card), machines, st.sampled_from(USE_CASES))
@settings(max_examples=80, deadline=None)
def test_whatever_the_machine_the_first_answer_may_be_followed_and_its_figures_hold(model, machine, use_case) -> None:
    rows = recommend(model, machine, use_case)
    assert rows[0].why_not is None
    refused = [row.why_not is not None for row in rows]
    assert refused == sorted(refused), "what cannot be done comes last"
    for row in rows:
        json.dumps(row.to_json(), allow_nan=False)
        assert row.reason
        if row.action is not None:
            QuantizeSpec.parse(row.action)
            assert row.action["out"] in {word.removesuffix("/model.gguf") for word in shlex.split(row.command)}
        if row.why_not is not None or not row.format:
            continue
        assert row.command
        assert row.format in WEIGHT_FORMATS
        place = "memory" if "main memory" in row.title or not machine.gpus else None
        assert estimate(
            model,
            machine,
            context=row.context,
            concurrency=row.concurrency,
            weights=row.format,
            tensor_parallel=row.tensor_parallel,
            place=place,  # type: ignore[arg-type]
        ).fits


def test_an_unknown_use_case_is_a_wrong_request() -> None:
    with pytest.raises(RequestError, match="choose one of general, throughput, latency, local"):
        recommend(card("Llama-3-8B"), HOST, "speed")  # type: ignore[arg-type]

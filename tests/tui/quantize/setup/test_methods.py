"""What the tab says of each method: fields, names, tables, maps, and what a run reports in progress."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.hardware.snapshot import GpuState
from core.quantize.methods import METHODS
from core.quantize.plan.levels import LEVELS
from core.quantize.result import MixedFigures
from core.quantize.spec import QuantizeSpec
from core.runs.state.events import Metric, Progress, StateChange
from core.runs.state.saved import summary
from tests.tui.fakes import NOW
from tests.tui.quantize import made
from tests.tui.quantize.conftest import FakeModels, MadeUp
from tui.compression.linears import short
from tui.quantize.live.arrivals import arrivals
from tui.quantize.live.progress import RunProgress
from tui.quantize.results import figures, outcome
from tui.quantize.results.assignment import assignment
from tui.quantize.setup import fp8_units
from tui.quantize.setup.guide import guide, sections
from tui.quantize.setup.options import comparison_options, level_options, method_options, usual_set
from tui.widgets.live import Line

LINEAR = "model.layers.{}.mlp.up_proj"


def text_of(line: Line) -> str:
    return "".join(text for text, _ in line)


def test_every_field_stands_in_one_section_of_the_form() -> None:
    names = [name for _, names in sections() for name in names]
    assert sorted(names) == sorted(QuantizeSpec.model_fields)


@pytest.mark.parametrize("method", METHODS)
def test_what_a_method_fills_in_is_what_the_spec_makes_of_it(method: str) -> None:
    told = guide({"method": method})
    spec = QuantizeSpec.model_validate({"model": "bundled:base", "method": method})
    for name, value in told.defaults.items():
        assert getattr(spec, name) == value
    for name, choices in told.choices.items():
        assert getattr(spec, name) in choices
    assert ("calibration" in told.hidden) == (not spec.calibrates)


@given(st.dictionaries(st.sampled_from(sorted(QuantizeSpec.model_fields)), st.one_of(st.none(), st.integers(), st.text(max_size=8), st.booleans())))
def test_the_guide_takes_whatever_stands_in_the_form(values: dict[str, Any]) -> None:
    told = guide(values)
    assert set(told.defaults) <= set(QuantizeSpec.model_fields)
    assert "\x1b" not in summary("quantize", values)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"method": "awq"}, "awq 4 bit g128"),
        ({"method": "awq", "format": "compressed-tensors"}, "awq 4 bit g128 as compressed-tensors"),
        ({"method": "rtn", "bits": 8, "granularity": "channel", "activation_bits": 8}, "rtn 8 bit per channel w8a8"),
        ({"method": "smoothquant", "alpha": 0.8, "activation_scales": "static"}, "smoothquant w8a8 static α 0.8"),
        ({"method": "fp8", "activation_bits": 8}, "fp8 e4m3 per channel a8"),
        ({"method": "fp8", "granularity": "tensor"}, "fp8 e4m3 per tensor"),
        ({"method": "nf4"}, "nf4 b64 double"),
        ({"method": "int8"}, "int8"),
        ({"method": "additive"}, "additive 2 bit"),
        ({"method": "mixed", "budget": 3.5}, "mixed 3.5 bit g128"),
        ({"method": "mixed", "max_kl": 0.02}, "mixed KL 0.02 g128"),
        ({"method": "gguf", "imatrix": True}, "gguf Q4_K_M imatrix"),
    ],
)
def test_every_method_has_a_name_that_tells_its_runs_apart(values: dict[str, Any], words: str) -> None:
    assert made.spec(**values).summary() == words


def test_the_tables_list_every_method_level_and_set() -> None:
    assert [row.value for row in method_options().rows] == list(METHODS)
    assert {len(row.cells) for row in method_options().rows} == {len(method_options().columns)}
    options = level_options(FakeModels(), "bundled:base", imatrix=False)
    assert [row.value for row in options.rows] == list(LEVELS)
    sizes = [float(row.cells[1]) for row in options.rows if row.value in ("F16", "Q8_0", "Q6_K", "Q4_K_M", "Q2_K")]
    assert sizes == sorted(sizes, reverse=True), "fewer bits the further down"
    assert "published" in options.note
    assert [row.value for row in comparison_options().rows] == ["integers", "floats"]
    assert (usual_set("gptq"), usual_set("fp8")) == ("integers", "floats")


def test_a_level_that_falls_back_says_so() -> None:
    class Narrow(MadeUp):
        def card(self) -> Any:
            card = super().card()
            return card.model_copy(update={"linears": tuple(linear.model_copy(update={"in_features": 320}) for linear in card.linears)})

    models = FakeModels()
    models.resolve = Narrow  # type: ignore[method-assign]
    row = next(row for row in level_options(models, "bundled:base", imatrix=False).rows if row.value == "Q4_K_M")
    assert "do not fill blocks of Q4_K" in row.detail


GPUS = {(9, 0): "H100", (8, 0): "A100"}


def gpu(capability: tuple[int, int]) -> GpuState:
    return GpuState(index=0, name=GPUS[capability], compute_capability=capability)


@pytest.mark.parametrize(
    ("values", "gpus", "cpu_only", "words"),
    [
        ({}, (gpu((9, 0)),), False, "FP8 units of H100 multiply the weights as stored"),
        ({}, (gpu((9, 0)),), True, "torch is a CPU-only build"),
        ({}, (gpu((8, 0)),), False, "A100 has no FP8 units (they need compute capability 8.9)"),
        ({}, (), False, "no GPU here"),
        ({}, None, False, "not read yet"),
        ({"device": "cpu"}, (gpu((9, 0)),), False, "on the CPU weights are dequantized"),
        ({"granularity": "block"}, (gpu((9, 0)),), False, "with block scales weights are dequantized"),
        ({"activation_bits": 16}, (gpu((9, 0)),), False, "with 16-bit activations weights are dequantized"),
    ],
)
def test_fp8_says_what_the_hardware_does_with_it(values: dict[str, Any], gpus: Any, cpu_only: bool, words: str) -> None:
    spec = made.spec(**({"method": "fp8", "activation_bits": 8} | values))
    assert words in fp8_units.sentence(spec, gpus, cpu_only=cpu_only)


def measured(block: int, bits: int, kl: float | None) -> Metric:
    return Metric(1.0, "sensitivity_kl", kl, bits, LINEAR.format(block))


def test_sensitivities_stand_in_a_table_while_they_are_measured_and_give_way_to_errors() -> None:
    progress = RunProgress()
    assert arrivals(progress).rows == ()
    progress.add([measured(0, 2, 0.5), measured(0, 4, 0.01), measured(1, 2, 0.25)])
    found = arrivals(progress)
    assert [title for title, _ in found.columns] == ["KL of the model with", "2 bit", "4 bit"]
    assert found.rows == [("0 mlp.up_proj", "0.50", "0.010"), ("1 mlp.up_proj", "0.25", "")]
    assert found.plot is not None
    assert [(series.label, series.x, series.y) for series in found.plot.series] == [("2 bit", (0.0, 1.0), (0.5, 0.25)), ("4 bit", (0.0,), (0.01,))]
    progress.add([Metric(2.0, "assigned_bits", 4.0, 0, LINEAR.format(0)), Metric(2.0, "layer_error", 0.1, 0, LINEAR.format(0))])
    later = arrivals(progress)
    assert later.kind != found.kind
    assert later.rows == [(LINEAR.format(0), "0.1000", "4")]
    assert short("lm_head") == "lm_head"


def test_a_run_that_goes_on_tells_the_time_left_by_its_new_pace() -> None:
    progress = RunProgress()
    progress.add([Progress(10.0, 0, 100, ""), Progress(60.0, 50, 100, "")])
    progress.add([StateChange(500.0, "queued", "asked to resume"), Progress(510.0, 50, 100, ""), Progress(530.0, 60, 100, "")])
    assert progress.seconds_left(530.0) == pytest.approx(80.0), "ten steps in twenty seconds, forty to go"


def test_a_map_shows_the_bits_of_every_linear_by_kind_and_block() -> None:
    kinds = ("self_attn.q_proj", "mlp.up_proj")
    bits = [(f"model.layers.{block}.{kind}", 2.0 + block % 3) for block in range(25) for kind in kinds]
    text = [text_of(line) for line in assignment(bits, 60)]
    assert text[0] == "bits of each linear  2 18  3 16  4 16  of 50 linears"
    assert text[1].split() == ["block", "0", "10", "20"]
    assert text[2] == f"{'q_proj':<16}{'234' * 8}2"
    narrow = [text_of(line) for line in assignment(bits, 26)]
    assert [line for line in narrow if line.startswith("q_proj")] == [
        f"{'q_proj':<16}2342342342",
        f"{'q_proj':<16}3423423423",
        f"{'q_proj':<16}42342",
    ]


@given(st.lists(st.tuples(st.text(max_size=20), st.none() | st.floats(0, 64))), st.integers(1, 120))
def test_any_assignment_can_be_drawn(bits: list[tuple[str, float | None]], width: int) -> None:
    assert assignment(bits, width)


@pytest.mark.parametrize(("bits", "group", "symmetric"), [(2, 128, True), (3, 32, True), (4, 128, False), (6, 64, True), (8, 128, True)])
def test_the_bits_of_a_linear_follow_from_its_bytes_where_the_result_does_not_state_them(bits: int, group: int, symmetric: bool) -> None:
    rows, columns = 256, 512
    size = rows * columns * bits // 8 + 2 * rows * (columns // group) + (0 if symmetric else rows * (columns // group) * bits // 8)
    layer = {"name": "m.layers.0.q", "error": 0.1, "weight_error": 0.1, "bytes": size, "rows": rows, "columns": columns}
    spec = made.spec(bits=bits, group_size=group, symmetric=symmetric)
    found = outcome.read(made.finish(made.run_of(spec, "20260101-100000-quantize-0001", "done", created=NOW), layers=[layer]))
    assert found is not None
    assert found.layers[0].bits == pytest.approx(bits, abs=1e-9)
    assert not found.is_mixed


def test_the_bits_of_a_mixed_quantization_are_those_it_chose() -> None:
    layers = [{"name": f"m.layers.{block}.q", "error": 0.1, "weight_error": 0.1, "bytes": 9, "rows": 8, "columns": 8} for block in range(2)]
    chosen = {"m.layers.0.q": 2, "m.layers.1.q": 8}
    mixed = MixedFigures(sensitivities=(), widths=chosen, predicted_kl=0.02, measured_kl=None, exact=True, conditions="")
    run = made.run_of(made.spec(method="mixed"), "20260101-100000-quantize-0001", "done", created=NOW)
    found = outcome.read(made.finish(run, layers=layers, mixed=mixed))
    assert found is not None
    assert [layer.bits for layer in found.layers] == [2, 8]
    assert found.is_mixed
    assert dict(figures.lines(found))["predicted"].startswith("KL 0.0200 nats per token on calibration text")

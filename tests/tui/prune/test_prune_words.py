"""What the tab makes of events and results, without a screen."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.evaluate.result import Convention
from core.models.card import ModelCard
from core.prune.methods import METHODS
from core.prune.result import PruneResult
from core.prune.spec import PruneSpec
from core.runs.state.events import Metric
from core.runs.state.saved import summary
from core.runs.state.store import list_runs
from tests.tui.fakes import NOW
from tests.tui.prune import made
from tests.tui.quantize.conftest import CONFIG
from tests.tui.quantize.made import EVALUATION, run_of
from tui.prune.live import curves, sparsity_map
from tui.prune.live.progress import RunProgress
from tui.prune.live.sparsity_map import state_of
from tui.prune.results import figures, history, outcome
from tui.prune.results.importance import importance
from tui.prune.results.linears import before_and_after
from tui.prune.results.linears import sparsity_map as sparsities
from tui.prune.results.pictures import pictures
from tui.prune.results.redundancy import redundancy
from tui.prune.setup.guide import guide, sections
from tui.prune.setup.options import method_options
from tui.widgets.live import Line, line_width

CARD = ModelCard.from_config(CONFIG)


def plain(lines: list[Line]) -> list[str]:
    return ["".join(text for text, _ in line).rstrip() for line in lines]


def result(**parts: Any) -> PruneResult:
    return made.result_of(made.spec(), "run", parts=parts)


# -- the form


def test_every_field_stands_in_one_section_of_the_form() -> None:
    names = [name for _, names in sections() for name in names]
    assert sorted(names) == sorted(PruneSpec.model_fields)


@pytest.mark.parametrize("method", METHODS)
def test_what_a_method_fills_in_is_what_the_spec_makes_of_it(method: str) -> None:
    said = guide({"method": method})
    spec = PruneSpec.model_validate({"model": "bundled:base", "method": method})
    for name, value in said.defaults.items():
        assert getattr(spec, name) == value
    assert ("calibration" in said.hidden) == (not spec.calibrates)


def test_fields_that_have_no_effect_are_hidden() -> None:
    assert {"sparsity", "allocation", "scope"} <= guide({"keep": "2:4"}).hidden
    assert "sparsity" not in guide({}).hidden
    assert "recover_rate" in guide({}).hidden
    assert "recover_rate" not in guide({"recover_steps": 10}).hidden
    assert "calibration" in guide({"method": "magnitude"}).hidden
    assert "calibration" not in guide({"method": "magnitude", "swaps": 5}).hidden
    assert "calibration" not in guide({"method": "magnitude", "recover_steps": 5}).hidden, "the recovery is trained on it"


@given(st.dictionaries(st.sampled_from(sorted(PruneSpec.model_fields)), st.one_of(st.none(), st.integers(), st.text(max_size=8), st.booleans())))
def test_the_guide_takes_whatever_stands_in_the_form(values: dict[str, Any]) -> None:
    assert set(guide(values).defaults) <= set(PruneSpec.model_fields)
    assert "\x1b" not in summary("prune", values)


def test_the_table_lists_every_method_and_what_it_gains() -> None:
    options = method_options()
    assert [row.value for row in options.rows] == list(METHODS)
    assert {len(row.cells) for row in options.rows} == {len(options.columns)}
    assert all(sum(width for _, width in options.columns) <= 80 for _ in options.rows)
    assert "a CPU multiplies them too" in options.rows[0].detail


# -- a run in progress


def heard(count: int, *, card: bool = True) -> RunProgress:
    progress = RunProgress()
    if card:
        progress.expect(CARD, every_linear=True)
    progress.add(made.linear_errors(count, 1.0))
    return progress


def test_the_map_shows_what_is_done_and_what_is_to_come() -> None:
    text = plain(sparsity_map.lines(state_of(heard(16)), 80))
    assert text[0] == "relative error, %  16 of 70  sparsity 50.0 %"
    assert text[1] == "block" + " " * 11 + "".join(f"{block:>3} " for block in range(10)).rstrip()
    assert text[2].split() == ["q_proj", "8", "9", "10", *"·······"]
    assert text[4].split() == ["v_proj", "14", "15", *"········"]
    assert len(text) == 9


def test_a_narrow_map_has_a_bar_for_each_linear() -> None:
    text = plain(sparsity_map.lines(state_of(heard(70)), 40))
    assert text[0].endswith("▂ 0.080 to █ 0.35")
    assert text[1].startswith("70 of 70")
    assert text[3] == f"{'q_proj':<16}▂▃▃▃▃▃▄▄▄▄"
    assert text[-1] == f"{'down_proj':<16}▆▇▇▇▇█████"


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_a_model_of_126_blocks_is_continued_below(width: int) -> None:
    names = tuple(f"model.layers.{block}.mlp.{kind}" for block in range(126) for kind in ("gate_proj", "up_proj", "down_proj"))
    progress = RunProgress()
    progress.add(made.linear_errors(len(names), 1.0, names))
    lines = sparsity_map.lines(state_of(progress), width)
    assert all(line_width(line) <= width for line in lines)
    text = plain(lines)
    assert sum(len(line) - 16 for line in text if line.startswith("up_proj")) == 126
    assert sum(line.startswith("block") for line in text) == -(-126 // (width - 16))


def test_an_error_that_is_not_finite_is_marked() -> None:
    progress = heard(3)
    progress.add([Metric(9.0, "linear_error", None, 0, made.NAMES[1])])
    assert plain(sparsity_map.lines(state_of(progress), 80))[3].split()[:2] == ["k_proj", "!"]


def test_a_run_that_goes_on_repeats_its_finished_linears_and_shows_each_once() -> None:
    progress = heard(20)
    progress.add(made.linear_errors(25, 50.0))
    assert list(progress.errors) == list(made.NAMES[:25])


def test_without_the_model_the_map_shows_what_has_come() -> None:
    text = plain(sparsity_map.lines(state_of(heard(9, card=False)), 80))
    assert text[0].startswith("relative error, %  9 of 14")


def test_blocks_left_out_are_drawn_before_any_linear_is_done() -> None:
    progress = RunProgress()
    progress.expect(CARD, every_linear=False)
    assert curves.plot(progress) is None
    assert sparsity_map.lines(state_of(progress), 80) == []
    progress.add(made.without_blocks(4, 1.0))
    text = plain(sparsity_map.lines(state_of(progress), 80))
    assert text[0].startswith("KL divergence of the model without each block")
    assert text[0].endswith("4 of 10")
    assert text[2].split()[-1].endswith("······")
    plot = curves.plot(progress)
    assert plot is not None
    assert plot.series[0].x == (0.0, 1.0, 2.0, 3.0)


def test_sensitivities_of_blocks_are_drawn_a_line_for_each_sparsity() -> None:
    progress = RunProgress()
    progress.expect(CARD, every_linear=True)
    for share in (0.4, 0.6):
        progress.add(Metric(1.0, "block_sensitivity", share * (1 + block), block, f"sparsity {share:.3f}") for block in range(3))
    text = plain(sparsity_map.lines(state_of(progress), 80))
    assert "6 of 20" in text[0]
    assert [line.split()[:2] for line in text[2:]] == [["sparsity", "0.400"], ["sparsity", "0.600"]]
    plot = curves.plot(progress)
    assert plot is not None
    assert [(series.label, series.x) for series in plot.series] == [("sparsity 0.400", (0.0, 1.0, 2.0)), ("sparsity 0.600", (0.0, 1.0, 2.0))]
    progress.add(made.linear_errors(1, 5.0))
    assert "relative error" in plain(sparsity_map.lines(state_of(progress), 80))[0]


def test_the_loss_of_a_recovery_takes_the_place_of_the_errors() -> None:
    progress = heard(70)
    progress.add([Metric(60.0, "recovery_loss", 0.5, 1, ""), Metric(61.0, "recovery_loss", None, 2, ""), Metric(62.0, "recovery_loss", 0.25, 3, "")])
    plot = curves.plot(progress)
    assert plot is not None
    assert (plot.title, plot.series[0].x, plot.series[0].y) == ("loss of the recovery", (1.0, 3.0), (0.5, 0.25))


# -- results


def test_outcomes_are_those_of_the_model_newest_first_and_only_finished_ones() -> None:
    made.finish(run_of(made.spec(sparsity=0.3), "20260101-100000-prune-0001", "done", created=NOW), checkpoint="/models/a")
    made.finish(run_of(made.spec(sparsity=0.4), "20260101-100001-prune-0002", "done", created=NOW))
    made.finish(run_of(made.spec(model="/models/other"), "20260101-100002-prune-0003", "done", created=NOW))
    run_of(made.spec(), "20260101-100003-prune-0004", "failed", created=NOW)
    found = outcome.of_model(list_runs(), "bundled:base", CARD)
    assert [each.values["sparsity"] for each in found] == [0.4, 0.3]
    assert found[1].out == "/models/a"
    assert found[0].estimated_memory


def test_figures_of_another_convention_are_marked_and_patterns_are_short() -> None:
    other = Convention.model_validate(EVALUATION | {"context": 2048})
    made.finish(run_of(made.spec(keep="2:4"), "20260101-100000-prune-0001", "done", created=NOW), evaluation=other)
    made.finish(run_of(made.spec(), "20260101-100001-prune-0002", "done", created=NOW))
    chosen, foreign = outcome.of_model(list_runs(), "bundled:base")
    assert history.cells(foreign, chosen)[0] == "wanda 2:4"
    assert history.cells(foreign, chosen)[3].startswith("≠")
    assert history.cells(chosen, chosen) == ("wanda 50 %", "50.0 %", "17.0 MiB", "16.02", "0.25", "77.1 %", "0.998x")


def figures_of(**values: Any) -> dict[str, str]:
    made.finish(run_of(made.spec(), "20260101-100000-prune-0001", "done", created=NOW), **values)
    return dict(figures.lines(outcome.of_model(list_runs(), "bundled:base")[0]))


def test_a_mask_says_that_nothing_got_smaller_and_what_was_measured() -> None:
    found = figures_of()
    assert found["size"] == "17.0 MiB as before, 50.00 % of linear weights zero"
    assert found["decode"] == "211.4 to 210.9 tokens/s, 0.998x ± 0.0060; estimate 1.73x with zeros skipped"
    assert found["prefill"] == "41.20 to 41.10 ms, 1.00x"


def test_a_cut_says_what_is_left_and_what_it_rules_out() -> None:
    kept = [{"axis": "channels", "before": 512, "after": 352, "lost": ["K-quants"]}]
    smaller = {"bytes_after": 14_300_000, "parameters_after": 7_150_000, "tokens_per_second_after": None}
    found = figures_of(parts={"kept": kept, "description": "Channels go."}, **smaller)
    assert found["size"] == "17.0 MiB to 13.6 MiB, 8.92 M to 7.15 M parameters"
    assert found["removed"] == "Channels go; channels 512 to 352; no more K-quants"
    assert found["decode"] == "not measured; estimate 1.73x"


def test_quality_before_a_recovery_is_shown_too() -> None:
    assert figures_of(ppl_unrecovered=44.1, kl_unrecovered=1.1)["unrecovered"] == "perplexity 44.10, KL 1.100 nats before the recovery"


def test_pictures_are_those_that_there_is_data_for() -> None:
    assert len(pictures(result(linears=[]))) == 1
    assert [picture.lines for picture in pictures(result())] == [None, sparsities]
    everything = pictures(result(linears=made.linears(before=1.2, uneven=True)))
    assert [picture.lines for picture in everything] == [None, before_and_after, sparsities, None]
    assert pictures(result(blocks=made.blocks((5,)), linears=[]))[0].lines is redundancy
    assert pictures(result(importance=made.heads(), linears=[]))[0].lines is importance


def test_blocks_are_ranked_by_each_measure_and_removed_ones_named() -> None:
    agreement = [{"measure": "block influence", "spearman": 0.31}]
    text = plain(redundancy(result(blocks=made.blocks((5, 4)), agreement=agreement), 78))
    assert text[0] == "rank correlation with the measured KL:  block influence 0.31"
    assert text[1].split() == ["block", "measured", "KL", "influence"]
    fifth = text[2 + 5]
    assert fifth.endswith("× removed as no. 1")
    assert [word for word in fifth.split() if word[0].isdigit()] == ["5", "0.0708", "1", "0.150", "6", "1"]
    assert plain(redundancy(result(blocks=[{"block": 0}]), 78)) == ["nothing was measured of single blocks"]


def test_every_measure_is_shown_where_there_is_room() -> None:
    wide = plain(redundancy(result(blocks=made.blocks((5, 4))), 140))
    assert wide[1].split() == ["block", "measured", "KL", "influence", "angular", "ppl", "ratio"]


def test_each_head_is_shown_with_its_score_or_as_removed() -> None:
    text = plain(importance(result(importance=made.heads()), 80))
    assert "importance lost with KV groups" in text[0]
    assert len(text) == 11
    row = text[1].split()
    assert row[:2] == ["block", "0"]
    assert row[-1].count("×") == 2
    assert len(row[-1]) == 8
    long = [{"block": -1, "axis": "hidden width", "size": 4096, "kept": 2048, "kept_share": 0.81}]
    assert plain(importance(result(importance=long), 60))[1].startswith("whole model")


def test_errors_stand_before_and_after_with_their_change() -> None:
    text = plain(before_and_after(result(linears=made.linears(before=1.25, swaps=7)), 80))
    assert text[0] == "error of the outputs, before and after: -20 % on average"
    assert text[2].split()[:2] == ["0", "self_attn.q_proj"]
    assert text[2].split()[-5:] == ["0.100", "0.0800", "-20", "%", "7"]


def test_uneven_sparsity_is_a_map_of_tenths() -> None:
    text = plain(sparsities(result(linears=made.linears(uneven=True)), 80))
    assert "35.0 % to 62.0 %" in text[0]
    assert text[2] == f"{'q_proj':<16}3344455556"


@given(st.integers(20, 130), st.sampled_from(["blocks", "importance", "linears", "nothing"]))
def test_any_picture_fits_any_width(width: int, kind: str) -> None:
    parts: dict[str, Any] = {"blocks": made.blocks((0, 9))} if kind == "blocks" else {"importance": made.heads()} if kind == "importance" else {}
    found = result(**({"linears": []} if kind == "nothing" else {"linears": made.linears(before=1.3, swaps=3)}), **parts)
    for picture in pictures(found):
        if picture.lines is not None:
            assert picture.lines(found, width)
        if picture.plot is not None:
            assert picture.plot(found).kind

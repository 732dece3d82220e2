"""What the KV-cache tab makes of results and events, without a screen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.kvcache.catalog import fit as calculator
from core.kvcache.pages.events import Block, Change, PageEvent, Sequence, Totals
from core.kvcache.pages.result import PagesResult
from core.kvcache.result import KvCacheResult
from core.models.card import ModelCard
from core.runs.state.events import Detail
from tests.tui.kvcache import made
from tests.tui.quantize.conftest import CONFIG
from tui.experiment.finished import Finished
from tui.kvcache.fit import lines as fit_lines
from tui.kvcache.pages import blocks, scheduling
from tui.kvcache.pages import words as pages_words
from tui.kvcache.schemes import columns, curves, fronts
from tui.kvcache.schemes.entries import Entry, entries, refused
from tui.kvcache.setup.guide import guide
from tui.kvcache.why import growth
from tui.widgets.chart.picture import draw, plain
from tui.widgets.live import line_width


def finished(**changes: Any) -> Finished[KvCacheResult]:
    run = made.schemes_done(**changes)
    result = run.result_as(KvCacheResult)
    assert result is not None
    return Finished(run, result)


def of(name: str, shown: list[Entry]) -> Entry:
    return next(entry for entry in shown if entry.row.name == name)


# -- rows in one table


def test_the_full_cache_is_marked_and_a_refused_scheme_gives_its_reason() -> None:
    shown = entries([finished()])
    assert columns.COLUMNS[0].cell(of("dynamic", shown)) == "a●"
    assert columns.COLUMNS[0].cell(of("offload", shown)) == " ✗"
    assert [name for name, _ in refused(shown)] == ["offload"]
    assert columns.in_words(of("offload", shown))[1][0] == "refused"


def test_the_front_is_what_no_scheme_is_both_smaller_and_better_than() -> None:
    shown = entries([finished()])
    known = [entry for entry in shown if entry.row.ppl_ratio is not None]
    for entry in known:
        beaten = any(
            other.row.bytes_per_token <= entry.row.bytes_per_token  # type: ignore[operator]
            and other.row.ppl_ratio <= entry.row.ppl_ratio  # type: ignore[operator]
            and (other.row.bytes_per_token, other.row.ppl_ratio) != (entry.row.bytes_per_token, entry.row.ppl_ratio)
            for other in known
        )
        assert entry.on_front != beaten, entry.row.name


def test_another_text_makes_quality_foreign_and_other_threads_make_times_so() -> None:
    first = finished()
    convention = first.result.evaluation.model_copy(update={"sha256": "0" * 64})
    text = replace(first, result=first.result.model_copy(update={"evaluation": convention}))
    threads = replace(first, result=first.result.model_copy(update={"threads": 64}))
    for other, foreign, elsewhere in ((text, True, False), (threads, False, True)):
        shown = entries([first, other])
        assert [(entry.foreign, entry.elsewhere) for entry in shown[:2]] == [(False, False), (foreign, elsewhere)]
        assert not (foreign and shown[1].on_front), "what cannot be compared is on no front"
    ratio = next(column for column in columns.COLUMNS if column.title == "ppl ratio")
    assert str(ratio.cell(entries([first, text])[1])).startswith("≠")


@given(st.integers(54, 250))
def test_the_columns_of_a_table_fit_the_window(width: int) -> None:
    for shown, least in ((columns.COLUMNS, 54), (columns.BESIDE, 60)):
        if width >= least:
            assert sum(column.width for column in shown if column.needs <= width < column.below) <= width


def test_every_cell_keeps_to_its_column() -> None:
    for entry in entries([finished()]):
        for column in columns.BESIDE:
            assert len(str(column.cell(entry))) < column.width, (entry.row.name, column.title)


# -- charts


@pytest.mark.parametrize("measure", fronts.MEASURES, ids=lambda measure: measure.name)
def test_every_scheme_stands_in_the_chart_by_the_letter_of_the_list(measure: fronts.Measure) -> None:
    shown = entries([finished()])
    plot = fronts.plot(shown, measure)
    assert {series.mark for series in plot.series[1:]} == {entry.letter for entry in shown if measure.of(entry) is not None}
    lines = fronts.legend(shown, measure, 43, several=False)
    assert all(line_width(line) <= 43 for line in lines)
    assert len(lines) == len(plot.series) - 1
    assert "against bytes per token" in plain(draw(plot, 70, 20))


@pytest.mark.parametrize("measure", fronts.MEASURES, ids=lambda measure: measure.name)
def test_the_staircase_only_ever_gets_better(measure: fronts.Measure) -> None:
    points = fronts.front(fronts.placed(entries([finished()]), measure), measure)
    values = [value for _, _, value in points]
    assert values == sorted(values, reverse=measure.better == "lower")


def test_perplexity_so_far_is_shown_over_the_full_caches_at_the_same_token() -> None:
    told = {"dynamic": {10: 8.0, 20: 10.0}, "int4": {10: 8.0, 20: 11.0, 30: 5.0}, "h2o": {10: None, 20: 20.0}}
    plot = curves.against_full(told)  # type: ignore[arg-type]
    assert [(series.label, series.x, series.y) for series in plot.series] == [("int4", (10.0, 20.0), (1.0, 1.1)), ("h2o", (20.0,), (2.0,))]
    assert curves.against_full({"dynamic": {10: 8.0}}).title == "perplexity so far"
    assert curves.against_full({}).series == ()


def test_the_growth_is_drawn_as_points_with_the_fitted_line_in_the_same_colour() -> None:
    result = made.why()
    plot = growth.time_plot(result)
    exponents = [fit.exponent for fit in result.fits if fit.quantity == "token ms"]
    assert [series.like for series in plot.series] == [None, None, 0, 1]
    assert {f"{exponent:.2f}" for exponent in exponents} == {series.label.rpartition("^")[2] for series in plot.series[:2]}
    assert growth.projections_plot(result.rows).series[0].y[-1] == result.rows[-1].without_projections
    assert "times faster" in growth.verdict(result)
    assert any("n(n+1)/2" in text for _, text in growth.sentences(result))
    wrong = result.model_copy(update={"rows": (result.rows[0].model_copy(update={"with_projections": 1}), *result.rows[1:])})
    assert any("not as n" in text for _, text in growth.sentences(wrong))


# -- pages


def event(*references: int, step: int = 1, phase: str = "decode", changes: tuple[Change, ...] = ()) -> PageEvent:
    table = tuple(number for number, count in enumerate(references) if count)
    return PageEvent(
        step=step, seconds=1.0, phase=phase, block_size=16, blocks=tuple(Block(count, 16 if count else 0, count == 0) for count in references),
        sequences=(
            Sequence(id=0, name="first", state="running", tokens=30, prompt=20, hits=16, table=table),
            Sequence(id=1, name="second", state="waiting", tokens=0, prompt=20),
        ),
        changes=changes, used=len(table), tokens=30, stored=30, waste=0.1, reserved=1024, reserved_each=1024, waste_contiguous=0.9,
        totals=Totals(hit_tokens=16, copies=1, waiting=1),
    )  # fmt: skip


def heard(progress: blocks.PagesProgress, *events: PageEvent) -> blocks.PagesProgress:
    progress.add(Detail(float(at), "pages", each.data()) for at, each in enumerate(events))
    return progress


def test_a_block_is_told_by_its_sign() -> None:
    assert blocks.sign(Block(0, 0, False), False)[0] == blocks.FREE
    assert blocks.sign(Block(0, 16, True), False)[0] == blocks.FOUND
    assert blocks.sign(Block(1, 16, True), False)[0] == blocks.PRIVATE
    assert blocks.sign(Block(1, 16, True), True)[0] == blocks.COPIED
    assert blocks.sign(Block(3, 16, True), True)[0] == "3", "that it is shared counts for more"
    assert blocks.sign(Block(12, 16, True), False)[0] == "9"


def test_a_block_counts_as_copied_until_it_is_given_back() -> None:
    progress = heard(blocks.PagesProgress(), event(2, 1, 0), event(1, 1, 1, changes=(Change("copy", 0, 2, 0),)))
    assert progress.copied == {2}
    assert any("wrote a copy, block 2" in text for text in progress.happened)
    heard(progress, event(1, 1, 0, changes=(Change("free", 0, 2),)))
    assert progress.copied == set()
    assert progress.fullest is not None
    assert (progress.fullest.used, progress.copied_then) == (3, {2}), "the fullest state is kept with its copies"


def test_details_that_no_version_wrote_are_left_out() -> None:
    progress = blocks.PagesProgress()
    progress.add([Detail(0.0, "pages", {"step": "x"}), Detail(0.0, "schedule", {}), Detail(0.0, "other", {"a": 1})])
    assert (progress.event, progress.schedules) == (None, {})


@given(st.lists(st.integers(0, 12), min_size=1, max_size=300), st.integers(20, 160), st.integers(2, 20))
def test_the_grid_shows_every_block_or_says_how_many_it_leaves_out(references: list[int], width: int, height: int) -> None:
    shown = [Block(count, 16, False) for count in references]
    lines = blocks.grid(shown, (), width, height)
    assert len(lines) <= height
    text = ["".join(part for part, _ in line) for line in lines]
    left = int(text[-1].split()[1]) if text[-1].startswith("and") else 0
    cells = "".join(line[6:].replace(" ", "") for line in text if not line.startswith("and"))
    assert len(cells) + left == len(references)
    assert all(line_width(line) <= max(width, 8) for line in lines[: len(lines) - bool(left)])


@given(st.integers(30, 160), st.integers(2, 12))
def test_lines_of_sequences_and_figures_keep_to_the_window(width: int, height: int) -> None:
    progress = heard(blocks.PagesProgress(), event(2, 1, 0, 1))
    assert progress.event is not None
    for line in (
        *blocks.sequences(progress.event, progress.copied, width, height),
        *blocks.figures(progress.event, progress, width),
        *blocks.legend(width),
    ):
        assert line_width(line) <= max(width, 30)
    assert ("1 waiting", "muted") in [part for line in blocks.sequences(progress.event, (), 80, 9) for part in line]


def test_a_finished_decode_says_whether_its_tokens_are_those_of_contiguous_caches() -> None:
    result = made.pages()
    assert dict(pages_words.in_words(result))["outputs"].startswith("identical")
    differs = result.model_copy(update={"metrics": result.metrics.model_copy(update={"identical": False})})
    assert dict(pages_words.in_words(differs))["outputs"].startswith("not identical")
    assert len(pages_words.sequences(result, 80)) == len(result.rows) + 1


# -- the simulated scheduler


def simulated(**metrics: Any) -> PagesResult:
    found = made.simulation()
    return found.model_copy(update={"metrics": found.metrics.model_copy(update=metrics)})


def test_the_verdict_of_a_simulation_says_when_nothing_is_gained() -> None:
    assert "11.34 times static batching's tokens per second" in scheduling.verdict(simulated())
    assert "as many tokens per second as static batching" in scheduling.verdict(simulated(speedup=1.001))
    assert scheduling.verdict(simulated(speedup=None)) == ""


def test_a_simulation_is_labelled_as_one_wherever_it_is_drawn() -> None:
    assert scheduling.load_plot(simulated()).title.startswith("simulation")
    assert dict(scheduling.how(simulated()))["estimate"]


# -- the calculator


def test_a_grid_says_where_a_cache_fits_as_the_calculator_does() -> None:
    card = ModelCard.from_config(CONFIG, name="made-up")
    answer = calculator.fit(card, calculator.machine_of_memory(2, 1, machine()), context=512, concurrency=4)
    found = answer.grids[0]
    text = ["".join(part for part, _ in line) for line in fit_lines.grid(found, 200, 1)]
    for line, fits in zip(text[2:-1], found.fits, strict=True):
        assert [sign for sign in line if sign in "✓✗"] == ["✓" if each else "✗" for each in fits]
    assert len(fit_lines.grid(found, 40, 1)[2]) == 4, "only as many columns as there is room for"


def machine() -> Any:
    from core.hardware.plan.machine import Machine

    return Machine("workstation", (), 8 * 2**30, 8)


@given(st.integers(0, 2**50))
def test_a_size_takes_at_most_six_columns(size: int) -> None:
    assert len(fit_lines.short(size)) <= 6


# -- the form


def test_sizes_that_no_chosen_scheme_reads_are_not_asked_for() -> None:
    assert {"group", "residual", "budget", "sinks", "block"} <= guide({"schemes": ("dynamic",)}).hidden
    assert guide({"schemes": ("kivi-4",)}).hidden == {"budget", "sinks", "block"}
    assert not {"group", "residual", "budget", "sinks", "block"} & guide({}).hidden
    assert {"needle_depths", "needle_trials"} <= guide({"needle": False}).hidden

"""Results as rows, charts and sentences: what was measured, nothing else."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.content import Content

from core.runs.state.events import Detail
from core.runs.state.store import list_runs
from core.speculate.bench.measured import Measured
from core.speculate.events import RoundEvent
from core.speculate.lossless.result import SpeculateTestResult
from core.speculate.result import SpeculateResult, SpeculateRow
from tests.tui.speculate import made
from tui.runs.rows import what
from tui.speculate.lossless import lines as lossless_lines
from tui.speculate.results import setting_lines, settings
from tui.speculate.rounds.progress import SpeculateProgress
from tui.speculate.rounds.view import SpeculateLive
from tui.speculate.setup.setup import test_of as lossless_test_of
from tui.speculate.simulate import feed


def entries() -> list[settings.Entry]:
    made.lookup()
    made.pair()
    return settings.of_model(list_runs(), "bundled:base")


def test_the_newest_run_comes_first_and_its_settings_stand_in_order() -> None:
    found = entries()
    assert [(entry.result.drafter, entry.row.gamma, entry.row.temperature) for entry in found] == [
        *(("model", gamma, temperature) for temperature in (0.0, 0.8) for gamma in (2, 4, 8)),
        ("lookup", 4, 0.0),
    ]
    best = settings.fastest(found)
    assert best is not None
    assert best.row.speedup == max(entry.row.speedup for entry in found if entry.result.drafter == "model")
    assert settings.of_model(list_runs(), "/models/other") == []
    assert settings.fastest([]) is None


def test_speeds_of_other_work_are_marked_and_those_of_the_same_are_not() -> None:
    found = entries()
    shown = dict(settings.shown(found, found[0]))
    cells = {key: [str(column.cell(item)) for column in settings.COLUMNS] for key, item in shown.items()}
    assert not any("≠" in cell for cell in cells[found[1].key])
    assert [column.title for column, cell in zip(settings.COLUMNS, cells[found[-1].key], strict=True) if "≠" in cell] == [
        "speed-up",
        "tokens/s",
        "plain",
    ]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_columns_fit_every_window(width: int) -> None:
    for columns in (settings.COLUMNS, lossless_lines.COLUMNS):
        assert sum(column.width for column in columns if width >= column.needs) <= width


def test_the_charts_hold_what_was_measured() -> None:
    found = entries()
    entry = next(entry for entry in found if entry.key[1:] == (4, 0.0))
    acceptance, speedup = settings.by_position(entry), settings.over_gamma(entry)
    assert acceptance.series[0].label == "γ 4"
    assert acceptance.series[0].y == pytest.approx([100 * share for share in entry.row.acceptance_by_position])
    measured = next(series for series in speedup.series if series.label == "measured")
    wanted = {row.gamma: row.speedup for row in made.measured("pair", SpeculateResult).rows if row.temperature == 0}
    assert dict(zip(measured.x or (), measured.y, strict=True)) == wanted
    assert settings.by_position(found[-1]).series
    beside = settings.side_by_side(entry, found)
    assert len(beside.categories) == 6, "the lookup was measured on other work"
    assert list(beside.series[0].y) == sorted(beside.series[0].y, reverse=True)


def test_a_slowdown_and_a_departed_text_are_said_in_words() -> None:
    difference = "prompt 3, token 17"
    made.lookup("20260101-112500-speculate-51de", speedup=0.8, identical=False, first_difference=difference)
    (entry,) = settings.of_model(list_runs(), "bundled:base")
    text = dict(setting_lines.lines(entry))
    assert "0.80 times plain decoding, a slowdown" in text["speed-up"]
    assert text["text"] == f"NOT plain greedy decoding's: {difference}"


@given(
    alpha=st.floats(0.05, 1),
    gamma=st.integers(1, 16),
    c=st.floats(0, 2),
    v=st.floats(0.5, 6),
    share=st.floats(0.05, 1),
    length=st.floats(0.2, 1),
)
def test_the_simulator_answers_a_run_as_the_run_is_predicted(alpha: float, gamma: int, c: float, v: float, share: float, length: float) -> None:
    result = made.measured("pair", SpeculateResult)
    accepted = share * sum(alpha**power for power in range(1, gamma + 1))
    changes = {
        "gamma": gamma, "cost_ratio": c, "verification_ratio": v, "drafted_share": share, "drafted_per_round": max(length * gamma, 1.0),
        "accepted_per_round": accepted, "tokens_per_round": 1 + accepted, "acceptance_by_position": (alpha,) * gamma,
    }  # fmt: skip
    measured = Measured(result, SpeculateRow.model_validate(result.rows[0].model_dump() | changes))
    setting = feed.setting_of(measured)
    assert setting.prediction.speedup == pytest.approx(measured.predict().speedup, rel=1e-6)
    assert "times as fast" in feed.beside(measured)


def test_a_run_that_drafted_nothing_cannot_be_simulated_and_says_so() -> None:
    result = made.measured("lookup", SpeculateResult)
    row = result.rows[0].model_copy(update={"acceptance_by_position": (), "alpha": None})
    assert "nothing was drafted" in feed.beside(Measured(result, row))
    assert feed.curve(Measured(result, result.rows[0]), [Measured(result, result.rows[0])]) == ((4, result.rows[0].speedup),)


def test_a_test_says_passed_or_failed_in_words_with_its_bounds() -> None:
    run, result = made.losslessness(), made.measured("lossless", SpeculateTestResult)
    text = lossless_lines.describe(lossless_lines.Tested(run, result), 100).plain
    assert "✓ passed" in text
    assert "99 %" in text
    assert f"all {len(result.comparisons)} comparisons within" in text
    wrong = result.comparisons[0].model_copy(update={"passed": False})
    failed = result.model_copy(update={"lossless": False, "comparisons": (wrong, *result.comparisons[1:])})
    text = lossless_lines.describe(lossless_lines.Tested(run, failed), 100).plain
    assert "✗ failed" in text
    assert f"1 of {len(result.comparisons)} comparisons outside" in text


def test_a_test_takes_drafter_and_sampling_from_the_form() -> None:
    greedy = lossless_test_of(made.spec(gamma=(6, 2), seed=3))
    assert (greedy.temperature, greedy.top_p, greedy.gamma, greedy.draft, greedy.seed) == (0.8, 0.9, (6, 2), "bundled:draft", 3)
    sampled = lossless_test_of(made.spec(temperature=(0.0, 0.5, 1.0), top_p=0.7, top_k=20, drafter="layers", keep_layers=4))
    assert (sampled.temperature, sampled.top_p, sampled.top_k, sampled.keep_layers) == (0.5, 0.7, 20, 4)


def test_runs_are_called_by_what_they_tried() -> None:
    run = made.pair()
    title = SpeculateLive().title
    assert title(run) == "bundled:draft, γ 2 4 8, T 0 0.8: bundled:base"
    assert what(run) == "speculate bundled:draft, γ 2 4 8, T 0 0.8"
    assert title(made.losslessness()).startswith("test of bundled:draft, γ 4, T 0.8")


def test_the_progress_counts_what_the_run_measured() -> None:
    progress = SpeculateProgress()
    progress.add(made.said())
    assert progress.tally is not None
    rounds = progress.rounds
    assert progress.tally.rounds == len(rounds)
    assert progress.tally.accepted == sum(event.accepted for event in rounds)
    assert progress.tally.emitted == sum(len(event.emitted) for event in rounds)
    judged = sum(event.accepted + (event.corrected is not None) for event in rounds)
    assert progress.tally.acceptance == pytest.approx(progress.tally.accepted / judged)
    assert progress.tally.by_position[0][0] == sum(bool(event.drafted) and (event.accepted > 0 or event.corrected is not None) for event in rounds)
    seconds = sum((event.draft_ms or 0) + (event.verify_ms or 0) for event in rounds) / 1000
    assert progress.tally.tokens_per_second == pytest.approx(progress.tally.emitted / seconds)
    assert math.isclose(progress.tally.positions[0], progress.tally.by_position[0][1] / progress.tally.by_position[0][0])


def test_the_rows_of_a_batch_share_their_time() -> None:
    progress = SpeculateProgress()
    for row in (0, 1):
        for n, emitted in enumerate((3, 1) if row else (2, 2, 2)):
            drafted = ("a",) * (emitted - 1)
            event = RoundEvent(
                n=n, drafted=drafted, accepted=len(drafted), bonus="b", prompt=4 + row, row=row, gamma=4, draft_ms=10.0, verify_ms=90.0
            )
            progress.apply(Detail(0.0, RoundEvent.kind, event.data()))
    assert progress.tally is not None
    assert progress.tally.tokens_per_second == pytest.approx(10 / 0.3)
    assert len(progress.rounds) == 3, "the first row is shown"


def test_the_words_of_a_result_hold_no_control_characters() -> None:
    hostile = {"draft": "\x1b[31mevil", "corpus": "\x1b]0;x\x07", "warnings": ["\u202ew"], "notes": ["\x07n"]}
    made.finish(made.lookup(), made.measured("lookup", SpeculateResult, **hostile))
    (entry,) = settings.of_model(list_runs(), "bundled:base")
    text = setting_lines.head(entry) + "".join(name + line for name, line in setting_lines.lines(entry))
    assert not set("\x1b\x07\u202e") & set(Content(text).plain)

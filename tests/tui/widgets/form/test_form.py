"""A form made from a spec says what the command line says, and asks only what means something."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError, model_validator
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from core.quantize.spec import QuantizeSpec
from core.spec import Spec, option, sentence
from tui.widgets.form.fields.choice import ChoiceEditor
from tui.widgets.form.fields.describe import describe
from tui.widgets.form.fields.fold import Fold
from tui.widgets.form.fields.guide import Guidance
from tui.widgets.form.fields.row import LABEL, FieldRow
from tui.widgets.form.form import Rows, SpecForm


class BakeSpec(Spec):
    """A spec with a field of every kind."""

    capability: ClassVar[str] = "bake"

    method: Annotated[Literal["oven", "pan"], Field(description="How to bake")] = "oven"
    loaves: Annotated[int, option("How many", "step", ge=1, le=12)] = 2
    heat: Annotated[float, option("Share of the full heat", "1", when={"method": ("oven",)}, gt=0, le=1)] = 0.5
    lid: Annotated[bool, option("Close the lid", when={"method": ("pan",)})] = False
    turns: Annotated[int, option("How often to turn", when={"method": ("pan",), "lid": (False,)}, ge=0)] = 3
    note: Annotated[str | None, Field(description="What to write on it")] = None

    @model_validator(mode="after")
    def _not_too_much(self) -> Self:
        if self.loaves * self.heat > 6:
            raise ValueError("loaves times heat is above 6: lower one of them")
        return self


class Host(App[None]):
    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = options
        self.heard: list[SpecForm.Changed] = []

    def compose(self) -> ComposeResult:
        self.form = SpecForm(self.options.pop("spec", BakeSpec), {"model": "rye"}, **self.options)
        yield self.form

    def on_spec_form_changed(self, event: SpecForm.Changed) -> None:
        self.heard.append(event)


def app_of(pilot: Pilot[None]) -> Host:
    assert isinstance(pilot.app, Host)
    return pilot.app


def fields(*names: str) -> list[tuple[str, list[str]]]:
    return [("", list(names))]


def row_text(form: SpecForm, name: str) -> tuple[str, str]:
    row = form.rows[name]
    label, *complaint = str(row.render()).split("\n")
    assert row.size.height == 1 + len(complaint)
    assert row.editor.as_widget().region.x - row.region.x == LABEL, "the editor leaves the label in sight"
    return label.split("  ")[0], " ".join(line.strip() for line in complaint)


def shown(form: SpecForm) -> list[str]:
    return [row.view.name for row in form.query(FieldRow) if row.display]


async def test_it_begins_with_the_defaults_and_the_values_it_was_given() -> None:
    async with Host().run_test() as pilot:
        assert app_of(pilot).form.spec() == BakeSpec(model="rye")


async def test_what_a_field_is_stands_in_the_help_line() -> None:
    async with Host().run_test(size=(100, 24)) as pilot:
        app_of(pilot).form.focus_field("loaves")
        await pilot.pause()
        assert str(app_of(pilot).form._help.render()) == "--loaves  How many · 1 to 12 · default 2"


@pytest.mark.parametrize(
    ("name", "typed", "value"),
    [("loaves", "13", 13), ("loaves", "none", "none"), ("loaves", "2.5", 2.5), ("heat", "0", 0.0), ("heat", "nan", float("nan"))],
)
async def test_a_wrong_value_gets_the_sentence_of_the_command_line(name: str, typed: str, value: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        BakeSpec.model_validate({"model": "rye", name: value})
    async with Host().run_test(size=(100, 24)) as pilot:
        await type_into(pilot, name, typed)
        assert row_text(app_of(pilot).form, name)[1] == f"! {sentence(refused.value)}"
        assert row_text(app_of(pilot).form, name)[0].startswith("!")
        assert app_of(pilot).form.spec() is None
        assert app_of(pilot).heard[-1].spec is None


async def test_a_long_complaint_takes_the_lines_it_needs_and_gives_them_back() -> None:
    async with Host(sections=fields("model", "loaves")).run_test(size=(40, 24)) as pilot:
        await type_into(pilot, "loaves", "none")
        assert app_of(pilot).form.rows["loaves"].size.height > 2
        assert row_text(app_of(pilot).form, "loaves")[1].endswith("unable to parse string as an integer")
        await type_into(pilot, "loaves", "3")
        assert app_of(pilot).form.rows["loaves"].size.height == 1


async def type_into(pilot: Pilot[None], name: str, text: str) -> None:
    app_of(pilot).form.focus_field(name)
    await pilot.press("ctrl+u", *(key if key != "." else "full_stop" for key in text))
    await pilot.pause()


async def test_a_right_value_is_part_of_the_request_and_marked_as_changed() -> None:
    async with Host().run_test() as pilot:
        await type_into(pilot, "loaves", "7")
        assert app_of(pilot).form.spec() == BakeSpec(model="rye", loaves=7)
        assert row_text(app_of(pilot).form, "loaves") == ("*loaves", "")


async def test_an_empty_field_means_its_default() -> None:
    async with Host().run_test() as pilot:
        await type_into(pilot, "loaves", "")
        assert "loaves" not in app_of(pilot).form.values()
        assert app_of(pilot).form.spec() == BakeSpec(model="rye")


async def test_a_missing_model_is_named() -> None:
    async with Host().run_test(size=(100, 24)) as pilot:
        await type_into(pilot, "model", "")
        assert row_text(app_of(pilot).form, "model")[1] == "! model is missing: it has no default"


async def test_a_rule_over_several_fields_stands_above_the_help() -> None:
    async with Host().run_test() as pilot:
        app_of(pilot).form.set_values({"model": "rye", "loaves": 12, "heat": 1.0})
        await pilot.pause()
        assert str(app_of(pilot).form._whole.render()) == "! loaves times heat is above 6: lower one of them"
        assert app_of(pilot).form._whole.display


async def test_fields_that_mean_nothing_are_not_shown_and_keep_their_default() -> None:
    async with Host().run_test() as pilot:
        form = app_of(pilot).form
        assert shown(form) == ["model", "device", "seed", "method", "loaves", "heat", "note"]
        form.set_value("heat", 0.9)
        form.set_value("method", "pan")
        await pilot.pause()
        assert shown(form) == ["model", "device", "seed", "method", "loaves", "lid", "turns", "note"]
        assert form.spec() == BakeSpec(model="rye", method="pan")
        form.set_value("lid", True)
        await pilot.pause()
        assert "turns" not in shown(form)
        form.set_value("method", "oven")
        await pilot.pause()
        assert form.spec() == BakeSpec(model="rye", heat=0.9), "what was typed comes back with the method"


async def test_a_value_that_comes_before_the_rows_are_there_leaves_them_in_order() -> None:
    async with Host().run_test() as pilot:
        form = SpecForm(BakeSpec, {"model": "rye"}, sections=[("", ["model", "method"]), ("more", ["loaves", "heat", "lid"])])
        form.folds["more"].folded = False
        pilot.app.mount(form)
        while not form.query(Rows):
            await asyncio.sleep(0)
        form.set_value("method", "pan")
        await pilot.pause()
        seen = [line for line in form.query_one(Rows).children if line.display and isinstance(line, Fold | FieldRow)]
        titles = [line.title if isinstance(line, Fold) else line.view.name for line in seen]
        assert titles == ["model", "method", "more", "loaves", "lid"]
        assert form.spec() == BakeSpec(model="rye", method="pan")


async def test_the_keyboard_goes_through_the_fields_and_the_choices() -> None:
    async with Host(sections=fields("model", "method", "loaves", "lid")).run_test() as pilot:
        form = app_of(pilot).form
        form.focus()
        await pilot.press("down", "right")
        await pilot.pause()
        assert form.values()["method"] == "pan"
        assert [name for name, row in form.rows.items() if row.lit] == ["method"], "its explanation follows its value"
        await pilot.press("down", "down", "space")
        assert form.values()["lid"] is True
        await pilot.press("down", "down", "up")
        assert pilot.app.focused is form.rows["loaves"].editor, "down stops at the end"
        await pilot.press("enter")
        assert pilot.app.focused is form.rows["lid"].editor


async def test_down_goes_to_the_next_field_also_where_the_form_is_longer_than_the_window() -> None:
    async with Host().run_test(size=(60, 6)) as pilot:
        form = app_of(pilot).form
        form.focus()
        await pilot.press("down", "down", "down", "down", "down", "down")
        await pilot.pause()
        note = form.rows["note"].editor.as_widget()
        assert pilot.app.focused is note
        assert pilot.app.screen.region.contains_region(note.region), "and it is in sight"


SECTIONS = [("", ["model", "method", "loaves", "heat", "lid", "turns", "note"]), ("machine", ["seed", "device"])]


async def test_a_folded_section_tells_what_it_holds_and_what_is_wrong() -> None:
    async with Host(sections=SECTIONS).run_test(size=(80, 10)) as pilot:
        form = app_of(pilot).form
        fold = form.folds["machine"]
        assert "seed" not in shown(form)
        assert str(fold.render()) == " ▸ machine           seed 0 · auto"
        form.set_values({"model": "rye", "seed": 3})
        await pilot.pause()
        assert str(fold.render()) == "*▸ machine           seed 3 · auto"
        form.set_values({"model": "rye", "seed": -1})
        await pilot.pause()
        assert str(fold.render()).startswith("!▸ machine           1 wrong")
        form.focus()
        await pilot.pause()
        assert pilot.app.focused is form.rows["seed"].editor, "the wrong field is brought out"


async def test_sections_are_open_as_far_as_they_fit() -> None:
    async with Host(sections=SECTIONS).run_test(size=(80, 40)) as pilot:
        assert {"seed", "device"} <= set(shown(app_of(pilot).form))
    async with Host(sections=[*SECTIONS, ("rest", [])]).run_test(size=(80, 10)) as pilot:
        assert not {"seed", "device"} & set(shown(app_of(pilot).form))
        app_of(pilot).form.toggle_folds()
        await pilot.pause()
        assert {"seed", "device"} <= set(shown(app_of(pilot).form))


def in_a_pan(given: Mapping[str, Any]) -> Guidance:
    """A pan bakes three loaves at most at once, and asks for no note."""
    if given.get("method") != "pan":
        return Guidance()
    return Guidance(defaults={"loaves": 3, "turns": 5}, choices={"lid": (True,)}, hidden=frozenset({"note"}), help={"loaves": "As many as lie flat"})


async def test_fields_that_nobody_touched_follow_the_default_of_the_method() -> None:
    async with Host(guide=in_a_pan).run_test(size=(100, 24)) as pilot:
        form = app_of(pilot).form
        form.set_value("method", "pan")
        await pilot.pause()
        assert form.rows["loaves"].editor.value == "3"  # type: ignore[attr-defined]
        assert form.values() == {"model": "rye", "method": "pan"}, "what follows from the method is not asked for apart"
        assert row_text(form, "loaves") == (" loaves", ""), "and is no change of the person's"
        await type_into(pilot, "loaves", "4")
        form.set_value("method", "oven")
        await pilot.pause()
        assert form.values()["loaves"] == 4, "what was typed stays"
        await type_into(pilot, "loaves", "2")
        form.set_value("method", "pan")
        await pilot.pause()
        assert form.rows["loaves"].editor.value == "3", "typing the default again is taking it back"  # type: ignore[attr-defined]


async def test_a_field_that_was_emptied_shows_its_default_when_it_is_left() -> None:
    async with Host(guide=in_a_pan).run_test(size=(100, 24)) as pilot:
        form = app_of(pilot).form
        await type_into(pilot, "loaves", "")
        assert form.rows["loaves"].editor.value == "", "not while the cursor is in it"  # type: ignore[attr-defined]
        assert form.rows["loaves"].editor.placeholder == "2"  # type: ignore[attr-defined]
        await pilot.press("down")
        await pilot.pause()
        assert form.rows["loaves"].editor.value == "2"  # type: ignore[attr-defined]


async def test_fields_and_explanations_follow_the_guide() -> None:
    async with Host(guide=in_a_pan).run_test(size=(100, 24)) as pilot:
        form = app_of(pilot).form
        assert "note" in shown(form)
        form.set_value("method", "pan")
        form.focus_field("loaves")
        await pilot.pause()
        assert "note" not in shown(form)
        assert str(form._help.render()) == "--loaves  As many as lie flat · 1 to 12 · default 3"


class LoafSpec(Spec):
    """A spec with choices, a list and a field that may be left open."""

    capability: ClassVar[str] = "loaf"

    kind: Annotated[Literal["rye", "wheat"], Field(description="Kind")] = "rye"
    shape: Annotated[Literal["round", "long", "plait"], Field(description="Shape")] = "long"
    cuts: Annotated[tuple[int, ...], Field(description="Where to cut", min_length=1)] = (2, 4)
    salt: Annotated[float | None, Field(description="Share of salt; tasted when not given", ge=0, le=1)] = None


async def test_choices_that_do_not_go_with_the_others_are_not_offered_and_come_back() -> None:
    def rye_is_round(given: Mapping[str, Any]) -> Guidance:
        return Guidance(choices={"shape": ("round", "plait")}, defaults={"shape": "round"}) if given.get("kind", "rye") == "rye" else Guidance()

    async with Host(spec=LoafSpec, guide=rye_is_round).run_test(size=(100, 24)) as pilot:
        form = app_of(pilot).form
        assert form.rows["shape"].editor.choices == ("round", "plait")  # type: ignore[attr-defined]
        assert form.rows["shape"].editor.get() == "round"
        form.set_value("kind", "wheat")
        form.set_value("shape", "long")
        form.set_value("shape", "plait")
        form.set_value("kind", "rye")
        await pilot.pause()
        assert form.values()["shape"] == "plait"
        form.set_value("kind", "wheat")
        form.set_value("shape", "long")
        assert form.rows["shape"].editor.choices == ("round", "long", "plait")  # type: ignore[attr-defined]
        form.set_value("kind", "rye")
        assert form.rows["shape"].editor.get() == "round"


async def test_lists_and_open_fields_are_typed_values() -> None:
    async with Host(spec=LoafSpec).run_test(size=(100, 24)) as pilot:
        form = app_of(pilot).form
        assert form.rows["cuts"].editor.value == "2, 4"  # type: ignore[attr-defined]
        assert form.rows["salt"].editor.placeholder == "tasted"  # type: ignore[attr-defined]
        form.focus_field("cuts")
        await pilot.press("ctrl+u", *"1,3", "space", "5")
        await pilot.pause()
        assert form.spec() == LoafSpec(model="rye", cuts=(1, 3, 5))
        await pilot.press("x")
        await pilot.pause()
        assert form.spec() is None
        assert "cuts" in form.problems


async def test_values_without_a_field_of_their_own_are_kept() -> None:
    async with Host(sections=fields("model")).run_test() as pilot:
        app_of(pilot).form.set_values({"model": "rye", "loaves": 5})
        assert app_of(pilot).form.spec() == BakeSpec(model="rye", loaves=5)


async def test_putting_values_is_told_once_and_typing_each_time() -> None:
    async with Host().run_test() as pilot:
        await pilot.pause()
        assert app_of(pilot).heard == []
        app_of(pilot).form.set_values({"model": "rye", "loaves": 5})
        await pilot.pause()
        assert len(app_of(pilot).heard) == 1
        await type_into(pilot, "note", "ab")
        assert [event.spec.note for event in app_of(pilot).heard[1:]] == ["a", "ab"]


async def test_a_name_that_cannot_be_shown_is_still_the_name_that_is_asked_for() -> None:
    async with Host().run_test() as pilot:
        nasty = "/models/\x1b[31mred"
        app_of(pilot).form.set_value("model", nasty)
        await pilot.pause()
        assert app_of(pilot).form.spec().model == nasty
        assert "\x1b" not in app_of(pilot).form.rows["model"].editor.value  # type: ignore[attr-defined]
        await type_into(pilot, "model", "blue")
        assert app_of(pilot).form.spec().model == "blue"


async def test_choices_that_do_not_fit_stand_between_arrows() -> None:
    async with Host(sections=fields("model", "method")).run_test(size=(32, 10)) as pilot:
        await pilot.pause()
        editor = pilot.app.query_one(ChoiceEditor)
        assert str(editor.render()) == "‹ oven ›", "how many there are is left out where it has no room"


@given(st.dictionaries(st.sampled_from(sorted(QuantizeSpec.model_fields)), st.one_of(st.integers(), st.text(max_size=8), st.booleans())))
def test_every_field_is_described_and_judged_alike(values: dict[str, Any]) -> None:
    views = {view.name: view for view in describe(QuantizeSpec)}
    assert set(views) == set(QuantizeSpec.model_fields)
    for view in views.values():
        assert view.help()
        assert set(view.applies) <= set(views)
        assert isinstance(view.applies_to(values), bool)


class SeveralSpec(Spec):
    """Lists of every kind."""

    capability: ClassVar[str] = "several"

    sizes: Annotated[tuple[int, ...], Field(description="Whole numbers")] = (4,)
    heats: Annotated[tuple[float, ...], Field(description="Numbers")] = (0.0,)
    tins: Annotated[tuple[str, ...], Field(description="Names")] = ()


async def test_a_field_of_several_values_reads_whole_numbers_decimals_or_names() -> None:
    async with Host(spec=SeveralSpec).run_test() as pilot:
        form = app_of(pilot).form
        for name, text in (("sizes", "2, 4"), ("heats", "0 0.7"), ("tins", "round, square")):
            form.set_value(name, text)
        assert form.spec() == SeveralSpec(model="rye", sizes=(2, 4), heats=(0.0, 0.7), tins=("round", "square"))
        form.set_value("heats", "hot")
        assert "heats" in form.problems["heats"]

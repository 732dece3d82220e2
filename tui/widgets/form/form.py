"""A form made from a spec: the fields, bounds, units and sentences of the command line, in a compact column."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import ValidationError
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from core.sanitize import clean
from core.spec import Spec, Values, sentences, text_in
from tui.widgets.form.fields import BY_KIND
from tui.widgets.form.fields.describe import FieldView, describe
from tui.widgets.form.fields.editor import Edited, Editor, Finished
from tui.widgets.form.fields.filled import Filled
from tui.widgets.form.fields.fold import Fold
from tui.widgets.form.fields.guide import Guide, no_guide
from tui.widgets.form.fields.row import FieldRow

_SPARE_LINES = 4
"""Help, and room for complaints."""

Sections = Sequence[tuple[str, Sequence[str]]]
"""(title, names of fields); what is under an empty title cannot be folded."""


class Rows(VerticalScroll, can_focus=False, inherit_bindings=False):
    """The lines of a form; up and down belong to the form, which brings the field it goes to into sight."""


class SpecForm(Widget):
    """Edits a spec.

    A field that does not apply with the others is not shown and keeps its default; one that nobody has filled in follows its default when
    that changes with another field. Sections are behind folds. Every complaint of the spec appears under its field as the command line words
    it; one that concerns several fields appears above the help line.
    """

    DEFAULT_CSS = """
    SpecForm { height: 1fr; layout: vertical; }
    SpecForm > Rows { height: 1fr; scrollbar-size-vertical: 1; scrollbar-gutter: stable; }
    SpecForm > .form--whole { height: auto; color: $text-error; display: none; }
    SpecForm > .form--whole.-wrong { display: block; }
    SpecForm > .form--help { height: 0; color: $text-muted; }
    SpecForm.-editing > .form--help { height: 3; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "go(1)", "Next field", id="form.next-field", show=False, tooltip="Go to the next field"),
        Binding("up", "go(-1)", "Previous field", id="form.previous-field", show=False, tooltip="Go to the previous field"),
    ]

    @dataclass
    class Changed(Message):
        """A value changed; `spec` is the valid request, or None with the `problems` by field."""

        form: SpecForm
        spec: Spec | None
        problems: Mapping[str, str]

        @property
        def control(self) -> SpecForm:
            return self.form

    def __init__(
        self,
        spec_class: type[Spec],
        values: Values | None = None,
        sections: Sections | None = None,
        editors: Mapping[str, Callable[[FieldView], Editor]] | None = None,
        guide: Guide = no_guide,
        beneath: int = 0,
        id: str | None = None,  # noqa: A002
    ) -> None:
        """Make a form.

        Args:
            spec_class: whose fields to edit.
            values: to begin with, instead of the defaults.
            sections: which fields to show, in this order, and under which titles; all without a title by default.
            editors: editors for single fields by name, instead of the one for their type.
            guide: what the fields mean together.
            beneath: lines of the parent that belong to others.
        """
        super().__init__(id=id)
        self.spec_class = spec_class
        self.views = {view.name: view for view in describe(spec_class)}
        chosen = [(title, [name for name in names if name in self.views]) for title, names in sections or (("", list(self.views)),)]
        self.folds = {title: Fold(title) for title, names in chosen if title and names}
        makers = editors or {}
        self._section = {name: title for title, names in chosen for name in names}
        self._body = Rows()
        self._whole = Static(classes="form--whole", markup=False)
        self._help = Static(classes="form--help", markup=False)
        self.problems: dict[str, str] = {}
        self._spec: Spec | None = None
        self._laid_out = False
        self._beneath = beneath
        self._filled = Filled(self.views, self._section, lambda view: makers.get(view.name, BY_KIND[view.kind])(view), guide)
        self.rows = self._filled.rows
        self._filled.begin(values or {})
        self._begun_with = self._filled.shown
        self._check()

    def compose(self) -> ComposeResult:
        """The rows to be seen under their folds, then complaint and help. The other rows are mounted when they are needed: that takes long."""
        with self._body:
            yield from self._lines()
        yield self._whole
        yield self._help

    def on_mount(self) -> None:
        self._arrange()

    def on_resize(self) -> None:
        """Open what there is room for, from the top, in addition to what the form began with: what comes a moment later changes no fold.

        What is below may still grow, so the parent is what is measured.
        """
        above = self.parent
        height = above.size.height - self._beneath if isinstance(above, Widget) else self.size.height
        if self._laid_out or height <= 0:
            return
        self._laid_out = True
        lines = _SPARE_LINES + len(self.folds) + sum(1 for name in self._begun_with if not self._section[name])
        for title, fold in self.folds.items():
            lines += sum(1 for name in self._begun_with if self._section[name] == title)
            fold.folded = lines > height
        self._arrange()

    def values(self) -> dict[str, object]:
        """What is asked for: everything that was filled in and applies."""
        return self._filled.given()

    def spec(self) -> Spec | None:
        """The valid request, or None while something is wrong."""
        return self._spec

    @property
    def model(self) -> str:
        """The model that is filled in; empty while there is none."""
        return text_in(self.values(), "model")

    def set_values(self, values: Values) -> None:
        """Begin anew with these values, the defaults for all others."""
        self._filled.begin(values)
        self._begun_with = self._filled.shown
        self._changed()

    def set_value(self, name: str, value: Any) -> None:
        """Change one field as if it had been typed."""
        self.rows[name].editor.put(value)
        self._filled.take(name)
        self._changed()

    def focus_field(self, name: str) -> None:
        """Put the cursor into a field, opening the fold when it is behind one."""
        self._open(name)
        self._go_to(name)

    def focus(self, scroll_visible: bool = True) -> SpecForm:
        """Focus the first wrong field, else the first."""
        name = next((name for name in self._section if name in self.problems), None) or next(iter(self._section))
        self._open(name)
        self._go_to(name, scroll_visible)
        return self

    def _go_to(self, name: str, scroll_visible: bool = True) -> None:
        editor = self.rows[name].editor.as_widget()
        if editor.is_attached:
            editor.focus(scroll_visible)
        else:
            self.call_after_refresh(editor.focus, scroll_visible)

    def action_go(self, by: int) -> None:
        lines: list[Widget] = [line for line in self._lines() if line.is_attached and line.display]
        targets = [line.editor.as_widget() if isinstance(line, FieldRow) else line for line in lines]
        focused = self.screen.focused
        if focused in targets:
            targets[max(0, min(len(targets) - 1, targets.index(focused) + by))].focus()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        row = next((row for row in self.rows.values() if row.editor.as_widget() is event.widget), None)
        for other in self.rows.values():
            other.lit = other is row
        self._explain(row)
        self.add_class("-editing")

    def on_descendant_blur(self) -> None:
        focused = self.screen.focused
        if focused is None or self not in focused.ancestors:
            self.remove_class("-editing")
        for row in self.rows.values():
            row.lit = row.lit and row.editor.as_widget() is focused  # of two fields, the one that is left may say so last
        self._filled.leave()

    @on(Edited)
    def _edited(self, event: Edited) -> None:
        event.stop()
        row = self.rows[event.editor.view.name]
        self._filled.take(row.view.name)
        self._changed()
        if row.lit:
            self._explain(row)

    @on(Finished)
    def _finished(self, event: Finished) -> None:
        event.stop()
        self.action_go(1)

    @on(Fold.Toggled)
    def _toggled(self, event: Fold.Toggled) -> None:
        event.stop()
        self._arrange()

    def toggle_folds(self) -> None:
        """Open every fold, or close them when all are open."""
        folded = not any(fold.folded for fold in self.folds.values())
        for fold in self.folds.values():
            fold.folded = folded
        self._arrange()

    def _lines(self) -> Iterator[Widget]:
        """The folds, and every row that is or was to be seen."""
        above = {""}
        for name, title in self._section.items():
            if title not in above:
                above.add(title)
                yield self.folds[title]
            if name in self.rows or self._is_open(name):
                yield self.rows[name]

    def _is_open(self, name: str) -> bool:
        """Whether a field applies and is not behind a closed fold."""
        fold = self.folds.get(self._section[name])
        return name in self._filled.shown and not (fold is not None and fold.folded)

    def _make(self) -> None:
        """Mount the rows that are to be seen for the first time, each before the line that follows it."""
        if not self._body.children:  # compose makes the first ones, in their order
            return
        following: Widget | None = None
        for line in reversed(list(self._lines())):
            if isinstance(line, FieldRow) and not line.is_attached:
                self._body.mount(line, before=following)
            if line.is_attached:
                following = line

    def _open(self, name: str) -> None:
        fold = self.folds.get(self._section[name])
        if fold is not None and fold.folded:
            fold.action_fold()
            self._arrange()

    def _explain(self, row: FieldRow | None) -> None:
        self._help.update(f"{row.view.option}  {clean(row.view.help())}" if row else "", layout=False)

    def _changed(self) -> None:
        self._check()
        if not self.is_attached:
            return
        self._arrange()
        self.post_message(self.Changed(self, self._spec, self.problems))

    def _check(self) -> None:
        self._filled.settle()
        try:
            self._spec, self.problems = self.spec_class.model_validate(self.values()), {}
        except ValidationError as error:
            self._spec, self.problems = None, sentences(error)

    def _arrange(self) -> None:
        """Show what applies, mark what is wrong or changed."""
        shown, changed = self._filled.shown, self._filled.changed
        self._make()
        for name, row in self.rows.items():
            if not row.is_attached:
                continue
            row.set_class(not self._is_open(name), "-hidden")
            row.show(self.problems.get(name), changed=name in changed)
        for title, fold in self.folds.items():
            behind = [name for name in self._section if name in shown and self._section[name] == title]
            fold.display = bool(behind)
            fold.counts = (len(changed & set(behind)), len([name for name in behind if name in self.problems]))
            fold.summary = " · ".join(filter(None, map(self._filled.summary, behind)))
        others = [text for name, text in self.problems.items() if name not in self._section]
        self._whole.set_class(bool(others), "-wrong")
        self._whole.update("\n".join(f"! {clean(text)}" for text in others))

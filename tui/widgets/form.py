"""A form made from a spec: the fields, bounds, units and sentences of the command line, in a compact column."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
from core.spec import Spec, sentences
from tui.widgets.fields import BY_KIND
from tui.widgets.fields.describe import FieldView, describe
from tui.widgets.fields.editor import UNSET, Edited, Editor, Finished
from tui.widgets.fields.fold import Fold
from tui.widgets.fields.row import FieldRow

_SPARE_LINES = 5
"""Fold, help, and room for complaints."""


class Rows(VerticalScroll, can_focus=False, inherit_bindings=False):
    """The lines of a form; up and down belong to the form, which brings the field it goes to into sight."""


class SpecForm(Widget):
    """Edits a spec.

    A field that does not apply beside the others is not shown and keeps its default. The advanced
    fields stand behind a fold. Every complaint of the spec stands under its field as the command line
    words it; one that concerns several fields stands above the help line.
    """

    DEFAULT_CSS = """
    SpecForm { height: 1fr; layout: vertical; }
    SpecForm > Rows { height: 1fr; scrollbar-size-vertical: 1; }
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
            """The form, for `@on` selectors."""
            return self.form

    def __init__(
        self,
        spec_class: type[Spec],
        values: Mapping[str, Any] | None = None,
        fields: Sequence[str] | None = None,
        advanced: Sequence[str] = (),
        editors: Mapping[str, Callable[[FieldView], Editor]] | None = None,
        id: str | None = None,  # noqa: A002
    ) -> None:
        """Make a form.

        Args:
            spec_class: whose fields to edit.
            values: to begin with, instead of the defaults.
            fields: names of those to show, in this order; all by default.
            advanced: names of those behind the fold.
            editors: editors for single fields by name, instead of the one for their type.
        """
        super().__init__(id=id)
        self.spec_class = spec_class
        self.views = {view.name: view for view in describe(spec_class)}
        chosen = [name for name in (fields or self.views) if name in self.views]
        ordered = [name for name in chosen if name not in advanced] + [name for name in chosen if name in advanced]
        self._advanced = frozenset(advanced)
        makers = editors or {}
        self.rows = {name: FieldRow(view := self.views[name], makers.get(name, BY_KIND[view.kind])(view)) for name in ordered}
        self._fixed: dict[str, Any] = {}
        self._fold = Fold()
        self._whole = Static(classes="form--whole", markup=False)
        self._help = Static(classes="form--help", markup=False)
        self.problems: dict[str, str] = {}
        self._spec: Spec | None = None
        self._roomy: bool | None = None
        self._fill(values or {})

    def compose(self) -> ComposeResult:
        """The basic rows, the fold, the advanced rows, then complaint and help."""
        with Rows():
            yield from (row for name, row in self.rows.items() if name not in self._advanced)
            if self._advanced & set(self.rows):
                yield self._fold
            yield from (row for name, row in self.rows.items() if name in self._advanced)
        yield self._whole
        yield self._help

    def on_mount(self) -> None:
        """Check what the form begins with."""
        self._check()

    def on_resize(self) -> None:
        """Where everything fits there is nothing to fold."""
        if self._roomy is None and self.size.height:
            self._roomy = self.size.height >= len(self.rows) + _SPARE_LINES
            if self._roomy and self._fold.folded:
                self._fold.folded = False
                self._arrange()

    def values(self) -> dict[str, Any]:
        """What is asked for: everything that was filled in and applies."""
        return self._fixed | {name: value for name, value in self._filled().items() if value is not UNSET and self._applies(name)}

    def spec(self) -> Spec | None:
        """The valid request, or None while something is wrong."""
        return self._spec

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Begin anew with these values, the defaults for all others."""
        self._fill(values)
        self._check()
        self.post_message(self.Changed(self, self._spec, self.problems))

    def set_value(self, name: str, value: Any) -> None:
        """Change one field as if it had been typed."""
        self.rows[name].editor.put(value)
        self._check()
        self.post_message(self.Changed(self, self._spec, self.problems))

    def focus_field(self, name: str) -> None:
        """Put the cursor into a field, opening the fold when it is behind it."""
        if name in self._advanced and self._fold.folded:
            self._fold.action_fold()
        self.rows[name].editor.as_widget().focus()

    def focus(self, scroll_visible: bool = True) -> SpecForm:
        """Focus the first wrong field, else the first."""
        wrong = next((name for name in self.rows if name in self.problems), None)
        name = wrong or next(iter(self.rows))
        if name in self._advanced and self._fold.folded:
            self._fold.action_fold()
        self.rows[name].editor.as_widget().focus(scroll_visible)
        return self

    def action_go(self, by: int) -> None:
        """Focus a neighbouring line of the form, stopping at the ends."""
        lines: list[Widget] = [line for line in (*self._lines(),) if line.display]
        targets = [line.editor.as_widget() if isinstance(line, FieldRow) else line for line in lines]
        focused = self.screen.focused
        if focused in targets:
            targets[max(0, min(len(targets) - 1, targets.index(focused) + by))].focus()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """Describe the field that has the cursor."""
        row = next((row for row in self.rows.values() if row.editor.as_widget() is event.widget), None)
        for other in self.rows.values():
            other.lit = other is row
        self._help.update(f"{row.view.option}  {clean(row.view.help())}" if row else "", layout=False)
        self.add_class("-editing")

    def on_descendant_blur(self) -> None:
        """Take mark and help off the field that had the cursor."""
        focused = self.screen.focused
        if focused is None or self not in focused.ancestors:
            self.remove_class("-editing")
        for row in self.rows.values():
            row.lit = False

    @on(Edited)
    def _edited(self, event: Edited) -> None:
        event.stop()
        self._check()
        self.post_message(self.Changed(self, self._spec, self.problems))

    @on(Finished)
    def _finished(self, event: Finished) -> None:
        event.stop()
        self.action_go(1)

    @on(Fold.Toggled)
    def _toggled(self, event: Fold.Toggled) -> None:
        event.stop()
        self._arrange()

    def toggle_advanced(self) -> None:
        """Open or close the fold."""
        self._fold.action_fold()

    def _lines(self) -> list[Widget]:
        basic: list[Widget] = [row for name, row in self.rows.items() if name not in self._advanced]
        advanced: list[Widget] = [row for name, row in self.rows.items() if name in self._advanced]
        return [*basic, self._fold, *advanced] if advanced else basic

    def _fill(self, values: Mapping[str, Any]) -> None:
        for name, row in self.rows.items():
            row.editor.put(values.get(name, row.view.default))
        self._fixed = {name: value for name, value in values.items() if name not in self.rows}

    def _filled(self) -> dict[str, Any]:
        return {name: row.editor.get() for name, row in self.rows.items()}

    def _effective(self) -> dict[str, Any]:
        """Values with defaults where nothing was typed, to decide what applies."""
        defaults = {name: view.default for name, view in self.views.items()}
        return defaults | self._fixed | {name: value for name, value in self._filled().items() if value is not UNSET}

    def _applies(self, name: str) -> bool:
        return self.views[name].applies_to(self._effective())

    def _check(self) -> None:
        try:
            self._spec, self.problems = self.spec_class.model_validate(self.values()), {}
        except ValidationError as error:
            self._spec, self.problems = None, sentences(error)
        self._arrange()

    def _arrange(self) -> None:
        """Show what applies, mark what is wrong or changed."""
        effective = self._effective()
        changed = {name for name, row in self.rows.items() if effective[name] != row.view.default and not row.view.required}
        shown = [name for name in self.rows if self.views[name].applies_to(effective)]
        for name, row in self.rows.items():
            row.set_class(name not in shown or (name in self._advanced and self._fold.folded), "-hidden")
            row.show(self.problems.get(name), changed=name in changed)
        behind = [name for name in shown if name in self._advanced]
        self._fold.counts = (len(behind), len(changed & set(behind)), len([name for name in behind if name in self.problems]))
        others = [text for name, text in self.problems.items() if name not in self.rows]
        self._whole.set_class(bool(others), "-wrong")
        self._whole.update("\n".join(f"! {clean(text)}" for text in others))

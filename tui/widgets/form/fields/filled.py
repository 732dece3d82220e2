"""What a user has filled into a form, and what that makes of the fields nobody has touched."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from core.spec import Values
from tui.widgets.form.fields.describe import FieldView
from tui.widgets.form.fields.editor import UNSET, Editor
from tui.widgets.form.fields.guide import Guidance, Guide
from tui.widgets.form.fields.row import FieldRow


class FieldRows(dict[str, FieldRow]):
    """The rows of a form that were needed so far, each made when it is first asked for: most stay behind folds, and making one takes long."""

    def __init__(self, make: Callable[[str], FieldRow]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, name: str) -> FieldRow:
        row = self[name] = self._make(name)
        return row


class Filled:
    """Values by field. What was typed is kept while its field does not apply, and comes back with it.

    Args:
        views: every field of the spec.
        names: those that the form has.
        maker: makes the editor of a field.
        guide: what the fields mean together.
    """

    def __init__(self, views: Mapping[str, FieldView], names: Collection[str], maker: Callable[[FieldView], Editor], guide: Guide) -> None:
        self._views, self._names, self._maker, self._guide = views, names, maker, guide
        self.rows = FieldRows(self._row)
        self._typed: dict[str, object] = {}
        self._fixed: dict[str, object] = {}
        self._emptied = ""
        self._guidance = Guidance()
        self.shown: frozenset[str] = frozenset()
        """Fields that mean something now."""
        self.changed: frozenset[str] = frozenset()
        """Those of them that are not as by default."""

    def begin(self, values: Values) -> None:
        """Begin anew with these values; what is as it would be without being given counts as not touched."""
        self._emptied = ""
        self._fixed = {name: value for name, value in values.items() if name not in self._names}
        named = {name: value for name, value in values.items() if name in self._names}
        self._typed = {name: value for name, value in named.items() if value != self._default(name, values)}
        self.settle()
        for name, row in self.rows.items():
            row.editor.put(self._value(name))

    def take(self, name: str) -> None:
        """Take what the editor of a field holds."""
        value = self.rows[name].editor.get()
        self._emptied = name if value is UNSET else ""
        others = {each: typed for each, typed in self._typed.items() if each != name}
        self._typed = others
        if value is not UNSET and value != self._default(name, self._fixed | others):
            self._typed = others | {name: value}

    def leave(self) -> None:
        """The cursor went elsewhere: a field that was left empty shows its default again."""
        if self._emptied:
            name, self._emptied = self._emptied, ""
            self.rows[name].editor.put(self._value(name))

    def summary(self, name: str) -> str:
        """What a field holds, for a line that sums several up; empty where that is nothing."""
        if name not in self.rows:
            return self._view(name).summary(self._value(name))
        held = self.rows[name].editor.get()
        return self.rows[name].view.summary(None if held is UNSET else held)

    def given(self) -> dict[str, object]:
        """What is asked for: everything that was filled in and applies."""
        return self._fixed | {name: value for name, value in self._typed.items() if name in self.shown and self._offered(name, value)}

    def settle(self) -> None:
        """Bring every editor that nobody has touched to the default that follows from those that somebody has."""
        self._guidance = Guidance()
        self.shown = frozenset(self._names)
        # What is asked for decides what applies, and what applies what is asked for: twice is enough for one field that hangs on another.
        for _ in range(3):
            self._guidance = self._guide(self.given())
            effective = self._effective(self.given(), self._guidance)
            self.shown = frozenset(name for name in self._names if name not in self._guidance.hidden and self._views[name].applies_to(effective))
        given = self.given()
        self.changed = frozenset(name for name in given if name in self._names and not self._views[name].required)
        for name, row in self.rows.items():
            view = self._view(name)
            if view != row.view:
                row.take(view)
            held = row.editor.get()
            if name != self._emptied and (None if held is UNSET else held) != self._value(name):
                row.editor.put(self._value(name))

    def _row(self, name: str) -> FieldRow:
        row = FieldRow(self._views[name], self._maker(self._views[name]))
        if (view := self._view(name)) != row.view:
            row.take(view)
        row.editor.put(self._value(name))
        return row

    def _value(self, name: str) -> Any:
        if name in self._typed and self._offered(name, self._typed[name]):
            return self._typed[name]
        return self._guidance.defaults.get(name, self._views[name].default)

    def _offered(self, name: str, value: Any) -> bool:
        """Whether a value is among the choices that are left; a wrong one of a field without choices is the spec's to refuse."""
        return name not in self._guidance.choices or value in self._guidance.choices[name]

    def _view(self, name: str) -> FieldView:
        view, guidance = self._views[name], self._guidance
        return replace(
            view,
            default=guidance.defaults.get(name, view.default),
            choices=guidance.choices.get(name, view.choices),
            description=guidance.help.get(name, view.description),
        )

    def _default(self, name: str, values: Values) -> Any:
        """What a field would be with the others if it were not given."""
        others = {each: value for each, value in values.items() if each != name}
        return self._guide(others).defaults.get(name, self._views[name].default)

    def _effective(self, given: Values, guidance: Guidance) -> dict[str, object]:
        return {name: view.default for name, view in self._views.items()} | dict(guidance.defaults) | dict(given)

"""What a person has filled into a form, and what that makes of the fields nobody has touched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from core.spec import Values
from tui.widgets.form.fields.describe import FieldView
from tui.widgets.form.fields.editor import UNSET
from tui.widgets.form.fields.guide import Guidance, Guide
from tui.widgets.form.fields.row import FieldRow


class Filled:
    """Values by field. What was typed is kept while its field does not apply, and comes back with it."""

    def __init__(self, views: Mapping[str, FieldView], rows: Mapping[str, FieldRow], guide: Guide) -> None:
        self._views, self._rows, self._guide = views, rows, guide
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
        self._fixed = {name: value for name, value in values.items() if name not in self._rows}
        named = {name: value for name, value in values.items() if name in self._rows}
        self._typed = {name: value for name, value in named.items() if value != self._default(name, values)}
        self.settle()
        for name, row in self._rows.items():
            row.editor.put(self._value(name))

    def take(self, name: str) -> None:
        """Take what the editor of a field holds."""
        value = self._rows[name].editor.get()
        self._emptied = name if value is UNSET else ""
        others = {each: typed for each, typed in self._typed.items() if each != name}
        self._typed = others
        if value is not UNSET and value != self._default(name, self._fixed | others):
            self._typed = others | {name: value}

    def leave(self) -> None:
        """The cursor went elsewhere: a field that was left empty shows its default again."""
        if self._emptied:
            name, self._emptied = self._emptied, ""
            self._rows[name].editor.put(self._value(name))

    def given(self) -> dict[str, object]:
        """What is asked for: everything that was filled in and applies."""
        return self._fixed | {name: value for name, value in self._typed.items() if name in self.shown and self._offered(name, value)}

    def settle(self) -> None:
        """Bring every editor that nobody has touched to its default beside those that somebody has."""
        self._guidance = Guidance()
        self.shown = frozenset(self._rows)
        # What is asked for decides what applies, and what applies what is asked for: twice is enough for one field that hangs on another.
        for _ in range(3):
            self._guidance = self._guide(self.given())
            effective = self._effective(self.given(), self._guidance)
            self.shown = frozenset(name for name in self._rows if name not in self._guidance.hidden and self._views[name].applies_to(effective))
        given = self.given()
        self.changed = frozenset(name for name in given if name in self._rows and not self._views[name].required)
        for name, row in self._rows.items():
            view = self._view(name)
            if view != row.view:
                row.take(view)
            held = row.editor.get()
            if name != self._emptied and (None if held is UNSET else held) != self._value(name):
                row.editor.put(self._value(name))

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
        """What a field would be beside the others if it were not given."""
        others = {each: value for each, value in values.items() if each != name}
        return self._guide(others).defaults.get(name, self._views[name].default)

    def _effective(self, given: Values, guidance: Guidance) -> dict[str, object]:
        return {name: view.default for name, view in self._views.items()} | dict(guidance.defaults) | dict(given)

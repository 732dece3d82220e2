"""Editors for the fields of a spec, one a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tui.widgets.fields.choice import ChoiceEditor
from tui.widgets.fields.describe import FieldView, Kind
from tui.widgets.fields.editor import Editor
from tui.widgets.fields.entry import EntryEditor, NamesEditor, NumberEditor, NumbersEditor

BY_KIND: Mapping[Kind, Callable[[FieldView], Editor]] = {
    "choice": ChoiceEditor,
    "flag": ChoiceEditor,
    "integer": NumberEditor,
    "number": NumberEditor,
    "integers": NumbersEditor,
    "numbers": NumbersEditor,
    "names": NamesEditor,
    "text": EntryEditor,
}

"""Editors for the fields of a spec, one per file.

May import `core.spec`. Never one field by its name: an editor follows from a field's type and bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tui.widgets.form.fields.choice import ChoiceEditor
from tui.widgets.form.fields.describe import FieldView, Kind
from tui.widgets.form.fields.editor import Editor
from tui.widgets.form.fields.entry import EntryEditor, NamesEditor, NumberEditor, NumbersEditor

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

"""The model of a spec: typed, or chosen from a list with enter."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from tui.widgets.form.fields.editor import Edited
from tui.widgets.form.fields.entry import EntryEditor


class ModelEditor(EntryEditor):
    """An entry whose enter opens the list of models."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "finish", "Choose a model", id="form.pick-model", tooltip="List the models on this machine")
    ]

    def action_finish(self) -> None:
        from tui.widgets.form.model_picker import ModelPicker

        self.app.push_screen(ModelPicker(str(self.get() or "")), self._picked)

    def _picked(self, name: str | None) -> None:
        if name is not None and name != self.get():
            self.put(name)
            self.post_message(Edited(self))

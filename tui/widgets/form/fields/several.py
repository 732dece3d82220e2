"""Several of a list of names on one line: how many, and which."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widget import Widget

from core.sanitize import clean
from tui.widgets.form.fields.describe import FieldView
from tui.widgets.form.fields.editor import UNSET, Edited, Finished


class SeveralEditor(Widget, can_focus=True):
    """`13: dynamic, static, paged, int8 …`; a subclass lets a user choose. Delete and backspace take the default again."""

    DEFAULT_CSS = """
    SeveralEditor { height: 1; width: 1fr; }
    SeveralEditor:focus { background: $surface-lighten-1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("delete,backspace", "clear", "Default", id="form.default-values", show=False, tooltip="Reset the field to its default"),
    ]

    def __init__(self, view: FieldView) -> None:
        super().__init__()
        self.view = view
        self._names: tuple[str, ...] | None = None

    @property
    def HELP(self) -> str:  # type: ignore[override]  # noqa: N802
        return self.view.explained()

    @property
    def names(self) -> tuple[str, ...]:
        """What is chosen, the default while nothing is."""
        chosen = self._names if self._names is not None else self.view.default
        return tuple(map(str, chosen or ()))

    def take(self, view: FieldView) -> None:
        self.view = view
        self.refresh()

    def get(self) -> Any:
        return UNSET if self._names is None else self._names

    def put(self, value: Any) -> None:
        if isinstance(value, str):
            value = value.replace(",", " ").split()
        self._names = None if value is None else tuple(map(str, value))
        self.refresh()

    def as_widget(self) -> Widget:
        return self

    def action_clear(self) -> None:
        if self.names != tuple(self.view.default or ()):
            self.put(self.view.default)
            self.post_message(Edited(self))

    def action_finish(self) -> None:
        self.post_message(Finished(self))

    def render(self) -> Content:
        names = [clean(name) for name in self.names]
        if not names:
            return Content.styled("none", "dim")
        room = self.size.width or 30
        whole = ", ".join(names)
        if len(whole) <= room:
            return Content(whole)
        head = f"{len(names)}: "
        fitting: list[str] = []
        for name in names:
            if len(head + ", ".join([*fitting, name])) + 3 > room:
                break
            fitting.append(name)
        return Content.assemble((head, "bold"), ", ".join(fitting), (", …" if fitting else "…", "dim"))

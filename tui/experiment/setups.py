"""Several forms of one tab, of which one is shown: for tabs that start more than one kind of run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import ContentSwitcher

from core.spec import Spec, Values
from tui.experiment.setup import SetupView
from tui.widgets.form.fields.choice import ChoiceEditor
from tui.widgets.form.fields.describe import FieldView
from tui.widgets.form.fields.editor import Edited, Finished
from tui.widgets.form.fields.row import FieldRow
from tui.widgets.form.form import SpecForm


class Setups(Vertical):
    """A choice of the experiment, and below it the form of the chosen one. The model is the same in all.

    It can be used where a `SetupView` can.

    Args:
        views: name in the choice -> its form, in this order.
        description: of the choice, for the help.
    """

    DEFAULT_CSS = """
    Setups { height: 1fr; }
    Setups > ContentSwitcher { height: 1fr; }
    Setups SetupView { width: 1fr; }
    """
    HELP: ClassVar[str] = "Which experiment to set up: left and right choose, down enters its form."

    def __init__(self, views: Mapping[str, SetupView[Any]], description: str, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.views = dict(views)
        for name, view in self.views.items():
            view.id = _id(name)
        self._choice = FieldView("experiment", "choice", description, next(iter(views)), choices=tuple(views))
        self._row = FieldRow(self._choice, ChoiceEditor(self._choice))
        self._model = ""

    def compose(self) -> ComposeResult:
        """The choice, then the chosen form. The others are mounted when they are chosen: that takes long."""
        yield self._row
        with ContentSwitcher(initial=_id(self.chosen)):
            yield self.current

    def on_mount(self) -> None:
        self.call_after_refresh(self._turn)

    @property
    def chosen(self) -> str:
        return str(self._row.editor.get())

    @property
    def current(self) -> SetupView[Any]:
        return self.views[self.chosen]

    @property
    def form(self) -> SpecForm:
        return self.current.form

    @property
    def waiting(self) -> bool:
        return any(view.waiting for view in self.views.values())

    def choose(self, name: str) -> None:
        if name != self.chosen:
            self._row.editor.put(name)
            self._turn()

    def choose_next(self) -> None:
        names = list(self.views)
        self.choose(names[(names.index(self.chosen) + 1) % len(names)])

    def choose_capability(self, capability: str) -> None:
        for name, view in self.views.items():
            if view.spec_class.capability == capability:
                self.choose(name)

    def spec(self) -> Spec | None:
        spec = self.current.spec()
        return spec if isinstance(spec, Spec) else None

    def problem(self) -> str:
        return self.current.problem()

    def prefill(self, values: Values) -> list[str]:
        """Fill the first form that has all these fields, the chosen one before others; answers the fields that no form has."""
        fitting = (name for name, view in self.views.items() if set(values) <= set(view.spec_class.model_fields))
        chosen = set(values) <= set(self.current.spec_class.model_fields)
        self.choose(self.chosen if chosen else next(fitting, self.chosen))
        return self.current.prefill(values)

    def begin_with(self, model: object) -> None:
        """Name another model in every form that nobody has changed."""
        for view in self.views.values():
            if view.takes(model):
                view.begin_with(model)

    def reset(self) -> None:
        self.current.reset()

    def pick_model(self) -> None:
        self.current.pick_model()

    @on(SetupView.ModelChanged)
    def _same_model(self, event: SetupView.ModelChanged) -> None:
        """The other forms follow the chosen one; the tab is notified once, not again for what another form was checked with before."""
        if event.model == self._model or event.model != self.form.model:
            event.stop()
            return
        self._model = event.model
        for view in self.views.values():
            if view.takes(event.model) and view.form.model != event.model:
                view.form.set_value("model", event.model)

    @on(Edited)
    def _edited(self, event: Edited) -> None:
        if event.editor is self._row.editor:
            event.stop()
            self._turn()

    @on(Finished)
    def _finished(self, event: Finished) -> None:
        if event.editor is self._row.editor:
            event.stop()
            self.form.focus()

    def _turn(self) -> None:
        switcher = self.query_one(ContentSwitcher)
        if not self.current.is_attached:
            switcher.mount(self.current)
        switcher.current = _id(self.chosen)


def _id(name: str) -> str:
    return "setup-" + "-".join(name.lower().split())

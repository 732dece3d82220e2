"""What to do: the form of a spec, and beneath it whether that fits this machine."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.timer import Timer
from textual.worker import get_current_worker

from core.runs.launch.admission import Admission
from core.spec import Spec, Values
from tui.experiment.fit import Fit, FitPanel, judge
from tui.services.services import services_of
from tui.widgets.form.fields.describe import FieldView
from tui.widgets.form.fields.editor import Editor
from tui.widgets.form.fields.guide import Guide, no_guide
from tui.widgets.form.fields.model import ModelEditor
from tui.widgets.form.form import Sections, SpecForm
from tui.widgets.threads import in_thread

FIRST_MODEL = "bundled:base"
_VERDICT = 5
"""Lines that the fit check usually takes."""
_CHECK_AFTER = 0.25
"""Seconds without a key before the check begins."""

S = TypeVar("S", bound=Spec)


def sections(spec_class: type[Spec], opened: Sequence[str], titles: Mapping[str, str] | None = None, without: Collection[str] = ()) -> Sections:
    """A form's sections: fields that are `opened` without a title, the spec's other sections behind folds, then `details`.

    Args:
        spec_class: whose fields they are.
        opened: in this order.
        titles: of the spec's sections -> other titles.
        without: fields that the form does not have.
    """
    placed = {*opened, *without}
    folded = [((titles or {}).get(title, title), [name for name in names if name not in placed]) for title, names in spec_class.sections]
    placed |= {name for _, names in folded for name in names}
    rest = [name for name in spec_class.model_fields if name not in placed]
    return [(title, names) for title, names in (("", list(opened)), *folded, ("details", rest)) if names]


class SetupView(Vertical, Generic[S]):
    """The form and its fit check, which runs in a thread whenever the form comes to rest.

    Args:
        spec_class: whose fields to edit.
        foresee: what an admitted request will take. Runs in a thread.
        sections: which fields to show and under which titles, as `SpecForm` takes them.
        editors: for single fields by name, next to the one for `model`.
        guide: what the fields mean together.
        first: values that the form begins with, in place of defaults.
        takes: whether a model that another form of the tab names fits this one.
    """

    DEFAULT_CSS = """
    SetupView { height: 1fr; }
    """

    @dataclass
    class ModelChanged(Message):
        """Another model that can be read was named."""

        model: str

    def __init__(
        self,
        spec_class: type[S],
        foresee: Callable[[S, Admission], Fit],
        sections: Sections | None = None,
        editors: Mapping[str, Callable[[FieldView], Editor]] | None = None,
        guide: Guide = no_guide,
        first: Values | None = None,
        *,
        takes: Callable[[object], bool] = lambda _model: True,
        id: str | None = None,  # noqa: A002
    ) -> None:
        super().__init__(id=id)
        self.spec_class = spec_class
        self.takes = takes
        self._foresee = foresee
        self._first = {"model": FIRST_MODEL} | dict(first or {})
        makers: dict[str, Callable[[FieldView], Editor]] = {"model": ModelEditor} | dict(editors or {})
        self.form = SpecForm(spec_class, self._first, sections, makers, guide, _VERDICT, id="form")
        self.fit = FitPanel()
        self._timer: Timer | None = None
        self._model = ""

    def compose(self) -> ComposeResult:
        yield self.form
        yield self.fit

    def on_mount(self) -> None:
        self.check_now()

    def spec(self) -> S | None:
        spec = self.form.spec()
        return spec if isinstance(spec, self.spec_class) else None

    def problem(self) -> str:
        """The first complaint of the form."""
        return next(iter(self.form.problems.values()), "the form is not complete")

    def prefill(self, values: Values) -> list[str]:
        """Fill the form; answers the fields that this version does not have, which are left out."""
        known = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items() if name in self.spec_class.model_fields}
        self.form.set_values({"model": self.form.model or FIRST_MODEL} | known)
        return sorted(set(values) - set(known))

    def begin_with(self, model: object) -> None:
        """Name another model, unless the user has changed the form."""
        if isinstance(model, str) and model and self.spec() == self.spec_class.model_validate(self._first):
            self.form.set_value("model", model)

    def reset(self) -> None:
        """Every field to its default; the model stays."""
        self.prefill({})

    def pick_model(self) -> None:
        self.form.focus_field("model")
        editor = self.form.rows["model"].editor
        if isinstance(editor, ModelEditor):
            editor.action_finish()

    @property
    def waiting(self) -> bool:
        """Whether the form has changed and its check has not begun."""
        return self._timer is not None

    def check_now(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        spec = self.spec()
        if spec is None:
            self.fit.show(Fit(refusal="see the field marked with ! in the form"))
        else:
            self._check(spec)

    @on(SpecForm.Changed)
    def _changed(self, event: SpecForm.Changed) -> None:
        event.stop()
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(_CHECK_AFTER, self.check_now, name="check")

    @in_thread(group="check", description="check whether the model fits", exclusive=True)
    def _check(self, spec: S) -> None:
        worker = get_current_worker()
        found = judge(services_of(self).runs, spec, self._foresee)
        if not worker.is_cancelled:
            self.app.call_from_thread(self._checked, spec, found)

    def _checked(self, spec: S, found: Fit) -> None:
        if spec != self.spec():
            return
        self.fit.show(found)
        if spec.model != self._model:
            self._model = spec.model
            self.post_message(self.ModelChanged(spec.model))

"""What to do: the form, and beneath it whether that fits this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.timer import Timer
from textual.worker import get_current_worker

from core.hardware.snapshot import GpuState
from core.quantize.spec import QuantizeSpec
from tui.quantize.fit import Fit, FitPanel, probe
from tui.quantize.guide import guide, sections
from tui.quantize.options import level_options, method_options
from tui.services import services_of
from tui.widgets.fields.describe import FieldView
from tui.widgets.fields.editor import Editor
from tui.widgets.fields.model import ModelEditor
from tui.widgets.form import SpecForm
from tui.widgets.table_picker import Options, PickedChoice
from tui.widgets.threads import in_thread

FIRST_MODEL = "bundled:base"
_VERDICT = 5
"""Lines that the fit check usually takes."""
_CHECK_AFTER = 0.25
"""Seconds without a key before the check begins."""


class SetupView(Vertical):
    """The form and its fit check, which runs in a thread whenever the form comes to rest."""

    DEFAULT_CSS = """
    SetupView { height: 1fr; }
    """

    @dataclass
    class ModelChanged(Message):
        """Another model that can be read was named."""

        model: str

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        editors: dict[str, Callable[[FieldView], Editor]] = {
            "model": ModelEditor,
            "method": partial(PickedChoice, read=method_options),
            "level": partial(PickedChoice, read=self._levels),
        }
        self.form = SpecForm(QuantizeSpec, {"model": FIRST_MODEL}, sections(), editors, guide, _VERDICT, id="form")
        self.fit = FitPanel()
        self._timer: Timer | None = None
        self._model = ""

    def compose(self) -> ComposeResult:
        """Form above, verdict below."""
        yield self.form
        yield self.fit

    def on_mount(self) -> None:
        """Check what the form begins with."""
        self.check_now()

    def spec(self) -> QuantizeSpec | None:
        """The valid request, or None."""
        spec = self.form.spec()
        return spec if isinstance(spec, QuantizeSpec) else None

    def problem(self) -> str:
        """The first complaint of the form."""
        return next(iter(self.form.problems.values()), "the form is not complete")

    def prefill(self, values: Mapping[str, Any]) -> list[str]:
        """Fill the form; answers the fields that this version does not have, which are left out."""
        known = {name: value for name, value in values.items() if name in QuantizeSpec.model_fields}
        self.form.set_values({"model": self.form.values().get("model", FIRST_MODEL)} | known)
        return sorted(set(values) - set(known))

    def begin_with(self, model: object) -> None:
        """Name another model, unless a person has changed the form."""
        if isinstance(model, str) and model and self.spec() == QuantizeSpec(model=FIRST_MODEL):
            self.form.set_value("model", model)

    def reset(self) -> None:
        """Every field to its default; the model stays."""
        self.prefill({})

    def pick_model(self) -> None:
        """Open the list of models."""
        self.form.focus_field("model")
        editor = self.form.rows["model"].editor
        if isinstance(editor, ModelEditor):
            editor.action_finish()

    @property
    def waiting(self) -> bool:
        """Whether the form has changed and its check has not begun."""
        return self._timer is not None

    def check_now(self) -> None:
        """Check the form as it stands."""
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        spec = self.spec()
        if spec is None:
            self.fit.show(Fit(refusal="see the line that is marked with ! in the form"))
        else:
            self._check(spec)

    @on(SpecForm.Changed)
    def _changed(self, event: SpecForm.Changed) -> None:
        event.stop()
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(_CHECK_AFTER, self.check_now, name="check")

    @in_thread(group="check", description="check whether the model fits", exclusive=True)
    def _check(self, spec: QuantizeSpec) -> None:
        worker = get_current_worker()
        found = probe(services_of(self).models, spec, self._gpus() if spec.method == "fp8" else None)
        if not worker.is_cancelled:
            self.app.call_from_thread(self._checked, spec, found)

    def _levels(self) -> Options:
        return level_options(services_of(self).models, self.form.values())

    def _gpus(self) -> Sequence[GpuState] | None:
        latest = services_of(self).sampler.latest
        return None if latest is None else latest.gpus

    def _checked(self, spec: QuantizeSpec, found: Fit) -> None:
        if spec != self.spec():
            return
        self.fit.show(found)
        if spec.model != self._model:
            self._model = spec.model
            self.post_message(self.ModelChanged(spec.model))

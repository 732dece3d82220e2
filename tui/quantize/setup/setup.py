"""What to do: the form of a quantization, and beneath it whether that fits this machine."""

from __future__ import annotations

from functools import partial

from core.quantize.check import FitCheck
from core.quantize.spec import QuantizeSpec
from core.runs.launch.admission import Admission
from tui.experiment import setup
from tui.experiment.fit import Fit
from tui.quantize.setup import fp8_units
from tui.quantize.setup.guide import guide, sections
from tui.quantize.setup.options import level_options, method_options
from tui.services.services import services_of
from tui.widgets import words
from tui.widgets.form.table_picker import Options, PickedChoice


class SetupView(setup.SetupView[QuantizeSpec]):
    """Method and level are chosen from tables; FP8 is checked against the GPUs too."""

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        editors = {"method": partial(PickedChoice, read=method_options), "level": partial(PickedChoice, read=self._levels)}
        super().__init__(QuantizeSpec, self._foreseen, sections(), editors, guide, id=id)

    def _foreseen(self, spec: QuantizeSpec, admission: Admission) -> Fit:
        found: FitCheck = admission.answer
        lines = [
            ("estimate", f"checkpoint {words.size(found.bytes_after)} from {words.size(found.bytes_before)}"),
            ("", f"{words.figure(found.bits_per_weight, 3)} bits per weight, {found.linears} linears quantized"),
            ("", f"{words.size(found.peak_memory_bytes)} peak memory, {words.size(found.memory_available)} free"),
        ]
        if spec.method == "fp8":
            latest = services_of(self).sampler.latest
            gpus = None if latest is None else latest.gpus
            lines.append(("FP8", fp8_units.sentence(spec, gpus, cpu_only=fp8_units.torch_is_cpu_only())))
        return Fit(lines=tuple(lines), warnings=found.warnings)

    def _levels(self) -> Options:
        return level_options(services_of(self).models, self.form.model, imatrix="imatrix" in self.form.values())

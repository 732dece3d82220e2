"""What to do: the form of a quantization, and beneath it whether that fits this machine."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from core.hardware.snapshot import GpuState
from core.quantize.spec import QuantizeSpec
from core.runs.launch.admission import Admission
from tui.experiment import setup
from tui.experiment.fit import Fit
from tui.quantize.setup.fit import foreseen
from tui.quantize.setup.guide import guide, sections
from tui.quantize.setup.options import level_options, method_options
from tui.services.services import services_of
from tui.widgets.form.table_picker import Options, PickedChoice


class SetupView(setup.SetupView[QuantizeSpec]):
    """Method and level are chosen from tables; FP8 is checked against the GPUs too."""

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        editors = {"method": partial(PickedChoice, read=method_options), "level": partial(PickedChoice, read=self._levels)}
        super().__init__(QuantizeSpec, self._foresee_checked, sections(), editors, guide, id=id)

    def _foresee_checked(self, spec: QuantizeSpec, found: Admission) -> Fit:
        return foreseen(spec, found.answer, self._gpus() if spec.method == "fp8" else None)

    def _levels(self) -> Options:
        return level_options(services_of(self).models, self.form.model, imatrix="imatrix" in self.form.values())

    def _gpus(self) -> Sequence[GpuState] | None:
        latest = services_of(self).sampler.latest
        return None if latest is None else latest.gpus

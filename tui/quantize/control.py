"""What the Quantize tab starts next to the run of its form: comparisons, verifications."""

from __future__ import annotations

from core.errors import LlmoptError
from core.evaluate.verify.spec import VerifySpec
from core.quantize.compare.spec import VariantSet
from core.quantize.spec import QuantizeSpec
from core.runs.state.store import Run
from tui.experiment.pane import ExperimentPane
from tui.quantize.results.verify import VerifyScreen
from tui.quantize.setup.options import comparison_options, usual_set
from tui.quantize.setup.requests import comparison_of
from tui.services.services import services_of
from tui.widgets.form.table_picker import TablePicker


class QuantizeControl(ExperimentPane):
    """Comparisons and verifications as runs of their own."""

    def action_compare(self) -> None:
        spec = self.setup.spec()
        if not isinstance(spec, QuantizeSpec):
            self.start(None)
            return

        def chosen(which: VariantSet | None) -> None:
            if which is None:
                return
            try:
                self.start(comparison_of(spec, which))
            except LlmoptError as error:
                self.not_started(str(error))

        self.app.push_screen(TablePicker("compare", comparison_options, usual_set(spec.method)), chosen)

    def verify(self, checkpoint: str) -> None:
        """Check the tensors of a checkpoint and let it predict text, as a run of its own."""
        if self.begin("verifying ..."):
            self.launch(lambda: services_of(self).runs.start(VerifySpec(model=checkpoint)), self._verifying, "Not verified")

    def _verifying(self, run: Run) -> None:
        self.app.push_screen(VerifyScreen(run))

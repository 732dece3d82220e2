"""The calculator: bytes per token with each scheme, and which context and how many sequences fit."""

from __future__ import annotations

from dataclasses import dataclass

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import DataTable, Static
from textual.worker import get_current_worker

from core.errors import LlmoptError
from core.hardware.plan.formats import STORED, WEIGHT_FORMATS
from core.hardware.plan.machine import NAMED, Machine
from core.kvcache.catalog.fit import Fit, FitRow, fit
from core.models.well_known import CONFIGS, well_known
from core.sanitize import clean
from core.spec import short_name
from tui.experiment.finished import ResultTable
from tui.kvcache.fit import lines as fit_lines
from tui.services.services import services_of
from tui.widgets.form.field_grid import FieldGrid, GridField
from tui.widgets.form.fields.choice import ChoiceEditor
from tui.widgets.form.fields.describe import FieldView
from tui.widgets.form.fields.entry import NumberEditor
from tui.widgets.hanging import hanging
from tui.widgets.live import LiveLines
from tui.widgets.threads import in_thread

HERE, OURS = "this machine", "the form's"
_FIELDS = (
    GridField("model", FieldView("size", "choice", "The form's model, or the shape of a known one", OURS, choices=(OURS, *CONFIGS)), ChoiceEditor),
    GridField("on", FieldView("machine", "choice", "This machine, or a GPU by name", HERE, choices=(HERE, *NAMED)), ChoiceEditor),
    GridField("GPUs", FieldView("gpus", "integer", "Tensor-parallel GPUs", 1), NumberEditor),
    GridField("weights", FieldView("weights", "choice", "Format of the weights", "bf16", choices=(*WEIGHT_FORMATS, STORED)), ChoiceEditor),
    GridField("context", FieldView("context", "integer", "Tokens per sequence; default: the model's, at most 4096"), NumberEditor),
    GridField("at once", FieldView("concurrency", "integer", "Sequences at once", 1), NumberEditor),
)
_NUMBERS = ("gpus", "context", "concurrency")
_LOW = 32
"""Lines below which table and grid take turns."""


@dataclass(frozen=True)
class FitRequest:
    """What the fields ask."""

    size: str = OURS
    machine: str = HERE
    gpus: int = 1
    weights: str = "bf16"
    context: int | None = None
    concurrency: int = 1


class FitView(Vertical):
    """Fields, words, a row a scheme, the grid of the scheme under the cursor."""

    HELP = (
        "The context of a model that fits on a machine with each cache scheme, by formula: estimates, not measurements. The model is the form's "
        "(F2), or a known one whose files are not needed. With several GPUs every figure is per GPU: they share the key and value heads.\n\n"
        "The table shows, for each scheme, the bytes per token, whether the given context and number of sequences fit, the longest context at that "
        "number, and the most sequences of that context. The grid shows the scheme under the cursor; m shows it if only one fits."
    )
    DEFAULT_CSS = """
    FitView { height: 1fr; }
    FitView .fit--words { height: auto; max-height: 8; margin-top: 1; }
    FitView ResultTable { height: auto; max-height: 16; margin-top: 1; }
    FitView LiveLines { height: auto; margin-top: 1; }
    FitView.-low .fit--words { max-height: 5; margin-top: 0; }
    FitView.-low ResultTable { height: 1fr; margin-top: 0; }
    FitView.-low.-table LiveLines, FitView.-low.-grid ResultTable { display: none; }
    FitView.-wrong ResultTable, FitView.-wrong LiveLines { display: none; }
    """

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes="-table -wrong")
        self.fields = FieldGrid(_FIELDS, columns=1, wide=(70, 2))
        self.table: ResultTable[FitRow] = ResultTable(fit_lines.COLUMNS)
        self._words = Static("reading ...", classes="fit--words", markup=False)
        self._grid = LiveLines()
        self._model = ""
        self._asked = FitRequest()
        self._answer: Fit | None = None

    def compose(self) -> ComposeResult:
        yield self.fields
        yield self._words
        yield self.table
        yield self._grid

    def on_resize(self) -> None:
        self.set_class(self.size.height < _LOW, "-low")
        self._draw()

    def load(self, model_name: str) -> None:
        self._model = model_name
        self.calculate()

    def calculate(self) -> None:
        if not self._model:
            return
        values = self.fields.values()
        wrong = next((f"{name} {clean(str(values[name]))!r} is not a whole number" for name in _NUMBERS if not _whole(values.get(name))), None)
        if wrong is not None:
            self._refuse(wrong)
        else:
            self._asked = FitRequest(**values)
            self._fit(self._model, self._asked)

    @in_thread(group="fit", description="calculate what fits", exclusive=True)
    def _fit(self, model_name: str, asked: FitRequest) -> None:
        try:
            card = services_of(self).models.resolve(model_name).card() if asked.size == OURS else well_known(asked.size)
            latest = services_of(self).sampler.latest
            here = Machine.from_snapshot(latest) if latest is not None else Machine.here()
            machine = here if asked.machine == HERE else here.with_gpus(asked.machine, asked.gpus)
            answer = fit(card, machine, context=asked.context, concurrency=asked.concurrency, weights=asked.weights, tensor_parallel=asked.gpus)
        except LlmoptError as error:
            if not get_current_worker().is_cancelled:
                self.app.call_from_thread(self._refuse, str(error))
            return
        if not get_current_worker().is_cancelled:
            self.app.call_from_thread(self.show, answer)

    def show(self, answer: Fit) -> None:
        self._answer = answer
        self.set_class(False, "-wrong")
        self.table.show([(row.scheme, row) for row in answer.rows])
        self._draw()

    def next_chart(self) -> None:
        turned = self.has_class("-table")
        self.set_class(turned, "-grid")
        self.set_class(not turned, "-table")

    @property
    def hides_table(self) -> bool:
        return self.has_class("-low") and self.has_class("-grid")

    @on(FieldGrid.Changed)
    def _changed(self, event: FieldGrid.Changed) -> None:
        event.stop()
        self.calculate()

    @on(DataTable.RowHighlighted)
    def _moved(self, event: DataTable.RowHighlighted) -> None:
        event.stop()
        self._draw()

    def _refuse(self, reason: str) -> None:
        self._answer = None
        self.set_class(True, "-wrong")
        self._words.update(Content.styled(f"! {clean(reason)}", "$text-error"))

    def _draw(self) -> None:
        answer, width = self._answer, self.size.width
        if answer is None or not width:
            return
        rows = fit_lines.in_words(answer, short_name(self._model) if self._asked.size == OURS else answer.model)
        current = self.table.current
        if current is not None and current.refused is not None:
            rows.append(("refused", clean(current.refused)))
        self._words.update(hanging(rows, width))
        chosen = next((grid for grid in answer.grids if current is not None and grid.scheme == current.scheme), None)
        self._grid.show_all([] if chosen is None else fit_lines.grid(chosen, width, answer.tensor_parallel))


def _whole(value: object) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool))

"""What to do: the form of a load, and the form of a server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from core.benchmark.compare.spec import BenchmarkCompareSpec
from core.benchmark.machine.spec import DTYPES, BenchmarkMachineSpec
from core.benchmark.spec import BenchmarkSpec
from core.engine import ServeSpec, all_names
from core.runs.launch.admission import Admission
from core.spec import text_in
from tui.benchmark.names import is_url
from tui.benchmark.setup import engines, foreseen
from tui.experiment.fit import Fit
from tui.experiment.setup import SetupView
from tui.experiment.setups import Setups
from tui.widgets.form.fields.describe import FieldView
from tui.widgets.form.fields.editor import Editor
from tui.widgets.form.fields.entry import EntryEditor
from tui.widgets.form.fields.guide import Guidance
from tui.widgets.form.mark_picker import PickedNames
from tui.widgets.form.table_picker import PickedChoice
from tui.widgets.table.options_screen import Options, Row

LOAD, ENGINES, SERVER, MACHINE = "load", "engines", "server", "machine"
_OPEN = ("model", "engine", "load", "concurrency", "rate", "burstiness", "ramp_to", "trace", "trace_speed", "sweep", "levels", "requests", "duration")
_STARTED = ("device", "dtype", "quantization", "context", "threads")
"""Fields that mean nothing for a server that runs already."""
_ATTACHED = ("tokenizer", "key_env", "insecure")


class BenchmarkSetup(SetupView[BenchmarkSpec]):
    """A load on a server that is started for it, or on an address."""

    DEFAULT_CSS = """
    BenchmarkSetup FitPanel { max-height: 12; }
    """

    def __init__(self) -> None:
        editors: dict[str, Callable[[FieldView], Editor]] = {
            "engine": _engine_editor(to_start=False),
            "objectives": EntryEditor,
            "thresholds": EntryEditor,
        }
        super().__init__(BenchmarkSpec, sections(), editors, guide)

    def foreseen(self, spec: BenchmarkSpec, found: Admission) -> Fit:
        return foreseen.benchmark(spec, found)


class CompareSetup(SetupView[BenchmarkCompareSpec]):
    """The same load on several engines and checkpoints of a model."""

    DEFAULT_CSS = """
    CompareSetup FitPanel { max-height: 12; }
    """

    def __init__(self) -> None:
        editors: dict[str, Callable[[FieldView], Editor]] = dict.fromkeys(("targets", "objectives", "thresholds"), EntryEditor)
        opened = ["model", "targets", *_OPEN[2:]]
        placed = {*opened, "engine", "served_model", "not_made"}
        rest = [(title, [name for name in fields if name not in placed]) for title, fields in BenchmarkCompareSpec.sections]
        named = {name for _, fields in rest for name in fields} | placed
        left = [name for name in BenchmarkCompareSpec.model_fields if name not in named]
        sections = [("", opened), *((_TITLES.get(title, title), fields) for title, fields in rest if fields), *([("details", left)] if left else [])]
        super().__init__(BenchmarkCompareSpec, sections, editors, compare_guide)

    def foreseen(self, spec: BenchmarkCompareSpec, found: Admission) -> Fit:
        return foreseen.comparison(spec, found)

    def takes(self, model: object) -> bool:
        """An address is one target, not a model of several."""
        return not is_url(model)


class ServerSetup(SetupView[ServeSpec]):
    """A server that runs until it is stopped."""

    DEFAULT_CSS = """
    ServerSetup FitPanel { max-height: 12; }
    """

    def __init__(self) -> None:
        sections = [("", ["engine", "model", "port", "context", "threads"])]
        placed = {"engine", "model", "port", "context", "threads", "seed"}
        rest = [(title, [name for name in fields if name not in placed]) for title, fields in ServeSpec.sections]
        super().__init__(
            ServeSpec,
            [*sections, *((title, fields) for title, fields in rest if fields), ("details", ["seed", "extra"])],
            {"engine": _engine_editor(to_start=True)},
            lambda _given: Guidance(choices={"engine": all_names()}),
            {"engine": "runtime"},
        )

    def foreseen(self, spec: ServeSpec, found: Admission) -> Fit:
        return foreseen.server(spec, found)

    def takes(self, model: object) -> bool:
        """An address cannot be served."""
        return not is_url(model)

    def reset(self) -> None:
        """Every field to its default; model and engine stay."""
        self.prefill({"engine": text_in(self.form.values(), "engine", "runtime")})


class MachineSetup(SetupView[BenchmarkMachineSpec]):
    """What of this machine is measured, and for which model."""

    DEFAULT_CSS = """
    MachineSetup FitPanel { max-height: 12; }
    """

    def __init__(self) -> None:
        sections = [("", ["model"]), *((title, [name for name in fields if name != "model"]) for title, fields in BenchmarkMachineSpec.sections)]
        editors: dict[str, Callable[[FieldView], Editor]] = {"dtypes": lambda view: PickedNames(view, _formats)}
        super().__init__(BenchmarkMachineSpec, sections, editors)

    def foreseen(self, spec: BenchmarkMachineSpec, found: Admission) -> Fit:
        return foreseen.machine(spec, found)

    def takes(self, model: object) -> bool:
        """An address gives no shapes."""
        return not is_url(model)


def _formats() -> Options:
    """Number formats in which products can be measured."""
    return Options((("numbers", 12), ("", 40)), [Row(name, (name, _FORMATS[name]), _FORMATS[name]) for name in DTYPES])


_FORMATS: Mapping[str, str] = {
    "float32": "32 bits",
    "bfloat16": "16 bits, 8 of them exponent",
    "float16": "16 bits, 5 of them exponent",
    "int8": "8 bits, sums in 32",
}


class BenchmarkSetups(Setups):
    """All forms."""

    @property
    def command(self) -> str:
        """What can be copied: the command of the server that the chosen form starts, or the address it attaches to."""
        return self.current.fit.command


def setups(id: str) -> BenchmarkSetups:  # noqa: A002
    """The four forms."""
    views: dict[str, SetupView[Any]] = {LOAD: BenchmarkSetup(), ENGINES: CompareSetup(), SERVER: ServerSetup(), MACHINE: MachineSetup()}
    return BenchmarkSetups(
        views,
        "load: measure a server; engines: several, one after another; server: start one that runs until it is stopped; machine: measure this machine",
        id=id,
    )


def sections() -> list[tuple[str, list[str]]]:
    """The form's sections: target and load without a title, the rest behind folds."""
    rest = [(title, [name for name in fields if name not in _OPEN]) for title, fields in BenchmarkSpec.sections]
    placed = {*_OPEN, *(name for _, fields in rest for name in fields)}
    left = [name for name in BenchmarkSpec.model_fields if name not in placed]
    return [("", list(_OPEN)), *((_TITLES.get(title, title), fields) for title, fields in rest if fields), *([("details", left)] if left else [])]


def guide(given: Mapping[str, Any]) -> Guidance:
    """An address needs no settings of a server that is started; a model is served by this program unless told otherwise."""
    attached = is_url(text_in(given, "model"))
    hidden = set(_STARTED if attached else _ATTACHED)
    if text_in(given, "prompts", "builtin") != "builtin":
        hidden |= {"input_tokens", "input_deviation", "shared_prefix"}
    return Guidance(
        defaults={"engine": "openai" if attached else "runtime"},
        choices={"engine": all_names()},
        hidden=frozenset(hidden),
        help={"engine": "Engine behind the address" if attached else "Engine started for the model; enter shows which are installed"},
    )


def compare_guide(given: Mapping[str, Any]) -> Guidance:
    """Lengths that come from a file are hidden."""
    own = text_in(given, "prompts", "builtin") != "builtin"
    return Guidance(hidden=frozenset({"tokenizer"} | ({"input_tokens", "input_deviation", "shared_prefix"} if own else set())))


_TITLES = {"target": "server", "load": "before the load"}


def _engine_editor(*, to_start: bool) -> Callable[[FieldView], Editor]:
    def made(view: FieldView) -> Editor:
        return PickedChoice(replace(view, choices=all_names()), partial(engines.options, to_start=to_start))

    return made

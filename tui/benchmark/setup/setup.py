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
from core.spec import text_in
from tui.benchmark.names import is_url
from tui.benchmark.setup import engines, foreseen
from tui.experiment.setup import SetupView, sections
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
_TITLES = {"target": "server", "load": "before the load"}
SECTIONS = sections(BenchmarkSpec, _OPEN, _TITLES)
_STARTED = ("device", "dtype", "quantization", "context", "threads")
"""Fields that mean nothing for a server that runs already."""
_ATTACHED = ("tokenizer", "key_env", "insecure")


class ServerSetup(SetupView[ServeSpec]):
    """A server that runs until it is stopped. An address cannot be served."""

    def __init__(self) -> None:
        super().__init__(
            ServeSpec,
            foreseen.server,
            sections(ServeSpec, ("engine", "model", "port", "context", "threads")),
            {"engine": _engine_editor(to_start=True)},
            lambda _given: Guidance(choices={"engine": all_names()}),
            {"engine": "runtime"},
            takes=_is_no_address,
        )

    def reset(self) -> None:
        """Every field to its default; model and engine stay."""
        self.prefill({"engine": text_in(self.form.values(), "engine", "runtime")})


def _load() -> SetupView[BenchmarkSpec]:
    editors: dict[str, Callable[[FieldView], Editor]] = dict.fromkeys(("objectives", "thresholds"), EntryEditor)
    return SetupView(BenchmarkSpec, foreseen.benchmark, SECTIONS, editors | {"engine": _engine_editor(to_start=False)}, guide)


def _engines() -> SetupView[BenchmarkCompareSpec]:
    """An address is one target, not a model of several."""
    placed = sections(BenchmarkCompareSpec, ("model", "targets", *_OPEN[2:]), _TITLES, without=("engine", "served_model", "not_made"))
    editors = dict.fromkeys(("targets", "objectives", "thresholds"), EntryEditor)
    return SetupView(BenchmarkCompareSpec, foreseen.comparison, placed, editors, compare_guide, takes=_is_no_address)


def _machine() -> SetupView[BenchmarkMachineSpec]:
    """An address gives no shapes."""
    editors = {"dtypes": partial(PickedNames, read=_formats)}
    return SetupView(BenchmarkMachineSpec, foreseen.machine, sections(BenchmarkMachineSpec, ("model",)), editors, takes=_is_no_address)


def _is_no_address(model: object) -> bool:
    return not is_url(model)


def _formats() -> Options:
    return Options((("numbers", 12), ("", 40)), [Row(name, (name, _FORMATS[name]), _FORMATS[name]) for name in DTYPES])


_FORMATS: Mapping[str, str] = {
    "float32": "32 bits",
    "bfloat16": "16 bits, 8 of them exponent",
    "float16": "16 bits, 5 of them exponent",
    "int8": "8 bits, sums in 32",
}


class BenchmarkSetups(Setups):
    """All forms."""

    DEFAULT_CSS = """
    BenchmarkSetups FitPanel { max-height: 12; }
    """

    @property
    def command(self) -> str:
        """What can be copied: the command of the server that the chosen form starts, or the address it attaches to."""
        return self.current.fit.command


def setups(id: str) -> BenchmarkSetups:  # noqa: A002
    """The four forms."""
    views: dict[str, SetupView[Any]] = {LOAD: _load(), ENGINES: _engines(), SERVER: ServerSetup(), MACHINE: _machine()}
    return BenchmarkSetups(
        views,
        "load: measure a server; engines: several, one after another; server: start one that runs until it is stopped; machine: measure this machine",
        id=id,
    )


def guide(given: Mapping[str, Any]) -> Guidance:
    """An address needs no settings of a server that is started; a model is served by this program unless another engine is chosen."""
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


def _engine_editor(*, to_start: bool) -> Callable[[FieldView], Editor]:
    def made(view: FieldView) -> Editor:
        return PickedChoice(replace(view, choices=all_names()), partial(engines.options, to_start=to_start))

    return made

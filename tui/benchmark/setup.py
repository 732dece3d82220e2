"""What to do: the form of a load, and the form of a server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from textual.worker import get_current_worker

from core.benchmark.spec import BenchmarkSpec
from core.engine import ServeSpec, names
from tui.benchmark import engines, foreseen
from tui.benchmark.names import is_url
from tui.experiment.fit import Fit
from tui.experiment.setup import SetupView
from tui.experiment.setups import Setups
from tui.services import services_of
from tui.widgets.fields.describe import FieldView
from tui.widgets.fields.editor import Editor
from tui.widgets.fields.entry import EntryEditor
from tui.widgets.fields.guide import Guidance
from tui.widgets.table_picker import PickedChoice

LOAD, SERVER = "load", "server"
_OPEN = ("model", "engine", "load", "concurrency", "rate", "burstiness", "ramp_to", "trace", "trace_speed", "sweep", "levels", "requests", "duration")
_STARTED = ("device", "dtype", "quantization", "context", "threads")
"""Fields that mean nothing for a server that runs already."""
_ATTACHED = ("key_env", "insecure")


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
        self.command = ""

    def probe(self, spec: BenchmarkSpec) -> Fit:
        """Which server, which requests, how long."""
        found = foreseen.benchmark(services_of(self).models, spec)
        _keep(self, found.command or (spec.model if spec.is_url else ""))
        return found.fit


class ServerSetup(SetupView[ServeSpec]):
    """A server that goes on until it is stopped."""

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
            lambda _given: Guidance(choices={"engine": names()}),
            {"engine": "runtime"},
        )
        self.command = ""

    def probe(self, spec: ServeSpec) -> Fit:
        """The command."""
        found = foreseen.server(services_of(self).models, spec)
        _keep(self, found.command)
        return found.fit

    def takes(self, model: object) -> bool:
        """An address is no model that could be served."""
        return not is_url(model)

    def reset(self) -> None:
        """Every field to its default; model and engine stay."""
        self.prefill({"engine": self.form.values().get("engine", "runtime")})


def _keep(view: BenchmarkSetup | ServerSetup, command: str) -> None:
    """From the thread of a check: what can be copied from now on, unless a newer check has begun."""
    if not get_current_worker().is_cancelled and command != view.command:
        view.command = command
        view.app.call_from_thread(view.refresh_bindings)


class BenchmarkSetups(Setups):
    """Both forms."""

    @property
    def command(self) -> str:
        """What can be copied: the command of the server that the chosen form starts, or the address it attaches to."""
        current = self.current
        return current.command if isinstance(current, BenchmarkSetup | ServerSetup) else ""


def setups(id: str) -> BenchmarkSetups:  # noqa: A002
    """The two forms."""
    views: dict[str, SetupView[Any]] = {LOAD: BenchmarkSetup(), SERVER: ServerSetup()}
    return BenchmarkSetups(views, "load: measure a server; server: start one that goes on until it is stopped", id=id)


def sections() -> list[tuple[str, list[str]]]:
    """The form's sections: target and load without a title, the rest behind folds."""
    rest = [(title, [name for name in fields if name not in _OPEN]) for title, fields in BenchmarkSpec.sections]
    placed = {*_OPEN, *(name for _, fields in rest for name in fields)}
    left = [name for name in BenchmarkSpec.model_fields if name not in placed]
    return [("", list(_OPEN)), *((_TITLES.get(title, title), fields) for title, fields in rest if fields), *([("details", left)] if left else [])]


def guide(given: Mapping[str, Any]) -> Guidance:
    """An address needs no settings of a server that is started; a model is served by this program unless told otherwise."""
    attached = is_url(given.get("model"))
    hidden = set(_STARTED if attached else _ATTACHED)
    if given.get("prompts", "builtin") != "builtin":
        hidden |= {"input_tokens", "input_deviation", "shared_prefix"}
    return Guidance(
        defaults={"engine": "openai" if attached else "runtime"},
        choices={"engine": names()},
        hidden=frozenset(hidden),
        help={"engine": "Whose server the address is" if attached else "Engine that is started for the model; enter shows which are installed"},
    )


_TITLES = {"target": "server", "load": "before the load"}


def _engine_editor(*, to_start: bool) -> Callable[[FieldView], Editor]:
    def made(view: FieldView) -> Editor:
        return PickedChoice(replace(view, choices=names()), partial(engines.options, to_start=to_start))

    return made

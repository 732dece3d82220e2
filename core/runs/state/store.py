"""Runs on disk: one folder a run, and the folders are the only truth."""

from __future__ import annotations

import re
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from core.errors import RequestError, RunFailed
from core.result import Result
from core.runs import registry
from core.runs.state import saved
from core.runs.state.events import Event, read, read_all
from core.runs.state.files import read_json, read_object, why, write_json
from core.runs.state.home import check_home, runs_folder
from core.runs.state.process import here
from core.runs.state.state import State
from core.sanitize import clean
from core.spec import Spec, text_in

R = TypeVar("R", bound=Result)
S = TypeVar("S", bound=Spec)

_ID = re.compile(r"(?P<date>\d{8}-\d{6})-(?P<capability>[a-z0-9-]+)-(?P<fraction>[0-9a-f]{4})")


@dataclass(frozen=True)
class Run:
    """A run's folder. Everything is read when it is asked for."""

    path: Path

    @property
    def id(self) -> str:
        """Name of the folder; ids sort by the time they were asked for."""
        return self.path.name

    @property
    def capability(self) -> str:
        """Key of the registry."""
        match = _ID.fullmatch(self.id)
        return match["capability"] if match else ""

    @property
    def spec_file(self) -> Path:
        """spec.json."""
        return self.path / "spec.json"

    @property
    def events_file(self) -> Path:
        """events.jsonl."""
        return self.path / "events.jsonl"

    @property
    def log_file(self) -> Path:
        """log.txt: stdout and stderr of the worker."""
        return self.path / "log.txt"

    @property
    def artifacts(self) -> Path:
        """Folder of what the run makes."""
        return self.path / "artifacts"

    @property
    def kept(self) -> Path:
        """Folder of what lets the run go on after it was stopped; not there when nothing is kept."""
        return self.path / "kept"

    @property
    def pause_file(self) -> Path:
        """There while the run shall wait."""
        return self.path / "pause"

    @property
    def finish_file(self) -> Path:
        """There once the run shall come to its end early."""
        return self.path / "finish"

    @property
    def spec(self) -> Spec:
        """What was asked. Raises RequestError when this version cannot read it."""
        return saved.load(self.spec_file)

    @property
    def document(self) -> dict[str, Any]:
        """spec.json as it is, or empty when it cannot be read."""
        return read_object(self.spec_file)

    @property
    def values(self) -> dict[str, Any]:
        """The fields that were asked for, as they stand in spec.json."""
        values = self.document.get("spec")
        return values if isinstance(values, dict) else {}

    @property
    def summary(self) -> str:
        """What was asked, in a line, safe to show; of a request that this version cannot read, as far as it goes."""
        return saved.summary(self.capability, self.values)

    @property
    def asked_model(self) -> str:
        """The model exactly as it was asked for; `model` is safe to show."""
        return text_in(self.values, "model")

    @property
    def model(self) -> str:
        """The model as asked for, safe to show."""
        return clean(str(self.values.get("model", "")), limit=200)

    @property
    def state(self) -> State:
        """state.json as it is; `core.runs.launch.launch.refresh` also looks whether the worker still lives."""
        try:
            found = State.read(read_json(self.path / "state.json"))
        except (OSError, ValueError):
            found = None
        if found is None:
            return State(status="failed", created=_created(self.id), exit_code=1, exit_reason="state.json is missing or damaged")
        return found if found.created else found.model_copy(update={"created": _created(self.id)})

    @property
    def events(self) -> list[Event]:
        """All events so far; `new_events` reads only those that are new."""
        return read_all(self.events_file)

    def new_events(self, offset: int = 0) -> tuple[list[Event], int]:
        """The events from byte `offset` of the file on, and the next offset; at most 4 MiB are read at once."""
        return read(self.events_file, offset)

    @property
    def result(self) -> dict[str, Any] | None:
        """result.json, or None while there is none."""
        return read_object(self.path / "result.json") or None

    def typed_result(self) -> Result | None:
        """The result as the model of its capability; None while there is none, or none that this version understands."""
        document = self.result
        try:
            return registry.result_class(self.capability).read(document) if document else None
        except RequestError:
            return None

    def spec_as(self, kind: type[S]) -> S | None:
        """What was asked where it is of `kind` and this version can read it, else None."""
        try:
            spec = self.spec
        except RequestError:
            return None
        return spec if isinstance(spec, kind) else None

    def result_as(self, kind: type[R]) -> R | None:
        """The result where it is of `kind`, else None."""
        try:
            wanted = issubclass(registry.result_class(self.capability), kind)
        except RequestError:
            return None
        result = self.typed_result() if wanted else None
        return result if isinstance(result, kind) else None

    def log(self, limit: int = 1 << 20) -> str:
        """The last `limit` bytes of log.txt, safe to show."""
        try:
            with self.log_file.open("rb") as file:
                file.seek(max(file.seek(0, 2) - limit, 0))
                return clean(file.read().decode(errors="replace"), multiline=True)
        except OSError:
            return ""

    def save_state(self, state: State, *, durable: bool = True) -> None:
        """Replace state.json. Raises OSError when the disk refuses."""
        write_json(self.path / "state.json", state.model_dump(mode="json"), durable=durable)


def create(spec: Spec) -> Run:
    """A new run in state `queued`; its folder appears whole. Raises RequestError, RunFailed: the folder of runs is none, or cannot be written."""
    check_home()
    folder = runs_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        run = Run(folder / _new_id(spec.capability))
        hidden = folder / f".new-{run.id}"
        try:
            _fill(Run(hidden), spec)
            hidden.rename(run.path)
        except OSError:
            shutil.rmtree(hidden, ignore_errors=True)
            raise
    except OSError as error:
        raise RunFailed(why(error, folder)) from error
    return run


def _new_id(capability: str) -> str:
    """Time of day to a 65536th of a second, so that ids sort as they were asked for."""
    now = datetime.now(UTC)
    return f"{now:%Y%m%d-%H%M%S}-{capability}-{now.microsecond * 65536 // 1_000_000:04x}"


def _fill(run: Run, spec: Spec) -> None:
    """Raises FileExistsError when the very same id is being made elsewhere."""
    run.path.mkdir()
    run.artifacts.mkdir()
    write_json(run.spec_file, saved.document(spec))
    place = here()
    run.save_state(State(status="queued", created=time.time(), host=place.host, boot=place.boot, namespace=place.namespace))
    run.events_file.touch()
    run.log_file.touch()


def _order(run_id: str) -> tuple[str, str]:
    match = _ID.fullmatch(run_id)
    return (match["date"], match["fraction"]) if match else ("", "")


def list_runs() -> list[Run]:
    """Every run, newest first."""
    try:
        names = [entry.name for entry in runs_folder().iterdir() if _ID.fullmatch(entry.name)]
    except OSError:
        return []
    return [Run(runs_folder() / name) for name in sorted(names, key=_order, reverse=True)]


def running() -> dict[int, str]:
    """{worker pid: run id} of what runs on this machine, as its state files say."""
    states = [(run, run.state) for run in list_runs()]
    return {state.pid: run.id for run, state in states if state.status == "running" and state.pid is not None and state.place.is_here()}


def find(text: str) -> Run:
    """The run that `text` names: an id, its unique beginning or its unique end, or `last`. Raises RequestError: none or several."""
    check_home()
    runs = list_runs()
    if text == "last" and runs:
        return runs[0]
    exact = [run for run in runs if run.id == text]
    matching = exact or [run for run in runs if text and (run.id.startswith(text) or run.id.endswith(text))]
    if len(matching) == 1:
        return matching[0]
    if not matching:
        raise RequestError(f"no run {clean(text, limit=80)!r} in {runs_folder()}: `llmopt runs list` shows them")
    raise RequestError(f"{clean(text, limit=80)!r} matches {len(matching)} runs: give more of the id")


def remove(run: Run) -> None:
    """Delete a run that is over, artifacts included.

    Raises:
        RequestError: it still runs.
        RunFailed: the disk refuses.
    """
    if not run.state.is_over:
        raise RequestError(f"run {run.id} is still running: cancel it first with `llmopt runs cancel {run.id}`")
    try:
        shutil.rmtree(run.path.rename(run.path.with_name(f".old-{run.id}")))
    except OSError as error:
        raise RunFailed(why(error, run.path)) from error


def _created(run_id: str) -> float:
    match = _ID.fullmatch(run_id)
    try:
        return datetime.strptime(match["date"], "%Y%m%d-%H%M%S").replace(tzinfo=UTC).timestamp() if match else 0.0
    except ValueError:
        return 0.0

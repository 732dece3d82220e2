"""Results of earlier loads, from runs and files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from core import __version__
from core.benchmark.result import BenchmarkResult
from core.errors import RequestError
from core.runs import registry
from core.runs.state import store
from core.runs.state.files import read_json
from core.sanitize import clean

_LARGEST = 1 << 30


def load_result(reference: str) -> BenchmarkResult:
    """The result that a run's id, or a JSON file, names: result.json of a run, what `--json` printed, or a run as it is exported.

    Raises:
        RequestError: there is none, it cannot be read, or it is not that of a benchmark.
    """
    path = Path(reference).expanduser()
    shown = clean(reference, limit=120)
    if path.is_file():
        return parse_result(_document(path, shown), shown)
    if path.suffix.lower() == ".json" or len(path.parts) > 1:
        raise RequestError(f"{shown} is not a file: give a run's id (`llmopt runs list`), or the JSON file of a result")
    run = store.find(reference)
    if run.result is None:
        raise RequestError(f"run {run.id} has no result ({run.state.status}): give a finished one")
    return parse_result(run.result, f"run {run.id}")


def parse_result(document: object, name: str) -> BenchmarkResult:
    """A result from plain data. Raises RequestError: it is not that of a benchmark; `name` says of what."""
    if isinstance(document, Mapping) and isinstance(document.get("results"), list) and len(document["results"]) == 1:
        document = document["results"][0]
    if isinstance(document, Mapping) and isinstance(document.get("result"), Mapping):
        document = document["result"]
    kind = _kind(document) if isinstance(document, Mapping) else None
    if kind is None:
        raise RequestError(f"{name} has no result of `llmopt benchmark`")
    result = kind.read(document)
    if result is None:
        raise RequestError(f"{name} holds a result that cannot be read: no target in it has the figures of this version ({__version__})")
    return result


def _kind(document: Mapping[object, object]) -> type[BenchmarkResult] | None:
    """The model of a result with entries; before results said which capability they are of, a comparison was known by what it recommends."""
    if not isinstance(document.get("entries"), list | tuple):
        return None
    usual = "benchmark-compare" if "recommendations" in document else "benchmark"
    try:
        found = registry.result_class(str(document.get("capability", usual)))
    except RequestError:
        return None
    return found if issubclass(found, BenchmarkResult) else None


def _document(path: Path, shown: str) -> object:
    try:
        if path.stat().st_size > _LARGEST:
            raise RequestError(f"{shown} is larger than {_LARGEST >> 30} GiB, too large for a result")
        return read_json(path)
    except (OSError, ValueError, RecursionError) as error:
        raise RequestError(f"{shown} cannot be read as JSON: {clean(str(error), limit=120)}") from error

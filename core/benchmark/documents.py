"""Results of earlier loads, from runs and files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from core.benchmark.compare.result import BenchmarkCompareResult
from core.benchmark.result import BenchmarkResult
from core.errors import RequestError
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
        raise RequestError(f"{shown} is no file: give a run's id (`llmopt runs list`), or the JSON file of a result")
    run = store.find(reference)
    if run.result is None:
        raise RequestError(f"run {run.id} has no result ({run.state.status}): give one that is done")
    return parse_result(run.result, f"run {run.id}")


def parse_result(document: Any, name: str) -> BenchmarkResult:
    """A result from plain data.

    Raises:
        RequestError: it is not that of a benchmark; `name` says of what.
    """
    if isinstance(document, Mapping) and isinstance(document.get("results"), list) and len(document["results"]) == 1:
        document = document["results"][0]
    if isinstance(document, Mapping) and isinstance(document.get("result"), Mapping):
        document = document["result"]
    if not isinstance(document, Mapping) or not isinstance(document.get("entries"), list | tuple):
        raise RequestError(f"{name} holds no result of `llmopt benchmark`")
    kind = BenchmarkCompareResult if "recommendations" in document else BenchmarkResult
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = clean(".".join(map(str, first["loc"])), limit=80)
        raise RequestError(f"{name} holds a result that cannot be read: {where}: {clean(first['msg'], limit=120)}") from error


def _document(path: Path, shown: str) -> Any:
    try:
        if path.stat().st_size > _LARGEST:
            raise RequestError(f"{shown} is larger than {_LARGEST >> 30} GiB: no result is")
        return read_json(path)
    except (OSError, ValueError, RecursionError) as error:
        raise RequestError(f"{shown} cannot be read as JSON: {clean(str(error), limit=120)}") from error

"""Which models are on this machine: a quick look into folders, nothing is loaded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import platformdirs

from core.errors import RequestError
from core.models.config.defaults import causal_model_types
from core.models.disk.files import read_object, reason, shown
from core.models.disk.gguf_parts import is_later_part
from core.models.find.hub_cache import cached_models
from core.models.source import ModelSource, Origin

BUNDLED = Path(__file__).parents[1] / "bundled"
_MOST_ENTRIES = 2000


@dataclass(frozen=True)
class ModelProblem:
    """A model folder that cannot be used. Both texts are fit to be shown."""

    name: str
    reason: str


@dataclass(frozen=True)
class ModelListing:
    """What was found, and what was found broken."""

    sources: tuple[ModelSource, ...]
    problems: tuple[ModelProblem, ...] = ()


def list_models() -> ModelListing:
    """Bundled models, local folders and `.gguf` files, artifacts of runs, and the Hugging Face cache, in this order.

    Local folders are those of the path list `LLMOPT_MODELS`, the working directory and its `models`
    folder: each is a model itself, or has models directly inside it. Never raises: a broken model becomes a problem.
    """
    sources: list[ModelSource] = list(bundled_models())
    problems: list[ModelProblem] = []
    seen: set[Path] = set()
    for root, wanted in _roots():
        for path in _candidates(root, problems if wanted else []):
            if (real := path.resolve()) not in seen:
                seen.add(real)
                _look(os.fspath(path), path, "local", sources, problems)
    for model_id, path in cached_models():
        _look(model_id, path, "cache", sources, problems)
    return ModelListing(tuple(sources), tuple(problems))


def bundled_models() -> Iterator[ModelSource]:
    """The models in this package, by name."""
    for config in sorted(BUNDLED.glob("*/config.json")):
        if (config.parent / "model.safetensors").is_file():
            yield ModelSource(f"bundled:{config.parent.name}", config.parent, "folder", "bundled")


def _roots() -> Iterator[tuple[Path, bool]]:
    """Folders to look into, and whether it is worth a word when one cannot be read."""
    for part in os.environ.get("LLMOPT_MODELS", "").split(os.pathsep):
        if part:
            yield Path(part).expanduser().absolute(), True
    working = Path.cwd()
    yield working, False
    yield working / "models", False
    chosen = os.environ.get("LLMOPT_HOME")
    home = Path(chosen).expanduser().absolute() if chosen else platformdirs.user_data_path("llmopt", appauthor=False)
    for artifacts in sorted(_children(home / "runs"), reverse=True):
        yield artifacts / "artifacts", False


def _children(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [folder / entry.name for entry in islice(entries, _MOST_ENTRIES)]
    except OSError:
        return []


def _candidates(root: Path, problems: list[ModelProblem]) -> list[Path]:
    """The root itself when it is a model, otherwise the models directly inside it, by name."""
    try:
        if (root / "config.json").is_file() or root.suffix == ".gguf":
            return [root]
        with os.scandir(root) as entries:
            found = [root / entry.name for entry in islice(entries, _MOST_ENTRIES) if _may_be_model(entry)]
    except OSError as error:
        problems.append(ModelProblem(shown(root), f"cannot read {shown(root)}: {reason(error)}"))
        return []
    return sorted(found)


def _may_be_model(entry: os.DirEntry[str]) -> bool:
    if entry.name.startswith(".") or ".partial-" in entry.name or is_later_part(entry.name):
        return False
    try:
        return entry.is_dir() and (Path(entry.path) / "config.json").is_file() if not entry.name.endswith(".gguf") else entry.is_file()
    except OSError:
        return False


def _look(name: str, path: Path, origin: Origin, sources: list[ModelSource], problems: list[ModelProblem]) -> None:
    if path.suffix == ".gguf" and path.is_file():
        sources.append(ModelSource(name, path, "gguf", origin))
        return
    complaint = _complaint(path)
    if complaint is None:
        sources.append(ModelSource(name, path, "folder", origin))
    elif complaint:
        problems.append(ModelProblem(shown(name), complaint))


def _complaint(folder: Path) -> str | None:
    """None for a model, a sentence for a broken one, "" for a folder that is not a language model at all."""
    try:
        model_type = read_object(folder / "config.json").get("model_type")
    except RequestError as error:
        return str(error)
    known = causal_model_types()
    if not isinstance(model_type, str) or (known and model_type not in known):
        return ""
    try:
        if not any(entry.name.endswith(".safetensors") for entry in os.scandir(folder)):
            return f"{shown(folder)} has no safetensors weights: fetch them, or convert its pickled weights"
    except OSError as error:
        return f"cannot read {shown(folder)}: {reason(error)}"
    return None

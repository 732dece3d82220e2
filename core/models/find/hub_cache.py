"""The local Hugging Face cache, read without the hub's library: `models--org--name/{refs,snapshots}`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(?:/[A-Za-z0-9][\w.-]{0,95})?")
_FALSE = {"", "0", "false", "no", "off"}


def is_model_id(name: str) -> bool:
    """Whether the name could be an id on the hub: `model` or `organisation/model`."""
    return _ID.fullmatch(name) is not None and "--" not in name and ".." not in name and not name.endswith((".gguf", ".safetensors", ".git"))


def cache_folder() -> Path:
    """Where the hub's library keeps models, by its own environment variables."""
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if chosen := os.environ.get(variable):
            return Path(chosen).expanduser()
    if home := os.environ.get("HF_HOME"):
        return Path(home).expanduser() / "hub"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base).expanduser() if base else Path.home() / ".cache") / "huggingface" / "hub"


def is_offline() -> bool:
    """Whether the environment forbids downloads."""
    return any(os.environ.get(variable, "").lower() not in _FALSE for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))


def must_be_fetched(name: str) -> bool:
    """Whether a model has to come from the network first."""
    return is_model_id(name) and not Path(name).expanduser().exists() and not is_offline() and cached_snapshot(name) is None


def cached_snapshot(model_id: str) -> Path | None:
    """The folder of a cached model: what `main` points to, else its newest snapshot with a config.json."""
    repository = cache_folder() / f"models--{model_id.replace('/', '--')}"
    snapshots = repository / "snapshots"
    try:
        commit = (repository / "refs" / "main").read_text(encoding="utf-8")[:64].strip()
        if commit.isalnum() and (snapshots / commit / "config.json").exists():
            return snapshots / commit
        candidates = [folder for folder in snapshots.iterdir() if (folder / "config.json").exists()]
        return max(candidates, key=lambda folder: folder.stat().st_mtime, default=None)
    except (OSError, ValueError):
        try:
            candidates = [folder for folder in snapshots.iterdir() if (folder / "config.json").exists()]
        except OSError:
            return None
        return max(candidates, key=lambda folder: folder.stat().st_mtime, default=None)


def cached_models() -> Iterator[tuple[str, Path]]:
    """(id, snapshot folder) of every cached model that has a configuration, by name."""
    try:
        repositories = sorted(entry.name for entry in os.scandir(cache_folder()) if entry.name.startswith("models--"))
    except OSError:
        return
    for repository in repositories:
        model_id = repository.removeprefix("models--").replace("--", "/")
        if is_model_id(model_id) and (folder := cached_snapshot(model_id)) is not None:
            yield model_id, folder

"""Finished blocks of a run, kept until it is done, so that a killed run continues from where it was.

Kept are the tensors and facts that each block adds to the checkpoint and the hidden states that the calibration text has reached, those of the
last block only. A block counts once the manifest names it, and the manifest is replaced in one step after the block's files are on the disk.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel
from safetensors.torch import load_file
from torch import Tensor

from core.errors import RequestError
from core.formats.writing.safetensors_file import SafetensorsFile, stored_bytes
from core.models.disk.files import shown
from core.runs.state.files import read_json, write_json

SCHEMA = "llmopt.resume/1"

_MANIFEST = "manifest.json"

Facts = TypeVar("Facts", bound=BaseModel)


@dataclass(frozen=True)
class KeptBlock(Generic[Facts]):
    """What one block adds to the checkpoint."""

    tensors: dict[str, Tensor]
    """As the checkpoint stores them."""
    facts: Facts
    """What else the capability has to know of the block."""


class ResumeStore:
    """The kept blocks of one run.

    Args:
        folder: where they are kept; made when it is first needed. None keeps nothing.
        identity: everything that the blocks depend on, as plain data; blocks that were kept for another are refused.
        log: called with a sentence when the disk refuses to keep a block.

    Raises:
        RequestError: what was kept belongs to another model, request or version.
    """

    def __init__(
        self, folder: Path | None = None, identity: Mapping[str, Any] | None = None, log: Callable[[str], None] = lambda _text: None
    ) -> None:
        self._folder, self._log = folder, log
        self._manifest: dict[str, Any] = {
            "schema": SCHEMA,
            "identity": dict(identity or {}),
            "seconds": 0.0,
            "blocks": [],
            "hidden": None,
            "documents": {},
        }
        self._began = time.monotonic()
        if folder is not None and (folder / _MANIFEST).exists():
            self._manifest = self._checked(folder / _MANIFEST)
        self._seconds_before = float(self._manifest["seconds"])

    @property
    def blocks(self) -> int:
        """How many blocks, from the first, are kept."""
        return len(self._manifest["blocks"])

    @property
    def active(self) -> bool:
        """Whether anything is kept at all."""
        return self._folder is not None

    @property
    def seconds(self) -> float:
        """Seconds that the work has taken so far, over all its starts."""
        return self._seconds_before + time.monotonic() - self._began

    @property
    def seconds_before(self) -> float:
        """Seconds that earlier starts have taken."""
        return self._seconds_before

    def save_block(self, index: int, block: KeptBlock[Any], hidden: Tensor | None, left: int = 0) -> None:
        """Keep a finished block; when this returns it survives a kill or a power cut.

        Where the disk refuses, or has no room for the checkpoint in addition to what is kept, everything kept is removed and the run continues.

        Args:
            index: its number; blocks are kept in order.
            block: what it adds to the checkpoint; its facts may not have a field `file`, `sha256` or `tensors`.
            hidden: [N, T, H] what the next block is given; only that of the last kept block stays.
            left: blocks still to come.
        """
        if self._folder is None or index != self.blocks:
            return
        file, states_file = self._folder / f"block-{index:05d}.safetensors", self._folder / f"hidden-{index:05d}.safetensors"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            size = sum(stored_bytes(tensor) for tensor in block.tensors.values())
            self._require_room(size * (1 + 2 * left) + (0 if hidden is None else stored_bytes(hidden)))
            entry = {"file": file.name, "sha256": _write(file, block.tensors), "tensors": list(block.tensors)} | block.facts.model_dump(mode="json")
            carried = None if hidden is None else {"file": states_file.name, "sha256": _write(states_file, {"hidden": hidden})}
            self._save(blocks=[*self._manifest["blocks"], entry], hidden=carried)
            for old in self._folder.glob("hidden-*"):
                if old != states_file:
                    old.unlink()
        except OSError as error:
            self._give_up(error)

    def block(self, index: int, facts: type[Facts]) -> KeptBlock[Facts]:
        """A kept block and its facts, read as this class. Raises RequestError: its file is not what the manifest says."""
        entry = self._manifest["blocks"][index]
        found = self._read(entry)
        return KeptBlock({name: found[name] for name in entry["tensors"]}, facts.model_validate(entry))

    @property
    def hidden(self) -> Tensor | None:
        """[N, T, H]: what the block after the last kept one is given; None when no block is kept, or it needs nothing.

        Raises:
            RequestError: its file is not what the manifest says.
        """
        entry = self._manifest["hidden"]
        return None if entry is None else self._read(entry)["hidden"]

    def put(self, name: str, document: Any) -> None:
        """Keep plain data that took long to compute; where the disk refuses, as `save_block`."""
        try:
            if self._folder is not None:
                self._folder.mkdir(parents=True, exist_ok=True)
            self._save(documents=self._manifest["documents"] | {name: document})
        except OSError as error:
            self._give_up(error)

    def get(self, name: str) -> Any:
        """What was put under this name, None when nothing was."""
        return self._manifest["documents"].get(name)

    def path_for(self, name: str) -> Path | None:
        """Where a method keeps a file of its own for the same request; None when nothing is kept."""
        if self._folder is None:
            return None
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._save()
        except OSError as error:
            self._log(f"finished work cannot be kept ({error.strerror or error}): if this run is stopped, it starts again")
            self._folder = None
        return None if self._folder is None else self._folder / name

    def discard(self) -> None:
        """Remove everything that is kept."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _give_up(self, error: OSError) -> None:
        self._log(f"finished blocks are not kept ({error.strerror or error}): if this run is stopped, it starts again")
        self.discard()
        self._folder = None

    def _require_room(self, needed: int) -> None:
        """Raises OSError when what is kept now, and all blocks to come both here and in the checkpoint, would not find room."""
        assert self._folder is not None
        if shutil.disk_usage(self._folder).free < needed:
            raise OSError(errno.ENOSPC, "not enough disk space for a second copy")

    def _read(self, entry: Mapping[str, Any]) -> dict[str, Tensor]:
        assert self._folder is not None
        file = self._folder / entry["file"]
        if not file.is_file() or _digest(file) != entry["sha256"]:
            raise RequestError(f"{shown(file)}, kept by the run, is damaged: start a new run with the spec.json of this one")
        return load_file(file)

    def _save(self, **changes: Any) -> None:
        self._manifest |= changes | {"seconds": self.seconds}
        if self._folder is not None:
            write_json(self._folder / _MANIFEST, self._manifest)

    def _checked(self, path: Path) -> dict[str, Any]:
        again = "start a new run with the spec.json of this one"
        try:
            found = read_json(path)
        except (OSError, ValueError) as error:
            raise RequestError(f"{shown(path)}, the index of what the run kept, cannot be read: {again}") from error
        if not isinstance(found, dict) or found.get("schema") != SCHEMA or set(self._manifest) - set(found):
            raise RequestError(f"{shown(path)} was kept by another version of this program: {again}")
        expected = json.loads(json.dumps(self._manifest["identity"]))
        for name, value in expected.items():
            if found["identity"].get(name) != value:
                raise RequestError(f"the {name.replace('_', ' ')} changed since the run was stopped, so it cannot resume: {again}")
        return found


def was_stopped(folder: Path | None) -> bool:
    """Whether an earlier start of the run kept anything in its folder."""
    return folder is not None and (folder / _MANIFEST).exists()


def _write(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Write a safetensors file in one step, onto the disk; returns its hash."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    file = SafetensorsFile(temporary)
    try:
        for name, tensor in tensors.items():
            file.append(name, tensor.cpu())
        file.close()
        digest = _digest(temporary)
        temporary.replace(path)
    except BaseException:
        file.discard()
        raise
    return digest


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

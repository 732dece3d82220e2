"""Write a model folder tensor by tensor: bounded memory, and nothing under the final name before it is whole."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from torch import Tensor

from core.errors import RequestError
from core.formats.writing.output import check_output
from core.formats.writing.partial_folder import PartialFolder, sync
from core.formats.writing.safetensors_file import SafetensorsFile, stored_bytes
from core.models.disk.headers import INDEX_FILE, SINGLE_FILE
from core.sanitize import clean

__all__ = ["MAX_SHARD_BYTES", "ShardWriter", "check_output"]

MAX_SHARD_BYTES = 5_000_000_000

_CARRIED = (
    "generation_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab*",
    "merges*",
    "*.model",
    "*.tiktoken",
    "*.spm",
    "tekken.json",
    "chat_template*",
    "additional_chat_templates",
    "*processor_config.json",
    "LICENSE*",
    "LICENCE*",
    "NOTICE*",
    "COPYING*",
    "USE_POLICY*",
)

_CARRIED_FOLDERS = ("additional_chat_templates", "chat_templates")


class ShardWriter:
    """Writes `<folder>.partial-<pid>` and renames it when whole. Use as a context manager: leaving it unfinished removes what was written.

    Raises (every method):
        RunFailed: the disk is full, or the folder cannot be written.
    """

    def __init__(self, folder_final: Path, max_shard_bytes: float = MAX_SHARD_BYTES) -> None:
        self._limit = int(max_shard_bytes)
        self._shard: SafetensorsFile | None = None
        self._files: list[Path] = []
        self._where: dict[str, int] = {}
        self._bytes = 0
        self._folder = PartialFolder(folder_final, self._discard_shard)
        self.folder, self.partial = self._folder.final, self._folder.partial

    def add(self, name: str, tensor: Tensor) -> None:
        """Append a tensor; it is on its way to the disk and no longer held when this returns. Raises RequestError: a name that was added before."""
        if name in self._where:
            raise RequestError(f"the tensor {clean(name, limit=200)!r} was written twice: the model's tensor names are not unique")
        with self._folder.guarded():
            self._append(name, tensor)

    @property
    def nbytes(self) -> int:
        """Bytes of tensor data added so far."""
        return self._bytes

    def finish(self, config: Mapping[str, object], carry_from: Path) -> Path:
        """Write index and config, copy tokenizer, generation settings, chat template and licence, and give the folder its name.

        Args:
            config: contents of config.json.
            carry_from: folder of the original model.

        Returns:
            The final folder.
        """
        with self._folder.guarded():
            self._complete(config, carry_from)
        return self.folder

    def abort(self) -> None:
        """Remove what was written, and folders made for it; nothing once finished."""
        self._folder.abort()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.abort()

    def _append(self, name: str, tensor: Tensor) -> None:
        size = stored_bytes(tensor)
        if self._shard is not None and self._shard.nbytes and self._shard.nbytes + self._shard.held_bytes + size > self._limit:
            self._close_shard()
        if self._shard is None:
            self._files.append(self.partial / f"shard-{len(self._files):05d}.part")
            self._shard = SafetensorsFile(self._files[-1])
        self._shard.append(name, tensor)
        self._where[name] = len(self._files) - 1
        self._bytes += size

    def _close_shard(self) -> None:
        if self._shard is not None:
            self._shard.close()
            self._shard = None

    def _discard_shard(self) -> None:
        if self._shard is not None:
            self._shard.discard()
            self._shard = None

    def _complete(self, config: Mapping[str, object], carry_from: Path) -> None:
        self._close_shard()
        names = self._shard_names()
        for file, name in zip(self._files, names, strict=True):
            file.rename(self.partial / name)
        if len(names) > 1:
            weight_map = {tensor: names[index] for tensor, index in self._where.items()}
            _write_json(self.partial / INDEX_FILE, {"metadata": {"total_size": self._bytes}, "weight_map": dict(sorted(weight_map.items()))})
        _write_json(self.partial / "config.json", config)
        self._carry(carry_from)
        self._folder.finish()

    def _shard_names(self) -> list[str]:
        count = len(self._files)
        return [SINGLE_FILE] if count == 1 else [f"model-{index + 1:05d}-of-{count:05d}.safetensors" for index in range(count)]

    def _carry(self, source: Path) -> None:
        for pattern in _CARRIED:
            for file in sorted(source.glob(pattern)):
                target = self.partial / file.name
                if file.is_file() and not target.exists() and file.suffix not in {".safetensors", ".bin", ".pt", ".pth", ".py"}:
                    shutil.copyfile(file, target)
                    sync(target)
                elif file.is_dir() and file.name in _CARRIED_FOLDERS and not target.exists():
                    shutil.copytree(file, target)


def _write_json(path: Path, value: Mapping[str, object]) -> None:
    with path.open("w", encoding="utf-8") as stream:
        json.dump(value, stream, indent=2, ensure_ascii=True)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())

"""A teacher's predictions on disk: a folder of parts, each written in one step, so that a killed scoring resumes and other students share it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from core.distill.teacher.kept import Kind, keep
from core.errors import RunFailed
from core.formats.writing.safetensors_file import SafetensorsFile
from core.models.disk.files import reason, shown
from core.runs.state.home import home

WINDOWS_A_PART = 16
_OPEN_PARTS = 256
_SHORT = 2**15
"""Words whose numbers fit two bytes."""
SCHEMA = "llmopt.teacher/1"

Predict = Callable[[Tensor], Tensor]
"""Logits float32 [T - 1, V] of a window int64 [T], of its next tokens."""


def parts_of(windows: int) -> int:
    """Parts in which so many windows are kept."""
    return -(-windows // WINDOWS_A_PART)


def cache_folder(teacher: Mapping[str, object], windows: Tensor, kind: Kind, count: int, vocabulary: int, seed: int) -> Path:
    """Where predictions are kept, in the home of the runs: named by everything they depend on.

    Args:
        teacher: states of its files.
        windows: text int64 [N, T].
        kind: of what is kept.
        count: words of a position.
        vocabulary: words that predictions are over.
        seed: of the draw; likeliest words have none.
    """
    key = {
        "schema": SCHEMA, "teacher": dict(teacher), "text": hashlib.sha256(windows.contiguous().numpy().tobytes()).hexdigest(),
        "kind": kind, "count": count, "vocabulary": vocabulary,
        "seed": seed if kind == "drawn" else None,
    }  # fmt: skip
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return home() / "teachers" / digest[:32]


class TeacherCache:
    """Predictions of one teacher on the windows of one text.

    Args:
        folder: where they are kept; made when it is needed.
        windows: text int64 [N, T].
        kind: of what is kept.
        count: words of a position.
        seed: of the draw.
        vocabulary: words that there are.
    """

    def __init__(self, folder: Path, windows: Tensor, kind: Kind, count: int, seed: int, vocabulary: int) -> None:
        self._numbers = torch.int16 if vocabulary <= _SHORT else torch.int32
        self._folder, self._windows, self.kind, self._count, self._seed = folder, windows, kind, count, seed
        self.parts = parts_of(len(windows))
        self._read: dict[int, dict[str, Tensor]] = {}

    @property
    def missing(self) -> list[int]:
        """Numbers of the parts that nobody has scored yet."""
        return [part for part in range(self.parts) if not self._file(part).is_file()]

    @torch.no_grad()
    def score(self, part: int, predict: Predict) -> None:
        """Keep what the teacher says of one part. Raises RunFailed: the disk refuses."""
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + part)
        windows = self._windows[part * WINDOWS_A_PART : (part + 1) * WINDOWS_A_PART]
        kept = [keep(predict(window).cpu(), self.kind, self._count, generator) for window in windows]
        tensors = {
            "words": torch.stack([each.words for each in kept]).to(self._numbers),
            "log_probabilities": torch.stack([each.log_probabilities for each in kept]).float(),
        }
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            _write(self._file(part), tensors)
        except OSError as error:
            raise RunFailed(f"{shown(self._folder)}, where the teacher's predictions are kept, cannot be written: {reason(error)}") from error

    def rows(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Words int16 or int32 and log-probabilities float32, each [rows, T - 1, k], of windows by their numbers int64 [rows].

        Raises:
            RunFailed: a part is gone or damaged.
        """
        found = [self._part(int(index) // WINDOWS_A_PART) for index in indices]
        places = [int(index) % WINDOWS_A_PART for index in indices]
        words, shares = ("words", "log_probabilities")
        return (
            torch.stack([part[words][place] for part, place in zip(found, places, strict=True)]),
            torch.stack([part[shares][place] for part, place in zip(found, places, strict=True)]),
        )

    def _part(self, part: int) -> dict[str, Tensor]:
        if part not in self._read:
            file = self._file(part)
            if len(self._read) >= _OPEN_PARTS:
                self._read.pop(next(iter(self._read)))
            try:
                self._read[part] = load_file(file)
            except Exception as error:  # safetensors raises whatever a damaged file led it to
                raise RunFailed(f"{shown(file)}, predictions of the teacher, cannot be read: remove {shown(self._folder)} and start again") from error
        return self._read[part]

    def _file(self, part: int) -> Path:
        return self._folder / f"part-{part:06d}.safetensors"


def _write(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """In one step; two runs that score the same part write the same."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    file = SafetensorsFile(temporary)
    try:
        for name, tensor in tensors.items():
            file.append(name, tensor)
        file.close()
        temporary.replace(path)
    except BaseException:
        file.discard()
        raise

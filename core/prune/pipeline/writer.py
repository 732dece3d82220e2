"""What carries a method out, and what it leaves on disk."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

import torch
from pydantic import BaseModel
from torch import Tensor

from core.models.card import ModelCard
from core.models.stream.arithmetic import arithmetic, looking_arithmetic
from core.models.stream.streaming import StreamedModel
from core.prune.methods import METHODS
from core.prune.result import BlockScore, ImportanceFigures, KeptFigures, LinearFigures, ScoreAgreement
from core.prune.spec import PruneSpec
from core.runs.checkpoint_room import remember, remembered
from core.runs.resume_store import ResumeStore
from core.runs.steps import Steps

_CHECKPOINTS = {False: "checkpoint", True: "recovered checkpoint"}


class Written(BaseModel):
    """What a finished checkpoint is like, apart from its files."""

    linears: list[LinearFigures] = []
    kept: list[KeptFigures] = []
    importance: list[ImportanceFigures] = []
    blocks: list[BlockScore] = []
    agreement: list[ScoreAgreement] = []
    notes: list[str] = []
    parameters: int = 0
    """Of the result, stored zeros counted."""
    bytes: int = 0
    """Of all tensors."""


class Writer(Protocol):
    """The life cycle of one method or of several alike."""

    def steps(self, spec: PruneSpec, streamed: StreamedModel) -> int:
        """How often `write` calls `steps.step`."""
        ...

    def write(self, spec: PruneSpec, streamed: StreamedModel, windows: Tensor | None, out: Path, steps: Steps) -> Written:
        """Prune and write the checkpoint folder `out`, resuming from `steps.store`.

        Args:
            spec: the request.
            streamed: the original model.
            windows: calibration tokens int64 [N, T]; None for a method that reads none.
            out: folder that receives the checkpoint; appears under its name when it is whole.
            steps: reports every part, keeps finished blocks, raises to cancel.
        """
        ...


def writer_of(method: str) -> Writer:
    """What carries out a method."""
    module, _, name = METHODS[method].solver.partition(":")
    return cast(Writer, getattr(import_module(module), name))


def writing_arithmetic(method: str, card: ModelCard, device: str) -> torch.dtype:
    """What a method computes in: masks only look at inputs; cuts solve for weights and measure small differences."""
    return looking_arithmetic(card, device) if METHODS[method].kind == "weights" else arithmetic(card, device)


def remember_checkpoint(store: ResumeStore, folder: Path, written: Written, *, recovered: bool = False) -> None:
    """Keep what a finished checkpoint was like, for a run that is stopped while it recovers or evaluates."""
    remember(store, _CHECKPOINTS[recovered], folder, {"written": written.model_dump(mode="json")})


def finished_checkpoint(store: ResumeStore, folder: Path, *, recovered: bool = False) -> Written | None:
    """What the run had written before it was stopped; None when there is none, or it was changed since."""
    kept = remembered(store, _CHECKPOINTS[recovered], folder)
    return None if kept is None else Written.model_validate(kept["written"])

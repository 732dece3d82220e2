"""The three kinds of solvers, and how the one of a method is found: imported when a run needs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import Tensor

from core.formats.base import Format
from core.models.stream.streaming import StreamedModel
from core.quantize.linear.solver import LinearSolver
from core.quantize.methods import METHODS
from core.quantize.pipeline.items import Item
from core.quantize.pipeline.written import Written
from core.quantize.spec import QuantizeSpec
from core.runs.steps import Steps


@dataclass(frozen=True)
class ModelSolver:
    """A method that goes through the whole model by itself."""

    items: Callable[[StreamedModel, QuantizeSpec, Tensor | None, Steps], Iterator[Item]]
    """(original, request, calibration tokens int64 [N, T] or None, steps) to every linear of every block."""
    scheme: Callable[[QuantizeSpec], Format] | None = None
    """As of `LinearSolver`."""


@dataclass(frozen=True)
class CheckpointWriter:
    """A method that even writes the checkpoint by itself."""

    write: Callable[[QuantizeSpec, StreamedModel, Tensor | None, Path, Steps], Written]
    """(request, original, calibration tokens int64 [N, T] or None, folder, steps) to what was written."""
    reopen: Callable[[Path], Written]
    """A folder that it wrote, opened; without figures and notes."""


def solver_of(method: str) -> LinearSolver[Any] | ModelSolver | CheckpointWriter:
    """What carries out a method."""
    module, _, name = METHODS[method].solver.partition(":")
    found = getattr(import_module(module), name)
    assert isinstance(found, LinearSolver | ModelSolver | CheckpointWriter)
    return found


def linear_solver(method: str) -> LinearSolver[Any]:
    """What carries out a method that rounds one linear at a time."""
    found = solver_of(method)
    assert isinstance(found, LinearSolver)
    return found

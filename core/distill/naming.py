"""What a distilled checkpoint is called."""

from __future__ import annotations

from core.distill.spec import DistillSpec
from core.models.source import ModelSource


def recipe_name(spec: DistillSpec) -> str:
    """The objective in short, fit for a file name: `forward-kl-300`."""
    loss: str = "cross-entropy" if not spec.alpha else spec.divergence
    mixed = f"-a{spec.alpha:g}" if 0 < spec.alpha < 1 else ""
    warm = f"-t{spec.temperature:g}" if spec.temperature != 1 else ""
    features = "" if spec.features == "none" else f"-{spec.features}" + ("" if spec.feature_weight == 1 else f"{spec.feature_weight:g}")
    if spec.teacher != "resident":
        loss += f"-{spec.teacher}{spec.kept_words}"
    return f"{loss}{mixed}{warm}{features}-{spec.steps}"


def checkpoint_folder(student: ModelSource | None, teacher: ModelSource, blocks: int | None, spec: DistillSpec) -> str:
    """Name of the folder that a run writes when none was asked for, for example `base-7-blocks-distilled`.

    Args:
        student: what was trained; None: a new one.
        teacher: its teacher.
        blocks: of a new student.
        spec: the request.
    """
    begun = student.folder_name if student is not None else f"{teacher.folder_name}-{blocks}-blocks"
    return f"{begun}-{recipe_name(spec)}"

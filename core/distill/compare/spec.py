"""What can be asked of the comparison of distillations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Self

from pydantic import model_validator

from core.distill.spec import DistillSpec
from core.spec import Spec, option, require_window


@dataclass(frozen=True)
class Variant:
    """One way to train: the fields of its request that say how."""

    title: str
    values: Mapping[str, object] = field(default_factory=dict, hash=False)


PROGRAMS = (
    Variant("text alone", {"alpha": 0.0}),
    Variant("predictions", {"alpha": 1.0}),
    Variant("both, T 2", {"alpha": 0.7, "temperature": 2.0}),
    Variant("with hidden states", {"alpha": 1.0, "features": "hidden"}),
)
"""The same student on the same text: without a teacher, with its predictions, with Hinton's mixture, with its hidden states too."""
TEXT_ALONE = PROGRAMS[0].title


class DistillCompareSpec(Spec):
    """Train one student in several ways on the same text and compare; no checkpoint is kept."""

    capability: ClassVar[str] = "distill-compare"

    model: Annotated[str, option("Teacher: bundled:base, a folder or a Hugging Face id", min_length=1)]
    student: Annotated[str | None, option("Student: a smaller or pruned model with the teacher's tokenizer; default: blocks of the teacher")] = None
    layers: Annotated[int | None, option("Blocks of the teacher that a new student keeps; default: two thirds, without student", ge=1)] = None
    steps: Annotated[int, option("Optimizer steps of each", "step", ge=1, le=10_000_000)] = 100
    tokens_per_step: Annotated[int, option("Tokens per optimizer step", "token", ge=8, le=2**24)] = 2048
    length: Annotated[int, option("Tokens per training sequence", "token", ge=8, le=131072)] = 512
    learning_rate: Annotated[float, option("Peak learning rate of AdamW", "1", gt=0, le=1)] = float(DistillSpec.model_fields["learning_rate"].default)
    train_text: Annotated[str, option("Training text: builtin or a UTF-8 file")] = "builtin"
    text: Annotated[str, option("Evaluation text: builtin or a UTF-8 file")] = "builtin"
    context: Annotated[int, option("Evaluation window", "token", ge=8, le=1048576)] = 512
    eval_tokens: Annotated[int, option("Tokens to evaluate on", "token", ge=8, le=2**31)] = 16384

    @model_validator(mode="after")
    def _fields_fit_together(self) -> Self:
        require_window(self.eval_tokens, self.context)
        self.of(PROGRAMS[0])
        return self

    def summary(self) -> str:
        """The same for all of them."""
        return f"comparison of losses, {self.steps} steps each"

    def of(self, variant: Variant) -> DistillSpec:
        """The request that one variant amounts to."""
        return DistillSpec.model_validate({**self.model_dump(), **variant.values})

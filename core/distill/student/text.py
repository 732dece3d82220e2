"""The text that a student learns from, cut by a tokenizer that teacher and student share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from core.calibration.windows import windows_for
from core.distill.spec import DistillSpec
from core.distill.tokenizers import require_same_tokens
from core.errors import RequestError
from core.models.load import load_tokenizer
from core.models.source import ModelSource

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_SAMPLE = 64
"""Windows whose text both tokenizers cut."""


@dataclass(frozen=True)
class TrainingText:
    """Windows of a training."""

    windows: Tensor
    """int64 [N, T]; the last `held_out` of a request are not trained on."""
    name: str
    """Corpus and number of tokens."""
    tokenizer: PreTrainedTokenizerBase
    vocabulary: int
    """Words that teacher and student both know."""

    @classmethod
    def of(cls, spec: DistillSpec, teacher: ModelSource, student: ModelSource | None) -> TrainingText:
        """Read, cut and compare.

        Args:
            spec: the request.
            teacher: whose tokenizer cuts the text.
            student: whose tokenizer must cut it alike; None: made of the teacher.

        Raises:
            RequestError: the text is too short for one step, or the tokenizers differ.
        """
        windows, name = windows_for(teacher, spec.train_text, spec.steps * spec.rows + spec.held_out, spec.length, spec.seed)
        least = spec.held_out + spec.rows
        if len(windows) < least:
            raise RequestError(
                f"the training text has {len(windows)} sequences of {spec.length} tokens, and one step of {spec.rows} with {spec.held_out} held out "
                f"needs {least}: give a longer train-text, or lower length, tokens-per-step or held-out"
            )
        tokenizer = load_tokenizer(teacher)
        other = tokenizer if student is None else load_tokenizer(student)
        sample = str(tokenizer.decode(windows[:_SAMPLE].flatten().tolist()))
        return cls(windows, name, tokenizer, require_same_tokens(tokenizer, other, sample))

    def passes(self, spec: DistillSpec) -> float:
        """How often a training reads the text."""
        return spec.steps * spec.rows / (len(self.windows) - spec.held_out)

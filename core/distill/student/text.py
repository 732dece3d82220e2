"""What a student learns from, cut by a tokenizer that teacher and student share: windows of a text, or conversations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from core.calibration.windows import windows_for
from core.distill.data.chat.rows import rows_of
from core.distill.data.training_file import ENDING, read_training
from core.distill.spec import DistillSpec
from core.distill.tokenizers import require_same_tokens
from core.errors import RequestError
from core.models.load import load_tokenizer
from core.models.source import ModelSource
from core.sanitize import clean

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
    counted: Tensor | None = None
    """bool [N, T]: the positions of windows whose predictions count; None: all that have a next token."""
    too_long: int = 0
    """Conversations that were left out."""

    @classmethod
    def of(cls, spec: DistillSpec, teacher: ModelSource, student: ModelSource | None) -> TrainingText:
        """Read, cut and compare.

        Args:
            spec: the request.
            teacher: whose tokenizer cuts the text.
            student: whose tokenizer must cut it alike; None: made of the teacher.

        Raises:
            RequestError: the text is too short for one step, the tokenizers differ, or conversations cannot be masked.
        """
        tokenizer = load_tokenizer(teacher)
        counted, too_long = None, 0
        if spec.train_text.endswith(ENDING):
            path = Path(spec.train_text).expanduser()
            rows = rows_of(tokenizer, read_training(path), spec.length)
            order = torch.randperm(len(rows.tokens), generator=torch.Generator().manual_seed(spec.seed))
            windows, counted, too_long = rows.tokens[order], rows.counted[order], rows.too_long
            name = f"{clean(path.name, limit=80)}, {len(windows)} conversations, {int(counted.sum())} tokens of answers, seed {spec.seed}"
        else:
            windows, name = windows_for(teacher, spec.train_text, spec.steps * spec.rows + spec.held_out, spec.length, spec.seed)
        least = spec.held_out + spec.rows
        if len(windows) < least:
            raise RequestError(
                f"the training text has {len(windows)} sequences of {spec.length} tokens, and one step of {spec.rows} with {spec.held_out} held out "
                f"needs {least}: give a longer train-text, or lower length, tokens-per-step or held-out"
            )
        other = tokenizer if student is None else load_tokenizer(student)
        sample = str(tokenizer.decode(windows[:_SAMPLE].flatten().tolist()))
        return cls(windows, name, tokenizer, require_same_tokens(tokenizer, other, sample), counted, too_long)

    def notes(self, spec: DistillSpec) -> list[str]:
        """Sentences for the result: what was left out, and how often a training reads the text where that is more than once."""
        notes = []
        if self.too_long:
            notes.append(f"{self.too_long} conversations have more than {spec.length} tokens and were left out: raise length to learn them")
        passes = spec.steps * spec.rows / (len(self.windows) - spec.held_out)
        if passes > 1:
            notes.append(f"the training text is shorter than the training: it was read {passes:.1f} times")
        return notes

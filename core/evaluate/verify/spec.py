"""What can be asked of `llmopt verify`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import model_validator

from core.spec import Spec, option, require_window


class VerifySpec(Spec):
    """Look at every tensor of a checkpoint, name its scheme, and measure its perplexity."""

    capability: ClassVar[str] = "verify"

    text: Annotated[str, option("Evaluation text: builtin or a UTF-8 file", min_length=1)] = "builtin"
    context: Annotated[int, option("Evaluation window", "token", ge=8, le=1048576)] = 512
    eval_tokens: Annotated[int, option("Tokens to evaluate on; 0 checks the tensors only", "token", ge=0, le=2**31)] = 4096

    @model_validator(mode="after")
    def _fields_fit_together(self) -> Self:
        require_window(self.eval_tokens, self.context)
        return self

"""What can be asked of `llmopt verify`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from core.spec import Spec, unit


class VerifySpec(Spec):
    """Look at every tensor of a checkpoint, name its scheme, and measure its perplexity."""

    capability: ClassVar[str] = "verify"

    text: Annotated[str, Field(description="Evaluation text: builtin or a UTF-8 file", min_length=1)] = "builtin"
    context: Annotated[int, Field(description="Evaluation window", ge=8, le=1048576, json_schema_extra=unit("token"))] = 512
    eval_tokens: Annotated[
        int, Field(description="Tokens to evaluate on; 0 checks the tensors only", ge=0, le=2**31, json_schema_extra=unit("token"))
    ] = 4096

    @model_validator(mode="after")
    def _fields_fit_together(self) -> Self:
        if 0 < self.eval_tokens < self.context:
            raise ValueError(f"eval-tokens {self.eval_tokens} do not fill one window of context {self.context}: raise eval-tokens or lower context")
        return self

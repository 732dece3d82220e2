"""What a verification found."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from core.evaluate.result import Convention
from core.formats.verify.checks import CheckResult


class VerifyResult(BaseModel):
    """Result of `llmopt verify`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    verified: bool
    """Whether no check failed."""
    format: str
    """plain, compressed-tensors, gptq, awq, bitsandbytes, aqlm, fp8, gguf."""
    scheme: str
    """The kind of storage inside the format, for example pack-quantized."""
    rounds_inputs: bool
    """Whether activations are rounded at run time."""
    linears: int
    """That are quantized."""
    bytes: int
    """Of all tensors."""
    bits_per_weight: float
    bits_per_quantized_weight: float | None
    checks: tuple[CheckResult, ...]
    ppl: float | None = None
    seconds: float
    peak_rss_bytes: int
    evaluation: Convention | None = None
    warnings: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """Of the run: 3 when a check fell short."""
        return 0 if self.verified else 3

"""What a verification found."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from core.evaluate.result import Convention, Ppl
from core.formats.verify.checks import CheckResult
from core.result import Figure, PeakMemory, Result, Seconds


class VerifyResult(Result):
    """Result of `llmopt verify`."""

    schema_: str = Field("llmopt.verify/1", alias="schema")
    capability: Literal["verify"] = "verify"
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
    bytes: Annotated[int, Figure("size", "byte", "lower")]
    """Of all tensors."""
    bits_per_weight: Annotated[float, Figure("bits per weight", "", "lower")]
    bits_per_quantized_weight: Annotated[float | None, Figure("bits per quantized weight", "", "lower")]
    checks: tuple[CheckResult, ...]
    ppl: Ppl | None = None
    seconds: Seconds
    peak_rss_bytes: PeakMemory
    evaluation: Convention | None = None
    warnings: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """Of the run: 3 when a check fell short."""
        return 0 if self.verified else 3

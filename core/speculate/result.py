"""What a speculative run found."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from core.result import Figure, Figures, PeakMemory, Result, Seconds
from core.speculate.spec import Acceptance, DrafterName, Task


class SpeculateRow(Figures):
    """One setting of gamma and temperature, measured in turns with plain decoding of the same prompts."""

    gamma: Annotated[int, Figure("tokens drafted a round (gamma)")]
    temperature: float
    alpha: Annotated[float | None, Figure("drafts accepted (alpha)", "share", "higher")]
    """Accepted drafts over judged drafts (those up to and with the first rejected one of each round); None when nothing was drafted."""
    acceptance_by_position: tuple[float, ...]
    """[i]: share of the rounds that accepted draft i + 1 among those that judged it. Positions that were never judged are left out at the end."""
    judged_by_position: tuple[int, ...]
    """[i]: rounds that judged draft i + 1; the share above is over so many."""
    accepted_per_round: float
    """Mean number of drafts accepted in a round."""
    tokens_per_round: Annotated[float, Figure("tokens per round", "", "higher")]
    """Mean number of tokens that a round adds: accepted drafts and the target's own token."""
    drafted_share: float
    """Share of rounds that had a draft: 1 but for lookups, which may find nothing."""
    drafted_per_round: float
    """Mean length of a draft, over the rounds that had one; of a tree, its candidates."""
    cost_ratio: Annotated[float, Figure("a drafted token, in target steps (c)", "", "lower")]
    """c: time of one drafted token over that of one plain step of the target."""
    verification_ratio: Annotated[float, Figure("a verification, in target steps (v)", "", "lower")]
    """v: time of a target forward over gamma + 1 tokens over that of one plain step."""
    predicted_speedup: Annotated[float, Figure("times faster, predicted")]
    """E / (gamma c + v), from the drafts that rounds accepted and the two costs, timed in other rounds."""
    speedup: Annotated[float, Figure("times faster", "", "higher")]
    """Plain seconds over speculative seconds for the same number of tokens."""
    speedup_range: tuple[float, float]
    """Least and greatest over the repeats."""
    tokens: Annotated[int, Figure("tokens")]
    """Generated in one repeat."""
    rounds: int
    """In one repeat, over all prompts."""
    target_calls: int
    """Forwards of the target in one repeat, the prompts' own among them."""
    draft_calls: int
    """Forwards of the drafter in one repeat; 0 for a lookup."""
    seconds: Seconds
    """Of one repeat, the best; prompts' own forwards are not counted."""
    baseline_seconds: float
    """Of plain decoding of the same prompts, the best."""
    prompt_seconds: float | None = None
    """Of the prompts' own forwards, the draft model's among them, in the best repeat; not part of `seconds`."""
    baseline_prompt_seconds: float | None = None
    tokens_per_second: Annotated[float, Figure("tokens per second", "", "higher")]
    baseline_tokens_per_second: Annotated[float, Figure("tokens per second, plain")]
    identical: bool | None
    """Whether the text is plain decoding's, token for token; None when sampled, where the distribution is the same and the texts are not."""
    first_difference: str | None = None
    """Where a greedy text first departs, and by how much the two logits differed there."""


class SpeculateResult(Result):
    """Result of `llmopt speculate`. The figures at the top are those of the fastest row."""

    schema_: str = Field("llmopt.speculate/1", alias="schema")
    capability: Literal["speculate"] = "speculate"
    model: str
    drafter: DrafterName
    draft: str | None
    """Title of the draft model, or what drafts in words."""
    acceptance: Acceptance
    lossless: bool
    """False for typical acceptance, which changes the target's distribution."""
    speedup: Annotated[float, Figure("times faster", "", "higher")]
    predicted_speedup: Annotated[float, Figure("times faster, predicted")]
    alpha: Annotated[float | None, Figure("drafts accepted (alpha)", "share", "higher")]
    cost_ratio: Annotated[float, Figure("a drafted token, in target steps (c)", "", "lower")]
    verification_ratio: Annotated[float, Figure("a verification, in target steps (v)", "", "lower")]
    gamma: Annotated[int, Figure("tokens drafted a round (gamma)")]
    temperature: float
    tokens_per_round: Annotated[float, Figure("tokens per round", "", "higher")]
    tokens_per_second: Annotated[float, Figure("tokens per second", "", "higher")]
    baseline_tokens_per_second: Annotated[float, Figure("tokens per second, plain")]
    identical: bool | None
    """Greedy rows all give plain decoding's texts; None without a greedy row."""
    rows: tuple[SpeculateRow, ...]
    task: Task
    corpus: str
    sha256: str
    """Of the text that prompts were cut from."""
    prompts: int
    prompt_tokens: int
    new_tokens: int
    """Asked for, for each prompt."""
    batch: int
    parameters: int
    draft_parameters: int | None
    dtype: str
    device: str
    threads: int
    seconds: Seconds
    peak_rss_bytes: PeakMemory
    warnings: tuple[str, ...] = ()
    """Slowdowns and other things to know, in plain sentences."""
    notes: tuple[str, ...] = ()
    """How it was measured."""

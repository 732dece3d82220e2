"""A pruning's events folded into what its live view shows. Pure: no screen, no disk."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.models.card import ModelCard
from core.runs.state.events import Event, Metric
from tui.experiment import progress

LINEAR_ERROR = "linear_error"
LINEAR_SPARSITY = "linear_sparsity"
BLOCK_KL = "block_kl"
BLOCK_SENSITIVITY = "block_sensitivity"
"""KL divergence that pruning one block adds: its label is the sparsity, its step the block."""
RECOVERY_LOSS = "recovery_loss"
_CALLED = ("q_proj", "k_proj", "v_proj", "qkv_proj", "o_proj", "gate_proj", "up_proj", "gate_up_proj", "down_proj")
"""In the order in which a block calls them; others follow in the order of the files."""


@dataclass
class RunProgress(progress.RunProgress):
    """What has been heard of one pruning so far."""

    errors: dict[str, float | None] = field(default_factory=dict)
    """linear -> relative error in the order of arrival; None where it is not finite."""
    sparsity: dict[str, float | None] = field(default_factory=dict)
    """linear -> share of its weights that are zero or gone."""
    block_kl: dict[int, float | None] = field(default_factory=dict)
    """block -> KL divergence of the model without it, as it was measured last."""
    recovery: dict[int, float | None] = field(default_factory=dict)
    """step -> loss of the recovery."""
    kinds: tuple[str, ...] = ()
    """Linears of a block that will be pruned, in the order of the model, where that is known."""
    blocks: int = 0
    """Of the model, where that is known."""

    def expect(self, card: ModelCard, *, every_linear: bool) -> None:
        """Take from the model's card what is to come.

        Args:
            card: the model's.
            every_linear: whether all linears of a block will be pruned.
        """
        self.blocks = card.layers
        if every_linear:
            kinds = dict.fromkeys(linear.name_suffix.rpartition(".")[2] for linear in card.linears)
            self.kinds = tuple(sorted(kinds, key=lambda kind: _CALLED.index(kind) if kind in _CALLED else len(_CALLED)))

    def apply(self, event: Event) -> None:
        match event:
            case Metric(name=name) if name == LINEAR_ERROR:
                if event.label in self.errors or self.block_kl:
                    self._begin()
                self.errors[event.label] = event.value
            case Metric(name=name) if name == LINEAR_SPARSITY:
                self.sparsity[event.label] = event.value
            case Metric(name=name) if name == BLOCK_KL:
                if event.step in self.block_kl or self.errors:
                    self._begin()
                self.block_kl[event.step] = event.value
            case Metric(name=name) if name == RECOVERY_LOSS:
                self.recovery[event.step] = event.value
            case _:
                super().apply(event)

    def _begin(self) -> None:
        """Another pass over the model: of a run that is resumed, or the next pruning of a comparison."""
        self.errors, self.sparsity, self.block_kl = {}, {}, {}

"""What a student is asked to learn at a position: a divergence from its teacher, the text's own next token, or a mixture."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from core.training.divergences import Divergence, forward_kl


@dataclass(frozen=True)
class Mixture:
    """alpha · T² · D(p_T, q_T) + (1 - alpha) · CE, the loss of Hinton et al. (arXiv 1503.02531) with any divergence D.

    T² keeps the gradient's scale over temperatures; cross entropy is taken at temperature 1 and without it.
    """

    divergence: Divergence = forward_kl
    alpha: float = 1.0
    temperature: float = 1.0

    @property
    def needs_teacher(self) -> bool:
        """Whether the teacher's predictions count."""
        return self.alpha > 0

    def divergences(self, target: Tensor, found: Tensor) -> Tensor:
        """T² D [...] of the logits [..., V] of teacher and student, float32 or wider."""
        target, found = ((logits / self.temperature if self.temperature != 1 else logits).log_softmax(-1) for logits in (target, found))
        return self.temperature**2 * self.divergence(target, found)

    def losses(self, target: Tensor | None, found: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of each position and its terms.

        Args:
            target: the teacher's logits [n, V]; None where alpha is 0.
            found: the student's logits [n, V].
            labels: the text's next tokens, int64 [n].

        Returns:
            Losses [n], and by name `divergence` [n], with its factor T², and `cross_entropy` [n]: those of weight above 0.
        """
        parts: dict[str, Tensor] = {}
        if self.alpha > 0:
            assert target is not None
            parts["divergence"] = self.divergences(target, found)
        if self.alpha < 1:
            parts["cross_entropy"] = functional.cross_entropy(found, labels, reduction="none")
        weights = {"divergence": self.alpha, "cross_entropy": 1 - self.alpha}
        total = sum((weights[name] * part for name, part in parts.items()), start=found.new_zeros(len(found)))
        return total, parts

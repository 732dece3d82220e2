"""The sparse tree of candidates, grown from how often each path of ranks turned out right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from core.runtime.decoder import Tree

Path = tuple[int, ...]


@dataclass(frozen=True)
class CandidateTree:
    """Which candidates are verified together. A node is a path of ranks: (0, 2) is the first head's likeliest token, then the second head's third.

    Node 0 of the forward is the root, the token that the target has chosen itself; node i + 1 is `paths[i]`.
    """

    paths: tuple[Path, ...]
    """The likeliest first; the beginning of a path comes before it, so that every beginning of the tuple is a tree."""
    gains: tuple[float, ...]
    """[i]: share of rounds in which path i was accepted, so what the node adds to the tokens of a round."""

    @property
    def depth(self) -> int:
        """Longest path."""
        return max(map(len, self.paths), default=0)

    @property
    def expected(self) -> float:
        """E: tokens per round, the target's own among them."""
        return 1 + sum(self.gains)

    @property
    def most(self) -> int:
        """Candidates that are asked of each head."""
        return 1 + max((rank for path in self.paths for rank in path), default=0)

    def first(self, nodes: int, depth: int | None = None) -> CandidateTree:
        """The likeliest `nodes` nodes whose paths are at most `depth` long."""
        kept = [(path, gain) for path, gain in zip(self.paths, self.gains, strict=True) if depth is None or len(path) <= depth][: max(nodes, 0)]
        return CandidateTree(tuple(path for path, _ in kept), tuple(gain for _, gain in kept))

    @cached_property
    def parents(self) -> tuple[int, ...]:
        """Parent of each node of the forward; -1 for the root."""
        numbers = {path: number for number, path in enumerate(((), *self.paths))}
        return (-1, *(numbers[path[:-1]] for path in self.paths))

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        """Children of each node, the likeliest first."""
        found: list[list[int]] = [[] for _ in self.parents]
        for node, parent in enumerate(self.parents):
            if parent >= 0:
                found[parent].append(node)
        return tuple(map(tuple, found))

    @cached_property
    def mask(self) -> Tree:
        """Who looks at whom."""
        return Tree.of(self.parents)

    @cached_property
    def places(self) -> Tensor:
        """Where node i + 1's token is in the flattened candidates [heads, most]: int64 [nodes]."""
        return torch.tensor([(len(path) - 1) * self.most + path[-1] for path in self.paths], dtype=torch.int64)


MISSED, UNASKED = -1, -2
"""In place of a rank: the head did not hold the token among its candidates; nobody knows what the target would have said."""


def grow(ranks: Tensor, nodes: int) -> CandidateTree:
    """The tree of `nodes` nodes that brings most tokens per round, where candidates turn out right as they did before.

    A node brings one token whenever its whole path is right, and a path is right at most as often as its beginning: so the best tree is the
    likeliest paths, taken greedily (Medusa, section 3.3, grows it so from each head's own accuracies; here paths are counted whole).

    Args:
        ranks: int64 [N, heads], the rank at which head i held what the target said, in N rounds; `MISSED`, or `UNASKED`, behind which a row says
            nothing more.
        nodes: at most so many, without the root.
    """
    right: Counter[Path] = Counter()
    asked: Counter[Path] = Counter()
    for row in ranks.tolist():
        for depth, rank in enumerate(row):
            if rank == UNASKED:
                break
            asked[tuple(row[:depth])] += 1
            if rank == MISSED:
                break
            right[tuple(row[: depth + 1])] += 1
    shares: dict[Path, float] = {(): 1.0}
    for path in sorted(right, key=len):
        shares[path] = shares[path[:-1]] * (right[path] / asked[path[:-1]])
    del shares[()]
    ordered = sorted(shares.items(), key=lambda item: (-item[1], len(item[0]), item[0]))[:nodes]
    return CandidateTree(tuple(path for path, _ in ordered), tuple(share for _, share in ordered))


def top_k(ranks: Tensor, most: int) -> tuple[tuple[float, ...], ...]:
    """[i][k]: how often head i held the target's token among its k + 1 likeliest, where it was asked; arguments as of `grow`."""
    found = []
    for column in ranks.T:
        known = column[column != UNASKED]
        found.append(tuple(float(((known >= 0) & (known <= rank)).sum()) / max(len(known), 1) for rank in range(most)))
    return tuple(found)


def best_size(tree: CandidateTree, cost: Callable[[int], float], largest: int) -> int:
    """Nodes at which most tokens are made a second.

    Args:
        tree: is cut behind its likeliest nodes.
        cost: time of a round with so many nodes, drafting and verifying.
        largest: nodes to try, at most.

    Returns:
        0 when plain decoding, a round of cost(0), is faster than any tree.
    """
    sizes = range(min(len(tree.paths), largest) + 1)
    return max(sizes, key=lambda nodes: ((1 + sum(tree.gains[:nodes])) / cost(nodes), -nodes))


def interpolated(measured: Sequence[tuple[int, float]]) -> Callable[[int], float]:
    """A cost for every size from a few that were measured, ascending by size: straight lines between them, the last one extended."""

    def cost(nodes: int) -> float:
        after = next((place for place, (size, _) in enumerate(measured) if size >= nodes), len(measured) - 1)
        if after == 0:
            return measured[0][1]
        (low, first), (high, second) = measured[after - 1], measured[after]
        return first + (second - first) * (nodes - low) / (high - low)

    return cost

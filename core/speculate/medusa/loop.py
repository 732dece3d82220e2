"""The decode loop with Medusa heads: candidates of all heads as one tree, one forward of the target, one path kept.

Exact acceptance draws the next token from the target's own warped distribution at a node and continues at the child that holds this token, as long
as there is one. Every token is thus a draw of the target itself: nothing is lost at any temperature, and with the same generator the text is the
one that plain decoding draws.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from core.errors import RequestError, RunFailed
from core.runtime.decoder import Decoder, Tree
from core.runtime.prefill import prefill
from core.runtime.sampling import Sampling, SeenTokens, choose, draw, warp
from core.speculate.bench.loop import Finish, Round
from core.speculate.medusa.heads import MedusaHeads
from core.speculate.medusa.tree import CandidateTree
from core.speculate.medusa.typical import threshold
from core.speculate.spec import Acceptance


def rounds(
    decoder: Decoder,
    heads: MedusaHeads,
    tree: CandidateTree,
    prompt: Tensor,
    *,
    sampling: Sampling | None = None,
    max_new_tokens: int = 256,
    stop_tokens: Collection[int] = (),
    generator: torch.Generator | None = None,
    acceptance: Acceptance = "exact",
) -> Iterator[Round]:
    """Continue a prompt, a round at a time.

    Args:
        decoder: of the target, for one sequence; is reset. Where it has no room for the whole tree, its likeliest nodes are verified.
        heads: of this target.
        tree: the candidates of a round.
        prompt: int64 [n] or [1, n].
        sampling: default: the likeliest token.
        max_new_tokens: at most so many are added.
        stop_tokens: end the text, also inside an accepted path.
        generator: source of the draws, on the decoder's device.
        acceptance: `typical` is lossy.

    Raises:
        RequestError: an empty prompt, more than one, or prompt and answer that do not fit the cache.
        RunFailed: the target answers with NaN; the round is named.
    """
    tokens = prompt[None] if prompt.dim() == 1 else prompt
    if len(tokens) != 1:
        raise RequestError(f"Medusa's trees are verified one sequence at a time, got {len(tokens)}: use a batch of 1")
    if max_new_tokens < 1:
        raise RequestError(f"{max_new_tokens} new tokens is invalid: request at least one")
    if tokens.shape[1] + max_new_tokens - 1 > decoder.max_tokens:
        raise RequestError(
            f"a prompt of {tokens.shape[1]} and {max_new_tokens} new tokens do not fit the cache of {decoder.max_tokens}: request a longer one"
        )
    loop = _Loop(decoder, heads, tree, tokens.to(decoder.device), sampling or Sampling(), frozenset(stop_tokens), generator, acceptance)
    return loop.run(max_new_tokens)


@dataclass(frozen=True)
class _Ready:
    """A tree with its tensors on the decoder's device."""

    tree: CandidateTree
    mask: Tree
    places: Tensor

    @classmethod
    def on(cls, device: torch.device, tree: CandidateTree) -> _Ready:
        return cls(tree, Tree(tree.mask.ancestors.to(device), tree.mask.depths.to(device)), tree.places.to(device))


@dataclass
class _Walk:
    """A path down the tree: nodes after the root, the tokens that were judged on the way, and the one that follows it."""

    nodes: list[int] = field(default_factory=list)
    emitted: list[int] = field(default_factory=list)


class _Loop:
    def __init__(
        self,
        decoder: Decoder,
        heads: MedusaHeads,
        tree: CandidateTree,
        prompt: Tensor,
        sampling: Sampling,
        stops: frozenset[int],
        generator: torch.Generator | None,
        acceptance: Acceptance,
    ) -> None:
        self._decoder, self._heads, self._tree, self._prompt = decoder, heads, tree, prompt
        self._sampling, self._stops, self._generator, self._acceptance = sampling, stops, generator, acceptance
        self._trees: dict[tuple[int, int], _Ready] = {}
        self._count = 0

    @torch.inference_mode()
    def run(self, limit: int) -> Iterator[Round]:
        """Rounds until the limit or a stop token."""
        began = time.perf_counter()
        decoder = self._decoder
        decoder.reset(1)
        self._seen = SeenTokens(self._prompt, decoder.vocabulary, self._sampling)
        logits = prefill(decoder, self._prompt)
        hidden = decoder.hidden[0, -1]
        token = self._token(logits, self._seen.mask)
        left = limit
        done = Round([[]], [0], [[token]], [self._over([token], left)], verify_seconds=time.perf_counter() - began)
        while True:
            left -= len(done.emitted[0])
            self._mark(done.emitted[0])
            yield done
            if done.over[0]:
                return
            done, hidden = self._round(hidden, done.emitted[0][-1], left)

    def _round(self, hidden: Tensor, root: int, left: int) -> tuple[Round, Tensor]:
        """One round behind the root; also the hidden state at the last kept node."""
        began = time.perf_counter()
        ready = self._fitting(left)
        drafted = [root, *self._draft(ready, hidden, root)]
        verifying = time.perf_counter()
        tokens = torch.tensor([drafted], device=self._decoder.device)
        logits = self._decoder.forward(tokens, tree=ready.mask if len(drafted) > 1 else None)[0]
        walk = self._typical(ready.tree, drafted, logits) if self._acceptance == "typical" else self._exact(ready.tree, drafted, logits)
        accepted = len(walk.nodes)
        branch = [drafted[node] for node in walk.nodes]
        refused = ready.tree.children[walk.nodes[-1] if walk.nodes else 0]
        over = self._over(walk.emitted, left)
        last = self._decoder.hidden[0, walk.nodes[-1] if walk.nodes else 0]
        if len(drafted) > 1:
            self._decoder.select(torch.tensor([0, *walk.nodes], device=self._decoder.device))
        done = Round(
            [branch + [drafted[node] for node in refused[:1]]],
            [min(accepted, len(walk.emitted))],
            [walk.emitted],
            [over],
            draft_seconds=verifying - began,
            verify_seconds=time.perf_counter() - verifying,
            candidates=len(drafted) - 1,
        )
        return done, last

    def _draft(self, ready: _Ready, hidden: Tensor, root: int) -> list[int]:
        if not ready.tree.paths:
            return []
        found: list[int] = self._heads.candidates(hidden, root, ready.tree.most, ready.tree.depth).view(-1)[ready.places].tolist()
        return found

    def _fitting(self, left: int) -> _Ready:
        """The tree as far as there is room for it and use of it."""
        nodes = min(len(self._tree.paths), self._decoder.max_tokens - self._decoder.length - 1)
        key = (nodes, min(left - 1, self._tree.depth))
        if key not in self._trees:
            self._trees[key] = _Ready.on(self._decoder.device, self._tree.first(nodes, key[1]))
        return self._trees[key]

    def _exact(self, tree: CandidateTree, drafted: Sequence[int], logits: Tensor) -> _Walk:
        """Choose the target's token at a node, go to the child that holds it."""
        self._count += 1
        best = self._best(logits)
        walk, node, seen = _Walk(), 0, self._seen.mask
        while True:
            token = best[node] if best is not None else self._token(logits[node : node + 1], seen)
            walk.emitted.append(token)
            child = next((child for child in tree.children[node] if drafted[child] == token), None)
            if child is None:
                return walk
            walk.nodes.append(child)
            node, seen = child, _with(seen, token)

    def _typical(self, tree: CandidateTree, drafted: Sequence[int], logits: Tensor) -> _Walk:
        """The longest path of candidates that are likely enough, the likeliest of equals, and a token of the target behind it."""
        self._count += 1
        walk, best, seen = _Walk(), (0, 0.0), self._seen.mask
        open_paths: list[tuple[list[int], float, Tensor | None]] = [([], 0.0, seen)]
        while open_paths:
            nodes, score, marks = open_paths.pop()
            node = nodes[-1] if nodes else 0
            if (len(nodes), score) > best:
                walk, best, seen = _Walk(nodes), (len(nodes), score), marks
            if not tree.children[node]:
                continue
            law = self._law(logits[node : node + 1], marks)[0]
            bound = float(threshold(law))
            for child in tree.children[node]:
                chance = float(law[drafted[child]])
                if chance > bound:
                    open_paths.append(([*nodes, child], score + chance, _with(marks, drafted[child])))
        last = walk.nodes[-1] if walk.nodes else 0
        final = draw(self._law(logits[last : last + 1], seen), self._generator)
        walk.emitted = [*(drafted[node] for node in walk.nodes), int(final)]
        return walk

    def _best(self, logits: Tensor) -> list[int] | None:
        """The likeliest token of every node at once, where no draw and no path changes it."""
        if not self._sampling.greedy or self._sampling.penalizes:
            return None
        values, tokens = logits.max(-1)
        self._check(values)
        found: list[int] = tokens.tolist()
        return found

    def _token(self, logits: Tensor, seen: Tensor | None) -> int:
        """The target's token behind logits [1, V]."""
        self._check(logits.amax(-1))
        return int(choose(logits, self._sampling, seen, self._generator))

    def _law(self, logits: Tensor, seen: Tensor | None) -> Tensor:
        self._check(logits.amax(-1))
        return warp(logits, self._sampling, seen)

    def _check(self, largest: Tensor) -> None:
        if not bool(largest.isfinite().all()):
            raise RunFailed(f"logits contain NaN or Inf at round {self._count}: the checkpoint is damaged or overflows its dtype")

    def _mark(self, tokens: list[int]) -> None:
        if self._seen.mask is not None:
            self._seen.mask[0, tokens] = True

    def _over(self, new: list[int], left: int) -> Finish | None:
        """Shorten what the text gets where it ends."""
        stop = next((place for place, token in enumerate(new) if token in self._stops), None)
        if stop is not None and stop < left:
            del new[stop + 1 :]
            return "stop"
        if len(new) >= left:
            del new[left:]
            return "length"
        return None


def _with(seen: Tensor | None, token: int) -> Tensor | None:
    """Marks [1, V] with one token more, when there are any."""
    if seen is None:
        return None
    marked = seen.clone()
    marked[0, token] = True
    return marked

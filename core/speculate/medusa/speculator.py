"""Medusa as one of the ways to speculate: heads found or trained, a tree of the size that pays on this machine."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.context import RunContext
from core.errors import RequestError
from core.models.resolve import resolve
from core.runtime.decoder import Decoder
from core.runtime.generate import stream
from core.runtime.sampling import Sampling
from core.sanitize import clean
from core.speculate.bench.loop import Round
from core.speculate.bench.shape import TREE_SLOTS
from core.speculate.bench.speculator import PLAIN_STEPS, TIMED_ROUNDS, StepSeconds, Target, warm_gaps
from core.speculate.medusa.heads import MedusaHeads
from core.speculate.medusa.loop import rounds
from core.speculate.medusa.place import base_digest, place_of
from core.speculate.medusa.store import HeadFacts, Node, Stored, exists, load, save
from core.speculate.medusa.train import TrainSettings, corpus, train
from core.speculate.medusa.tree import CandidateTree, best_size, interpolated
from core.speculate.spec import Acceptance, DraftingSpec

_SIZES = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 63)
_TRIALS = 15
_BLOCKS = 3
_TELL_EVERY = 0.5


class MedusaSpeculator:
    """`core.speculate.bench.speculator.Speculator` with trained heads.

    Args:
        decoder: of the target.
        heads: its own.
        tree: of all candidates; of each depth as much is verified as pays.
        acceptance: exact, or typical, which is lossy.
        title: what drafts.
    """

    def __init__(
        self, decoder: Decoder, heads: MedusaHeads, tree: CandidateTree, acceptance: Acceptance = "exact", title: str = "Medusa heads"
    ) -> None:
        self.title = title
        self.parameters: int | None = sum(parameter.numel() for parameter in heads.parameters())
        self.calls = 0
        self._decoder, self._heads, self._whole, self._acceptance = decoder, heads, tree, acceptance
        self._trees: dict[int, CandidateTree] = {}
        self._seconds: list[tuple[int, float]] = []

    def tree(self, gamma: int) -> CandidateTree:
        """The candidates of a round: paths of at most `gamma` tokens, as many as pay on this machine, at least one."""
        if gamma not in self._trees:
            self._seconds = self._seconds or tree_seconds(self._decoder, self._heads, self._whole)
            deep = self._whole.first(len(self._whole.paths), gamma)
            self._trees[gamma] = deep.first(max(best_size(deep, interpolated(self._seconds), self._seconds[-1][0]), 1))
        return self._trees[gamma]

    def rounds(self, prompts: Tensor, *, gamma: int, real: Tensor | None = None, **named: Any) -> Iterator[Round]:
        """Continue one prompt, as `core.speculate.medusa.loop.rounds`. Raises RequestError for a padded one."""
        if real is not None and not bool(real.all()):
            raise RequestError("Medusa's trees are verified one sequence at a time, without padding: use a batch of 1")
        self.calls = 0
        for done in rounds(self._decoder, self._heads, self.tree(gamma), prompts, acceptance=self._acceptance, **named):
            self.calls += done.candidates > 0
            yield done

    def step_seconds(self, prompts: Tensor, *, gamma: int, sampling: Sampling, generator: torch.Generator) -> StepSeconds:
        """Plain steps, and the two parts of rounds; of each kind the least mean of some blocks, as `LinearSpeculator` has it."""
        tree = self.tree(gamma)
        room = max(self._decoder.max_tokens - max(TIMED_ROUNDS * (tree.depth + 1), PLAIN_STEPS) - len(tree.paths), 1)
        prompts = prompts[:, -room:]
        limit = min(TIMED_ROUNDS * (tree.depth + 1), self._decoder.max_tokens - prompts.shape[1] + 1)
        blocks = []
        for _ in range(_BLOCKS):
            plain = warm_gaps(stream(self._decoder, prompts, sampling=sampling, max_new_tokens=PLAIN_STEPS))
            done = self.rounds(prompts, gamma=gamma, sampling=sampling, max_new_tokens=limit, generator=generator)
            every = ((each.draft_seconds, each.verify_seconds) for each in done)
            timed = list(islice(every, 1, TIMED_ROUNDS + 1))
            blocks.append([statistics.fmean(plain), *(statistics.fmean(kind) for kind in zip(*timed, strict=True))])
        plain_step, heads, verify = (min(kind) for kind in zip(*blocks, strict=True))
        return StepSeconds(plain_step, heads / gamma, verify)


def open_speculator(spec: DraftingSpec, target: Target, context: RunContext) -> MedusaSpeculator:
    """Heads from the folder that was named; else those that were trained for this target before; else new ones, trained now and kept.

    Raises:
        RequestError: no heads there, damaged ones, those of another model, or a model that cannot have any.
        RunFailed: training failed, or the disk refuses the trained heads.
        Cancelled: by the user, while they were trained.
    """
    check_tree(target.decoder)
    digest = base_digest(resolve(spec.model).path)
    found = load(Path(spec.medusa_heads).expanduser(), target.model, digest) if spec.medusa_heads else _found(target, digest, context)
    found = found or _trained(target, digest, context)
    facts = found.facts
    first = ", ".join(f"{share:.0%}" for share in (head[0] for head in facts.top_k))
    context.log(f"Medusa heads in {clean(str(found.folder))}: their top token is the target's {first} of the time, head by head")
    way = MedusaSpeculator(target.decoder, found.heads, facts.candidates, spec.acceptance, f"{facts.heads} Medusa heads")
    for gamma in spec.gamma:
        tree = way.tree(gamma)
        context.log(
            f"gamma {gamma}: a tree of {len(tree.paths)} candidates, {tree.depth} deep, expected to yield {tree.expected:.2f} tokens per round"
        )
        if gamma > facts.heads:
            context.log(f"gamma {gamma} is more than the {facts.heads} heads: a round drafts at most {facts.heads} tokens in a row")
    return way


def check_tree(decoder: Decoder) -> None:
    """Nothing, when the target can look at a tree and keep a branch. Raises RequestError where its attention or its cache cannot."""
    decoder.reset(1)
    tokens = torch.zeros(1, 3, dtype=torch.int64, device=decoder.device)
    decoder.forward(tokens, tree=CandidateTree(((0,), (1,)), (1.0, 1.0)).mask)
    decoder.select(torch.tensor([0, 2], device=decoder.device))
    decoder.reset(1)


def tree_seconds(decoder: Decoder, heads: MedusaHeads, tree: CandidateTree, behind: int = 64) -> list[tuple[int, float]]:
    """Seconds of a round by the nodes of its tree, drafting and verifying: [(nodes, seconds)], ascending.

    The sizes take turns, so that another program's work falls on all of them; of each the least counts, and no tree costs more than a larger one.
    The cache is filled with `behind` tokens first, and empty afterwards.
    """
    behind = min(behind, max(decoder.max_tokens - TREE_SLOTS, 1))
    sizes = sorted({min(size, len(tree.paths), decoder.max_tokens - behind - 1) for size in _SIZES})
    decoder.reset(1)
    decoder.forward(torch.zeros(1, behind, dtype=torch.int64, device=decoder.device), last=True)
    hidden = decoder.hidden[0, -1].clone()
    parts = {size: tree.first(size) for size in sizes}
    seconds = dict.fromkeys(sizes, math.inf)
    for _ in range(_TRIALS):
        for size in sizes:
            seconds[size] = min(seconds[size], _one_round(decoder, heads, parts[size], hidden))
    decoder.reset(1)
    return [(size, min(seconds[other] for other in sizes if other >= size)) for size in sizes]


def _one_round(decoder: Decoder, heads: MedusaHeads, tree: CandidateTree, hidden: Tensor) -> float:
    """Seconds of drafting and verifying candidates that are then forgotten."""
    count = len(tree.parents)
    tokens = torch.zeros(1, count, dtype=torch.int64, device=decoder.device)
    began = time.perf_counter()
    if tree.paths:
        heads.candidates(hidden, 0, tree.most, tree.depth).tolist()
    decoder.forward(tokens, tree=tree.mask if tree.paths else None).argmax(-1).tolist()
    if tree.paths:
        decoder.select(torch.zeros(1, dtype=torch.int64, device=decoder.device))
    taken = time.perf_counter() - began
    decoder.keep([0], 1)
    return taken


def _found(target: Target, digest: str, context: RunContext) -> Stored | None:
    folder = place_of(digest, TrainSettings().heads)
    if not exists(folder):
        return None
    try:
        return load(folder, target.model, digest)
    except RequestError as error:
        context.log(f"{error}; training them again now")
        return None


def _trained(target: Target, digest: str, context: RunContext) -> Stored:
    text = corpus()
    told = [0.0]

    def on_progress(_done: int, _total: int, label: str) -> None:
        context.check_cancelled()
        if time.monotonic() - told[0] > _TELL_EVERY:
            told[0] = time.monotonic()
            context.progress(0, 0, f"Medusa heads: {label}")

    made = train(target.model, target.tokenizer, text, TrainSettings(), on_progress, target.decoder)
    shape = made.heads.shape
    facts = HeadFacts(
        base=clean(target.card.name, limit=200),
        base_sha256=digest,
        **shape.to_json(),
        top_k=made.top_k,
        tree=tuple(Node(ranks=path, share=share) for path, share in zip(made.tree.paths, made.tree.gains, strict=True)),
        corpus=text.name,
        corpus_sha256=text.sha256,
        tokens=made.tokens,
        steps=made.steps,
        loss=made.loss,
        seconds=made.seconds,
    )
    folder = place_of(digest, shape.heads)
    folder.parent.mkdir(parents=True, exist_ok=True)
    facts = save(folder, made.heads, facts)
    context.log(f"trained in {made.seconds:.0f} s: {made.steps} steps on {made.tokens:,} hidden states")
    context.metric("medusa_seconds", made.seconds)
    context.artifact(folder, "drafter")
    return Stored(folder, made.heads, facts)

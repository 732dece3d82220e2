"""Trained heads on disk: safetensors and a JSON next to it, bound to the target by its hash."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from core import __version__
from core.errors import RequestError, RunFailed
from core.models.disk.files import shown
from core.runs.state.files import read_json, sync_folder, why, write_json
from core.speculate.medusa.heads import MedusaHeads
from core.speculate.medusa.place import FACTS
from core.speculate.medusa.tree import CandidateTree

_WEIGHTS = "heads.safetensors"

Share = Annotated[float, Field(ge=0, le=1)]


class Node(BaseModel):
    """A path of ranks and how often it was right."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ranks: tuple[Annotated[int, Field(ge=0, lt=1 << 16)], ...] = Field(min_length=1)
    share: Share


class HeadFacts(BaseModel):
    """medusa.json: what the heads are, whom they belong to, and how good they were when they were trained."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)

    schema_: Literal["llmopt.medusa/1"] = Field("llmopt.medusa/1", alias="schema")
    llmopt_version: str = __version__
    base: str
    base_sha256: str
    heads: Annotated[int, Field(ge=1, le=64)]
    hidden: int
    width: int
    vocabulary: int
    weights_sha256: str = ""
    top_k: tuple[tuple[Share, ...], ...]
    """[i][k]: how often head i + 1 held what the target said among its k + 1 likeliest, its predecessors' tokens being right."""
    tree: tuple[Node, ...] = Field(min_length=1)
    corpus: str
    corpus_sha256: str
    tokens: int
    """Hidden states that were trained on."""
    steps: int
    loss: float | None
    seconds: float

    @property
    def candidates(self) -> CandidateTree:
        """The whole tree. Raises RequestError when a path comes before its own beginning, or is longer than there are heads."""
        known: set[tuple[int, ...]] = {()}
        for node in self.tree:
            if node.ranks[:-1] not in known or node.ranks in known or len(node.ranks) > self.heads or max(node.ranks) >= self.vocabulary:
                raise RequestError(f"the tree of these Medusa heads is damaged at {list(node.ranks)}: train them again")
            known.add(node.ranks)
        return CandidateTree(tuple(node.ranks for node in self.tree), tuple(node.share for node in self.tree))


@dataclass(frozen=True)
class Stored:
    """Heads that were found."""

    folder: Path
    heads: MedusaHeads
    facts: HeadFacts


def save(folder: Path, heads: MedusaHeads, facts: HeadFacts) -> HeadFacts:
    """Write heads in one step: another program finds the whole folder or none; what stood there is replaced. Raises RunFailed: the disk refuses."""
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        temporary.mkdir(parents=True)
        tensors = {name: tensor.detach().float().cpu().contiguous() for name, tensor in heads.state_dict().items()}
        save_file(tensors, temporary / _WEIGHTS, metadata={"format": "pt"})
        written = facts.model_copy(update={"weights_sha256": _sha256(temporary / _WEIGHTS)})
        write_json(temporary / FACTS, written.model_dump(mode="json"))
        old = folder.with_name(f".{folder.name}.old-{secrets.token_hex(4)}")
        if folder.exists():
            folder.rename(old)
        temporary.rename(folder)
        sync_folder(folder.parent)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise RunFailed(why(error, folder)) from error
    return written


def load(folder: Path, model: Any, digest: str) -> Stored:
    """Heads from a folder, onto a model.

    Args:
        folder: of `save`.
        model: the target.
        digest: its `base_digest`.

    Raises:
        RequestError: no heads there, a damaged file, heads of another target, or weights that are not numbers.
    """
    facts = _facts(folder)
    if facts.base_sha256 != digest:
        raise RequestError(
            f"the Medusa heads in {shown(folder)} were trained for another model (hash {facts.base_sha256[:12]}, "
            f"not {digest[:12]}): omit medusa-heads to train new ones"
        )
    heads = MedusaHeads.on(model, facts.heads, facts.width)
    if (heads.shape.hidden, heads.shape.vocabulary) != (facts.hidden, facts.vocabulary):
        raise _damaged(folder, "its sizes are not the model's")
    _fill(folder, heads, facts)
    heads.requires_grad_(False)
    heads.train(False)
    _ = facts.candidates
    return Stored(folder, heads, facts)


def exists(folder: Path) -> bool:
    """Whether heads were saved there, damaged or not."""
    return (folder / FACTS).exists()


def _fill(folder: Path, heads: MedusaHeads, facts: HeadFacts) -> None:
    file = folder / _WEIGHTS
    try:
        if _sha256(file) != facts.weights_sha256:
            raise _damaged(folder, f"{_WEIGHTS} does not match what was written")
        tensors = load_file(file)
    except (OSError, SafetensorError) as error:
        raise _damaged(folder, f"{_WEIGHTS} cannot be read") from error
    expected = heads.state_dict()
    if tensors.keys() != expected.keys() or any(tensors[name].shape != expected[name].shape for name in expected):
        raise _damaged(folder, "its tensors do not match their description")
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise _damaged(folder, "it contains NaN or Inf")
    heads.load_state_dict(tensors)


def _facts(folder: Path) -> HeadFacts:
    try:
        return HeadFacts.model_validate(read_json(folder / FACTS))
    except FileNotFoundError as error:
        raise RequestError(f"no Medusa heads in {shown(folder)}: give the folder of trained ones, or omit medusa-heads") from error
    except (OSError, ValueError, ValidationError) as error:
        raise _damaged(folder, f"{FACTS} cannot be read") from error


def _damaged(folder: Path, what: str) -> RequestError:
    return RequestError(f"the Medusa heads in {shown(folder)} are damaged ({what}): delete the folder, and they are trained again")


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

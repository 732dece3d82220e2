"""Whether a teacher can be asked: its seeds, the texts to keep out, its key; for the form, the command line and the run alike."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from core.distill.data.seeds import read_seeds
from core.distill.data.spec import DistillDataSpec
from core.engine import look_up
from core.engine_access import server_key
from core.models.card import ModelCard
from core.text import user


class DistillDataFit(BaseModel):
    """What a request amounts to."""

    model_config = ConfigDict(frozen=True)

    seeds: int
    """In the file, repeated ones included."""
    requests: int
    """Different ones."""
    repeated: int
    """Seeds that are the same as an earlier one: answered once."""
    most_tokens: int
    """That can be generated at most."""
    most_cost: float | None
    """Of those, without prompts; None: no price was given."""


def check(spec: DistillDataSpec, card: ModelCard | None) -> DistillDataFit:
    """What will be asked; nothing is sent. `card` is None: the teacher is an address.

    Raises:
        RequestError: the seeds, the held-out text or the key cannot be used, or the engine is not known.
    """
    del card
    look_up(spec.engine)
    server_key(spec.model, spec.key_env, insecure=spec.insecure)
    if spec.held_out is not None:
        user(Path(spec.held_out).expanduser())
    seeds = read_seeds(Path(spec.seeds).expanduser(), spec.system, spec.limit)
    different = len(set(seeds))
    requests = different * spec.samples
    return DistillDataFit(
        seeds=len(seeds),
        requests=requests,
        repeated=len(seeds) - different,
        most_tokens=requests * spec.max_tokens,
        most_cost=None if spec.price_out is None else requests * spec.max_tokens * spec.price_out / 1e6,
    )

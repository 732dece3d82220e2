"""What can be asked of `llmopt benchmark-compare`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import field_validator, model_validator

from core.benchmark.spec import BenchmarkSpec, parts_of
from core.sanitize import clean
from core.spec import option

PLAIN = ("transformers", "runtime", "vllm")
"""Engines that are compared on a plain checkpoint when nothing is named."""
GGUF = ("llama-cpp",)
"""The same for a GGUF file."""
_ALONE = ("engine", "served_model")


@dataclass(frozen=True)
class CompareTarget:
    """One engine with what it serves."""

    label: str
    """Its name in the report."""
    engine: str
    model: str
    """A model, a checkpoint of it, or the address of a server."""

    @classmethod
    def parse(cls, text: str, model: str) -> Self:
        """`engine`, `engine:checkpoint` or `label=engine:checkpoint`; without a checkpoint the comparison's own model.

        Raises:
            ValueError: it is none of these.
        """
        before, colon, own = text.partition(":")
        label, _, engine = before.rpartition("=")
        engine, own, label = engine.strip(), own.strip(), label.strip()
        if not engine or (colon and not own):
            raise ValueError(f"{clean(text, limit=80)!r} is not a valid target: write engine, engine:checkpoint or label=engine:checkpoint")
        return cls(clean(label or (f"{engine} {_short(own)}" if own else engine), limit=80), engine, own or model)


class BenchmarkCompareSpec(BenchmarkSpec):
    """Put the same load with the same prompts on several engines and formats of one model, one after another."""

    capability: ClassVar[str] = "benchmark-compare"
    sections: ClassVar[tuple[tuple[str, tuple[str, ...]], ...]] = (
        ("target", ("model", "targets", "not_made", "style", "key_env", "insecure")),
        *BenchmarkSpec.sections[1:],
    )

    model: Annotated[str, option("Model: bundled:base, a folder, a .gguf file or a Hugging Face id", min_length=1)]
    targets: Annotated[
        tuple[str, ...],
        option(
            "Targets to compare, each engine, engine:checkpoint or label=engine:checkpoint; default: transformers, runtime and vllm, "
            "llama-cpp for a .gguf file"
        ),
    ] = ()
    not_made: Annotated[tuple[str, ...], option("Targets known in advance to be unmeasurable, each `label: reason`")] = ()

    _named = field_validator("targets", mode="before")(lambda value: parts_of(value))
    _reasons = field_validator("not_made", mode="before")(lambda value: parts_of(value, ";"))

    @model_validator(mode="after")
    def _targets_differ(self) -> Self:
        for name in _ALONE:
            if getattr(self, name) is not None:
                raise ValueError(f"{name.replace('_', '-')} applies to a single target: name engines in targets")
        labels = [target.label for target in self.chosen]
        twice = [label for label in labels if labels.count(label) > 1]
        if twice:
            raise ValueError(f"two targets are named {twice[0]}: write label=engine:checkpoint")
        return self

    @property
    def chosen(self) -> tuple[CompareTarget, ...]:
        """What is compared, in this order."""
        usual = GGUF if self.model.endswith(".gguf") else PLAIN
        return tuple(CompareTarget.parse(text, self.model) for text in self.targets or usual)

    def of(self, target: CompareTarget, prompts: Path | None = None) -> BenchmarkSpec:
        """The benchmark of one target; `prompts` is the file with the texts that all of them get."""
        shared = {name: getattr(self, name) for name in BenchmarkSpec.model_fields}
        own = {"model": target.model, "engine": target.engine, "baseline": None} | ({} if prompts is None else {"prompts": str(prompts)})
        return BenchmarkSpec.model_validate(shared | own)


def _short(model: str) -> str:
    if model.startswith(("http://", "https://", "bundled:")):
        return model
    path = Path(model)
    return path.parent.name if path.suffix == ".gguf" and path.parent.name else path.name or model

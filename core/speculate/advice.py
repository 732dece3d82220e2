"""The same speculation in the engines that serve models: today's command or configuration for a drafter.

Flags: vLLM 0.32 (`vllm.config.SpeculativeConfig`), SGLang as documented in autumn 2026, llama-server as documented in autumn 2026 (the
`--draft*` flags are gone from it), TensorRT-LLM 1.3 (documentation of its speculative decoding).
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import get_args

from core.errors import RequestError
from core.hardware.plan.recipes import served_name
from core.sanitize import clean
from core.speculate.spec import DrafterName

DRAFTERS: tuple[str, ...] = get_args(DrafterName)
"""A smaller model; n-grams of the text so far; the target's own first layers; heads on the target's last hidden state."""
LOOKUP = (2, 5)
"""Shortest and longest n-gram that is looked up where nothing else is asked."""
_TARGET, _DRAFT = "MODEL", "DRAFT"
_LEVEL = "Q8_0"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Wish:
    """What is to be served. Models as llmopt takes them; `target` and `drafting` are what engines call them: a path or a Hugging Face id."""

    model: str
    drafter: str
    gamma: int
    draft: str = _DRAFT
    lookup_min: int = LOOKUP[0]
    lookup_max: int = LOOKUP[1]

    @property
    def target(self) -> str:
        """The target."""
        return clean(served_name(self.model))

    @property
    def drafting(self) -> str:
        """The draft model."""
        return clean(served_name(self.draft))


@dataclass(frozen=True)
class Advice:
    """How one engine does it, or why it does not."""

    engine: str
    version: str
    command: str | None
    """A line for a POSIX shell; None: the engine has no such drafter."""
    file: str | None = None
    """Name of a configuration file that the command reads."""
    content: str | None = None
    """What that file holds."""
    prepare: tuple[str, ...] = ()
    """Lines that come first."""
    note: str = ""

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


def advise(model: str | None, drafter: str, gamma: int, draft: str | None = None, lookup: tuple[int, int] = LOOKUP) -> tuple[Advice, ...]:
    """One advice for each engine, those that can first.

    Args:
        model: target; None leaves a placeholder.
        drafter: one of `DRAFTERS`.
        gamma: drafted tokens per round.
        draft: the draft model; only with the drafter `model`, a placeholder without.
        lookup: shortest and longest n-gram that is looked up.

    Raises:
        RequestError: no such drafter, gamma below 1, or n-grams that cannot be.
    """
    if drafter not in DRAFTERS:
        raise RequestError(f"no drafter {clean(drafter, limit=40)!r}: one of {', '.join(DRAFTERS)}")
    if gamma < 1:
        raise RequestError(f"gamma must be at least 1, got {gamma}")
    if not 1 <= lookup[0] <= lookup[1]:
        raise RequestError(f"n-grams of {lookup[0]} to {lookup[1]} tokens are invalid: give 1 or more, the shortest first")
    wish = Wish(model or _TARGET, drafter, gamma, draft or _DRAFT, *lookup)
    answers = [engine(wish) for engine in _ENGINES]
    return tuple(sorted(answers, key=lambda answer: answer.command is None))


def _vllm(wish: Wish) -> Advice:
    engine, version = "vLLM", "0.32"
    settings: dict[str, dict[str, str | int]] = {
        "model": {"method": "draft_model", "model": wish.drafting, "num_speculative_tokens": wish.gamma},
        "lookup": {
            "method": "ngram",
            "num_speculative_tokens": wish.gamma,
            "prompt_lookup_min": wish.lookup_min,
            "prompt_lookup_max": wish.lookup_max,
        },
    }
    missing = {
        "layers": "none: vLLM cannot draft with the target's own layers; a small draft model of the family is the nearest",
        "medusa": "none to rely on: vLLM no longer documents Medusa, its remaining code (0.32) verifies no tree, and it "
        "does not read heads trained here; it builds on EAGLE-3 heads",
    }
    notes = {
        "model": 'drafts greedily by default, lossless at any temperature; "draft_sample_method": "probabilistic" accepts more when sampling',
        "lookup": "n-grams of the prompt and the generated text",
    }
    if wish.drafter in missing:
        return Advice(engine, version, None, note=missing[wish.drafter])
    words = ["vllm", "serve", wish.target, "--speculative-config", json.dumps(settings[wish.drafter])]
    return Advice(engine, version, shlex.join(words), note=notes[wish.drafter])


def _sglang(wish: Wish) -> Advice:
    engine, version = "SGLang", "documentation of autumn 2026"
    # SGLang counts the token that the target itself adds among the draft tokens of a round.
    verified = str(wish.gamma + 1)
    options = {
        "model": [
            *("--speculative-algorithm", "STANDALONE", "--speculative-draft-model-path", wish.drafting),
            *("--speculative-num-steps", str(wish.gamma), "--speculative-eagle-topk", "1", "--speculative-num-draft-tokens", verified),
        ],
        "lookup": ["--speculative-algorithm", "NGRAM", "--speculative-num-draft-tokens", verified],
    }
    missing = {
        "layers": "none: SGLang drafts with a model, EAGLE heads or n-grams",
        "medusa": "none: SGLang has no Medusa; EAGLE-3 heads verify a tree there (--speculative-algorithm EAGLE3)",
    }
    notes = {
        "model": "as a chain, as here; --speculative-eagle-topk above 1 makes it a tree",
        "lookup": "CUDA only; a trie of recent n-grams, its depth by --speculative-ngram-max-trie-depth",
    }
    if wish.drafter in missing:
        return Advice(engine, version, None, note=missing[wish.drafter])
    words = ["sglang", "serve", "--model-path", wish.target, *options[wish.drafter]]
    return Advice(engine, version, shlex.join(words), note=notes[wish.drafter])


def _llama_cpp(wish: Wish) -> Advice:
    engine, version = "llama.cpp", "llama-server, documentation of autumn 2026"
    options = {
        "model": ["-md", _gguf(wish.draft), "--spec-type", "draft-simple", "--spec-draft-n-max", str(wish.gamma)],
        "lookup": [
            *("--spec-type", "ngram-simple", "--spec-ngram-simple-size-n", str(wish.lookup_max)),
            *("--spec-ngram-simple-size-m", str(wish.gamma)),
        ],
    }
    missing = {
        "layers": "none: llama.cpp drafts with a model, EAGLE-3 or MTP heads, or n-grams",
        "medusa": "none: llama.cpp reads no Medusa heads; EAGLE-3 (--spec-type draft-eagle3) is the nearest",
    }
    notes = {
        "model": "drafts greedily by default; --spec-draft-sampling probabilistic accepts more when sampling",
        "lookup": "looks up n-grams of one length; a draft is used whole, so --spec-ngram-simple-size-m is gamma",
    }
    if wish.drafter in missing:
        return Advice(engine, version, None, note=missing[wish.drafter])
    words = ["llama-server", "-m", _gguf(wish.model), "-ngl", "auto", *options[wish.drafter]]
    models = [wish.model, wish.draft] if wish.drafter == "model" else [wish.model]
    prepare = tuple(line for model in models for line in _making(model))
    return Advice(engine, version, shlex.join(words), prepare=prepare, note=notes[wish.drafter])


def _tensorrt(wish: Wish) -> Advice:
    engine, version = "TensorRT-LLM", "1.3"
    settings: dict[str, dict[str, str | int]] = {
        "model": {"decoding_type": "DraftTarget", "max_draft_len": wish.gamma, "speculative_model": wish.drafting},
        "lookup": {"decoding_type": "NGram", "max_draft_len": wish.gamma, "max_matching_ngram_size": wish.lookup_max},
    }
    missing = {
        "layers": "none: a custom drafter is possible only from Python (UserProvidedDecodingConfig)",
        "medusa": "none in trtllm-serve: its PyTorch backend has Eagle3, MTP, PARD, DraftTarget and NGram",
    }
    if wish.drafter in missing:
        return Advice(engine, version, None, note=missing[wish.drafter])
    # JSON strings are YAML strings: a name cannot break out of its value.
    lines = [f"  {key}: {value if key == 'decoding_type' else json.dumps(value)}" for key, value in settings[wish.drafter].items()]
    content = "\n".join(["disable_overlap_scheduler: true", "speculative_config:", *lines]) + "\n"
    file = "speculative.yaml"
    return Advice(
        engine,
        version,
        shlex.join(["trtllm-serve", wish.target, "--config", file]),
        file,
        content,
        note="every request is speculated on, at any load: for small batches",
    )


def _gguf(model: str) -> str:
    """The GGUF file of a model: itself, or what `_making` makes."""
    return clean(model) if model.endswith(".gguf") else f"{_stem(model)}/model.gguf"


def _making(model: str) -> list[str]:
    """The line that makes the file, unless the model is one."""
    if model.endswith(".gguf"):
        return []
    return [shlex.join(["llmopt", "quantize", clean(model), "--method", "gguf", "--level", _LEVEL, "--out", _stem(model)])]


def _stem(model: str) -> str:
    name = _UNSAFE.sub("-", model.rstrip("/").rsplit("/", 1)[-1]).strip("-.") or "model"
    return f"{name}-{_LEVEL}"


_ENGINES: tuple[Callable[[Wish], Advice], ...] = (_vllm, _sglang, _llama_cpp, _tensorrt)

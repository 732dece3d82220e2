"""Train the bundled models: `python -m core.models.bundled.train base`, then `... draft`.

Interrupted at any moment it continues from its last checkpoint when called again. The finished model is
written in bfloat16 to the folder next to this file.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from core.models.bundled import recipe
from core.training.batches import Batch
from core.training.divergences import forward_kl, total_variation
from core.training.objective import Loss
from core.training.trainer import Settings, Step, Trainer

HERE = Path(__file__).parent


def main() -> int:
    """Train one of the two models; 130 when interrupted, with the state saved."""
    parser = argparse.ArgumentParser(prog="python -m core.models.bundled.train", description=__doc__)
    parser.add_argument("model", choices=sorted(recipe.CONFIGS))
    parser.add_argument("--steps", type=int, help=f"optimizer steps of 8,192 tokens (default {recipe.STEPS})")
    parser.add_argument("--work", type=Path, default=Path("build/bundled"), help="folder for checkpoints (default build/bundled)")
    parser.add_argument("--out", type=Path, default=HERE, help="folder that receives the finished models")
    parser.add_argument("--compile", action="store_true", help="compile the training step (needs a C++ compiler)")
    arguments = parser.parse_args()

    steps = arguments.steps or recipe.STEPS[arguments.model]
    tokenizer = _tokenizer(arguments.out / "base" if arguments.model == "draft" else arguments.work)
    stream = recipe.token_stream(tokenizer, arguments.work / "tokens.npy")
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**recipe.CONFIGS[arguments.model]))
    loss = _language_modelling(model)
    if arguments.model == "draft":
        base = _load_base(arguments.out)
        _begin_as(model, base)
        loss = _distillation(model, base)
    if arguments.compile:
        loss = torch.compile(loss)
    checkpoint = arguments.work / f"{arguments.model}.safetensors"
    draw = recipe.batches(stream, steps)
    trainer = Trainer(model, lambda batch: Loss(loss(batch.tokens)), lambda step: Batch(draw(step)), Settings(steps=steps), checkpoint)

    interrupted: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: interrupted.append(number))
    signal.signal(signal.SIGTERM, lambda number, _: interrupted.append(number))
    print(f"{arguments.model}: {model.num_parameters():,} parameters, {len(stream):,} training tokens", file=sys.stderr)
    if not trainer.fit(_Progress(), stop=lambda: bool(interrupted)):
        print(f"interrupted at step {trainer.step}; run the same command to resume", file=sys.stderr)
        return 130
    _save(model, tokenizer, arguments.out / arguments.model)
    return 0


def _language_modelling(model: nn.Module) -> Callable[[Tensor], Tensor]:
    def loss(batch: Tensor) -> Tensor:
        logits = model(input_ids=batch[:, :-1], use_cache=False).logits
        return nn.functional.cross_entropy(logits.float().flatten(0, 1), batch[:, 1:].flatten())

    return loss


def _distillation(student: nn.Module, teacher: nn.Module) -> Callable[[Tensor], Tensor]:
    """KL divergence of the student from the teacher plus their total variation, both at temperature 1, the mean over tokens.

    One minus the total variation is the share of drafted tokens that speculative decoding accepts (DistillSpec, arXiv 2310.08461).
    """

    def loss(batch: Tensor) -> Tensor:
        with torch.no_grad():
            target = teacher(input_ids=batch[:, :-1], use_cache=False).logits.float().log_softmax(-1)
        logits = student(input_ids=batch[:, :-1], use_cache=False).logits.float().log_softmax(-1)
        return forward_kl(target, logits).mean() + total_variation(target, logits).mean()

    return loss


def _begin_as(student: LlamaForCausalLM, teacher: LlamaForCausalLM) -> None:
    """Give the student the teacher's embeddings, last norm, and as many of its blocks as it has, evenly spread from the first to the last."""
    student.model.embed_tokens.load_state_dict(teacher.model.embed_tokens.state_dict())
    student.model.norm.load_state_dict(teacher.model.norm.state_dict())
    spread = np.linspace(0, len(teacher.model.layers) - 1, len(student.model.layers)).round().astype(int)
    for block, index in zip(student.model.layers, spread, strict=True):
        block.load_state_dict(teacher.model.layers[int(index)].state_dict())


class _Progress:
    """One line a step of 20 on stderr: loss (mean since the last line), speed, time left."""

    def __init__(self) -> None:
        self._losses: list[float] = []
        self._began = time.monotonic()
        self._first: int | None = None

    def __call__(self, step: Step) -> None:
        self._first = self._first or step.step
        self._losses.append(step.loss)
        if step.step % 20 and step.step != step.steps:
            return
        taken = step.step - self._first + 1
        left = (step.steps - step.step) * (time.monotonic() - self._began) / taken
        print(
            f"step {step.step}/{step.steps}  loss {np.mean(self._losses):.4f} nats/token  "
            f"{step.tokens_per_second:,.0f} tokens/s  {left / 60:.0f} min left",
            file=sys.stderr,
            flush=True,
        )
        self._losses.clear()


def _tokenizer(folder: Path) -> Tokenizer:
    path = folder / "tokenizer.json"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        recipe.train_tokenizer().save(str(path))
    return Tokenizer.from_file(str(path))


def _load_base(out: Path) -> LlamaForCausalLM:
    base: LlamaForCausalLM = LlamaForCausalLM.from_pretrained(out / "base", dtype=torch.bfloat16)
    base.requires_grad_(False)
    base.train(False)
    return base


def _save(model: LlamaForCausalLM, tokenizer: Tokenizer, folder: Path) -> None:
    model.bfloat16().save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": recipe.BOS,
        "eos_token": recipe.EOS,
        "model_max_length": recipe.CONTEXT,
        "clean_up_tokenization_spaces": False,
        "chat_template": recipe.CHAT_TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())

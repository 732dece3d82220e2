"""The bundled models against their bars: `python -m tests.benchmarks bundled_models [-- BASE DRAFT]`, folders of any two such models.

Compression of the whole held-out text against `xz -9`; acceptance of the draft's tokens by the base at temperature 1;
cost of a decode step of the draft over one of the base.
"""

from __future__ import annotations

import argparse
import lzma
import math
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from core import text
from core.errors import RequestError
from core.evaluate.encoding import Encoding, encode
from core.evaluate.logits.sources import ModelLogits
from core.evaluate.logits.threads import one_thread
from core.evaluate.logits.walk import walk
from core.evaluate.windows import windows_of
from core.models import bundled
from core.models.load import load_model, load_tokenizer
from tests.benchmarks.report import CANNOT_RUN_HERE, record

CONTEXT = 1024
BARS = {
    "bits_per_byte_over_xz_disjoint": ("<=", 0.75),
    "bits_per_byte_over_xz_strided": ("<=", 0.75),
    "acceptance": (">=", 0.60),
    "cost_ratio": ("<=", 0.25),
}

Step = Callable[[Any, DynamicCache, Tensor], Tensor]


def main(arguments: list[str] | None = None) -> bool:
    """Measure two folders, by default those in the package."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks bundled_models", description=__doc__)
    here = Path(bundled.__file__).parent
    parser.add_argument("base", type=Path, nargs="?", default=here / "base")
    parser.add_argument("draft", type=Path, nargs="?", default=here / "draft")
    chosen = parser.parse_args(arguments)
    missing = [folder for folder in (chosen.base, chosen.draft) if not (folder / "config.json").is_file()]
    if missing:
        print(f"no model in {missing[0]}")
        sys.exit(CANNOT_RUN_HERE)
    figures = compression(chosen.base) | acceptance(chosen.base, chosen.draft) | decoding(chosen.base, chosen.draft)
    return record("bundled_models", figures, BARS)


def compression(folder: Path) -> dict[str, Any]:
    """Bits per byte of the whole held-out text: of xz, of disjoint windows, of windows that overlap by half.

    The ratios to xz charge the model for every byte: a token that a convention does not score costs log2(vocabulary) bits.
    """
    corpus = text.builtin("held-out")
    encoding = encode(corpus, load_tokenizer(folder))
    xz = 8 * len(lzma.compress(corpus.text.encode(), preset=9)) / corpus.n_bytes
    figures: dict[str, Any] = {"corpus_sha256": corpus.sha256, "corpus_bytes": corpus.n_bytes, "tokens": len(encoding.tokens), "xz_bits_per_byte": xz}
    model = load_model(folder, torch.float32)
    for name, stride in (("disjoint", CONTEXT), ("strided", CONTEXT // 2)):
        scored, whole = _bits_per_byte(model, encoding, stride)
        figures |= {f"bits_per_byte_{name}": scored, f"bits_per_byte_{name}_all_tokens": whole, f"bits_per_byte_over_xz_{name}": whole / xz}
    return figures


def _bits_per_byte(model: Any, encoding: Encoding, stride: int) -> tuple[float, float]:
    """Of the scored tokens alone, and of all tokens with the unscored ones at log2(vocabulary) bits."""
    windows = windows_of(encoding.tokens, CONTEXT, stride)
    (track,) = walk([ModelLogits(model)], windows)
    bits = float(track.nll.sum()) / math.log(2)
    assert encoding.token_bytes is not None
    scored = int(encoding.token_bytes[windows.scored_positions()].sum())
    unscored = len(encoding.tokens) - 1 - windows.n_scored  # BOS carries no text
    return bits / scored, (bits + unscored * math.log2(model.config.vocab_size)) / int(encoding.token_bytes.sum())


def acceptance(base: Path, draft: Path, tokens: int = 32768) -> dict[str, Any]:
    """Mean over positions of Σ min(p, q) at temperature 1: on held-out text, and on text that the base wrote itself."""
    models = [load_model(folder, torch.float32) for folder in (base, draft)]
    held_out = encode(text.builtin("held-out"), load_tokenizer(base), tokens).tokens
    torch.manual_seed(0)
    prompts = held_out[: 8 * 64].view(8, 64)
    written: Tensor = models[0].generate(  # type: ignore[operator]
        prompts, attention_mask=torch.ones_like(prompts), do_sample=True, top_k=0, top_p=1.0, temperature=1.0, min_new_tokens=192, max_new_tokens=192
    )
    on_text = _overlap(models, windows_of(held_out, 512).tokens)
    on_own = _overlap(models, written)[:, prompts.shape[1] - 1 :]
    return {
        "acceptance": float(on_text.mean()),
        "acceptance_se": float(on_text.mean(dim=1).std()) / math.sqrt(len(on_text)),
        "acceptance_tokens": on_text.numel(),
        "acceptance_on_own_text": float(on_own.mean()),
    }


def _overlap(models: list[Any], windows: Tensor) -> Tensor:
    """Σ min(p, q) of the predictions of every target, float64 [N, T-1]."""
    rows = []
    for chunks in zip(*(ModelLogits(model).logits(windows) for model in models), strict=True):
        p, q = (logits[:, :-1].softmax(dim=-1) for logits in chunks)
        rows.append(torch.minimum(p, q).sum(dim=-1).double())
    return torch.cat(rows)


def decoding(base: Path, draft: Path) -> dict[str, Any]:
    """Milliseconds of a one-token step behind 256 tokens with a KV cache, and their ratio in the arithmetic in which the base is fastest.

    The ratio is the greater of that of the medians and that of the fastest tenths.

    A step runs the model's own blocks with rotary tables made once; transformers' forward is measured beside it. One thread: matrices
    of this size gain nothing by a second one, and waiting for it is what another program on the machine disturbs most.
    """
    figures: dict[str, Any] = {}
    ratios: dict[float, float] = {}
    for dtype in (torch.float32, torch.bfloat16):
        models = [load_model(folder, dtype) for folder in (base, draft)]
        for name, step in (("", _lean_step), ("_transformers", _transformers_step)):
            with one_thread():
                slow, fast = _step_times(models, step)
            kind = str(dtype).removeprefix("torch.") + name
            figures |= {f"base_step_ms_{kind}": slow[0] * 1e3, f"draft_step_ms_{kind}": fast[0] * 1e3}
            figures[f"cost_ratio_{kind}"] = max(quick / long for quick, long in zip(fast, slow, strict=True))
            if step is _lean_step:
                ratios[slow[1]] = figures[f"cost_ratio_{kind}"]
    return figures | {"cost_ratio": ratios[min(ratios)]}


@torch.no_grad()
def _step_times(models: list[Any], step: Step, rounds: int = 24, steps: int = 8) -> list[tuple[float, float]]:
    """Seconds of a step of each model, median and fastest tenth; the models take turns of `steps` steps, as in speculative decoding.

    On a busy machine medians favour the draft, whose steps are too short to be interrupted; the fastest tenth does not.
    """
    prompt = torch.randint(5, 4096, (1, 256), generator=torch.Generator().manual_seed(0))
    times: list[list[float]] = [[] for _ in models]
    caches: list[DynamicCache] = []
    for turn in range(rounds):
        if turn % 8 == 0:
            caches = [DynamicCache(config=model.config) for model in models]
            for model, cache in zip(models, caches, strict=True):
                model(input_ids=prompt, past_key_values=cache, use_cache=True)
        for model, cache, seconds in zip(models, caches, times, strict=True):
            for index in range(steps):
                token = prompt[:, index : index + 1]
                began = time.perf_counter()
                step(model, cache, token)
                seconds.append(time.perf_counter() - began)
    return [(statistics.median(seconds), statistics.quantiles(seconds, n=10)[0]) for seconds in times]


def _transformers_step(model: Any, cache: DynamicCache, token: Tensor) -> Tensor:
    logits: Tensor = model(input_ids=token, past_key_values=cache, use_cache=True).logits
    return logits


def _lean_step(model: Any, cache: DynamicCache, token: Tensor) -> Tensor:
    decoder = model.model
    if not hasattr(decoder, "rotary_tables"):
        decoder.rotary_tables = decoder.rotary_emb(decoder.embed_tokens.weight[:1], torch.arange(CONTEXT)[None])
    at = cache.get_seq_length()
    rotary = tuple(table[:, at : at + 1] for table in decoder.rotary_tables)
    hidden = decoder.embed_tokens(token)
    for layer in decoder.layers:
        hidden = layer(hidden, attention_mask=None, past_key_values=cache, use_cache=True, position_embeddings=rotary)
    logits: Tensor = model.lm_head(decoder.norm(hidden))
    return logits


if __name__ == "__main__":
    try:
        sys.exit(not main())
    except RequestError as error:
        sys.exit(str(error))

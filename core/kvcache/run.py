"""`llmopt kv-cache`: from a request to a table of schemes."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from core import text
from core.context import RunContext
from core.errors import RequestError, RunFailed
from core.evaluate.encoding import Encoding, encode
from core.evaluate.logits.threads import torch_threads
from core.evaluate.result import Convention
from core.evaluate.windows import windows_of
from core.formats.opening import open_whole, tokenizer_of
from core.kvcache.catalog.catalog import REFERENCE
from core.kvcache.catalog.head_names import groups_of, name_of
from core.kvcache.check import KvCheck, check
from core.kvcache.measure.chart import chart
from core.kvcache.measure.heads import with_groups
from core.kvcache.measure.needle import Needles, make_needles
from core.kvcache.measure.progress import Steps
from core.kvcache.measure.scheme_bench import Bench, refused_row
from core.kvcache.result import KvCacheResult, KvRow
from core.kvcache.spec import KvCacheSpec
from core.measure.peak_memory import peak_rss_bytes
from core.models.resolve import resolve
from core.models.stream.arithmetic import arithmetic
from core.text import Corpus

_UNTRAINED = (
    "Fewer heads of keys and values than the model was trained with are means of its own (arXiv 2305.13245) and were not trained afterwards, "
    "as the paper does for 5 % of pre-training: their perplexity is that of the conversion alone."
)


def run(spec: KvCacheSpec, context: RunContext) -> KvCacheResult:
    """Measure every scheme, the full cache first, then head variants with the full cache.

    Raises:
        RequestError: the request does not fit the model or the memory; found before any weights are read. Or no scheme could be measured.
        RunFailed: the model's predictions are not numbers.
        Cancelled: by the user.
    """
    began = time.monotonic()
    source = resolve(spec.model)
    card = source.card()
    fit = check(spec, card, memory_available=free_memory(context.device))
    corpus, tokenizer = text.load(spec.text), tokenizer_of(source)
    encoding = encode(corpus, tokenizer, spec.windows * fit.tokens)
    windows = windows_of(encoding.tokens, fit.tokens).tokens
    context.progress(0, 1, f"reading {source.title}")
    notes = [f"The text fills {len(windows)} windows of {fit.tokens} tokens, fewer than the {spec.windows} requested."] * (
        len(windows) < spec.windows
    )
    needles = _needles(spec, fit, tokenizer, encoding.tokens, notes)
    with torch_threads(spec.threads):
        model = open_whole(source, arithmetic(card, context.device, spec.dtype), context.device)
        variants = {name: with_groups(model, groups_of(name, card.heads)) for name in fit.variants}
        bench = Bench(model, windows, fit.prompt, spec, needles, Steps(context, 1))
        bench.steps.expect(bench.cost(sum(refused is None for _, _, refused in fit.rows) + len(fit.variants)))
        own = name_of(card.kv_heads, card.heads)
        rows = [_row(bench, name, refused, own) for name, _, refused in fit.rows]
        rows += [bench.row(name, REFERENCE, variant, name, own=False) for name, variant in variants.items()]
        threads_used = torch.get_num_threads()
    notes.append(f"The first {fit.prompt} tokens of each window are its prompt and are not scored; times are of one sequence.")
    notes += [_UNTRAINED] * any(groups_of(name, card.heads) < card.kv_heads for name in fit.variants)
    _require_one(spec, rows)
    for note in notes:
        context.log(note)
    return KvCacheResult(
        model=source.title,
        reference=REFERENCE,
        parameters=card.parameters,
        context=fit.tokens,
        prompt=fit.prompt,
        steps=spec.steps,
        repeats=spec.repeats,
        threads=threads_used,
        device=context.device,
        dtype=str(model.dtype).removeprefix("torch."),
        rows=tuple(rows),
        chart=chart(rows),
        evaluation=_convention(corpus, encoding, windows, fit, str(model.dtype).removeprefix("torch.")),
        needle=None if needles is None else needles.convention,
        seconds=time.monotonic() - began,
        peak_rss_bytes=peak_rss_bytes(),
        notes=tuple(notes),
    )


def free_memory(device: str) -> int | None:
    """Bytes free on a GPU; None leaves a CPU to the check."""
    return torch.cuda.mem_get_info(device)[0] if device.startswith("cuda") else None


def _row(bench: Bench, name: str, refused: str | None, own: str) -> KvRow:
    """One scheme; what cannot be done becomes a row with its reason, unless it is what the others are compared with."""
    if refused is None:
        try:
            return bench.row(name, name, bench.model, own, own=True)
        except (RequestError, RunFailed) as error:
            if name == REFERENCE:
                raise
            refused = str(error)
    bench.steps.context.log(f"{name} was skipped: {refused}")
    return refused_row(name, own, refused)


def _require_one(spec: KvCacheSpec, rows: list[KvRow]) -> None:
    wanted = [row for row in rows if row.scheme in spec.schemes]
    reasons = [row.refused for row in wanted if row.refused is not None]
    if len(reasons) == len(wanted):
        raise RequestError(reasons[0])


def _needles(spec: KvCacheSpec, fit: KvCheck, tokenizer: object, tokens: Tensor, notes: list[str]) -> Needles | None:
    if not spec.needle:
        return None
    try:
        return make_needles(tokenizer, tokens, spec.needle_depths, spec.needle_trials, fit.tokens, spec.seed)
    except RequestError as error:
        notes.append(f"No needle test: {error}")
        return None


def _convention(corpus: Corpus, encoding: Encoding, windows: Tensor, fit: KvCheck, dtype: str) -> Convention:
    n_bytes = None
    if encoding.token_bytes is not None:
        n_bytes = int(encoding.token_bytes[: windows.numel()].view(windows.shape)[:, fit.prompt :].sum())
    return Convention(
        corpus=corpus.name,
        sha256=corpus.sha256,
        context=fit.tokens,
        stride=fit.tokens,
        scoring="all-targets",
        bos="text" if encoding.bos else "none",
        windows=len(windows),
        tokens_scored=len(windows) * (fit.tokens - fit.prompt),
        bytes=n_bytes,
        dtype=dtype,
    )

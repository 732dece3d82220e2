"""A model card as lines of facts."""

from __future__ import annotations

from core.models.card import ModelCard
from tui.widgets import words


def facts(card: ModelCard) -> list[tuple[str, str]]:
    """(name, value) in the order in which a user asks."""
    heads = f"{card.heads} query, {card.kv_heads} key/value, {card.head_dim} wide"
    context = f"{card.context:,} tokens"
    if card.sliding_window is not None:
        context += f", {card.sliding_layers} layers see {card.sliding_window:,}"
    rows = [
        ("architecture", card.architecture),
        ("parameters", f"{millions(card.parameters)} ({'counted' if card.parameters_from == 'weights' else 'by config'})"),
        ("layers", f"{card.layers} x {card.hidden_size:,} wide"),
        ("feed-forward", f"{card.intermediate_size:,}" + (f", {card.experts} experts" if card.experts else "")),
        ("heads", heads),
        ("vocabulary", f"{card.vocabulary:,}{', tied embeddings' if card.tied_embeddings else ''}"),
        ("context", context),
        ("weights", f"{card.dtype}, {words.size(card.file_bytes)}" if card.file_bytes else "none here"),
        ("KV cache", f"{card.kv_bytes_per_token() / 1024:.4g} KiB/token at 16 bits"),
    ]
    if card.quantization is not None:
        rows.append(("quantized", card.quant_method))
    return rows


def millions(count: int) -> str:
    """Parameters as `6.95 M` or `8.03 B`."""
    for size, letter in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.3g} {letter}"
    return str(count)

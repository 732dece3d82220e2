"""From figures of single tokens to means with standard errors."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor

from core.evaluate.result import PERCENTILES, Divergence, Perplexity
from core.measure.neighbours import mean_error


def perplexity_of(nll: Tensor, n_bytes: int | None = None) -> Perplexity:
    """Summary of negative log-likelihoods, float64 [n] in nats, of tokens whose text has `n_bytes` UTF-8 bytes."""
    mean, error = _mean(nll)
    return Perplexity(
        ppl=_exp(mean),
        ppl_se=_exp(mean) * error,
        nll_mean=mean,
        nll_se=error,
        bits_per_byte=float(nll.sum()) / math.log(2) / n_bytes if n_bytes else None,
        tokens=len(nll),
    )


def divergence_of(nll_reference: Tensor, nll: Tensor, kl: Tensor, same_top: Tensor) -> Divergence:
    """Summary of n tokens: three float64 [n] in nats, and whether the most likely tokens agree, bool [n]."""
    ratio, ratio_error = _mean(nll - nll_reference)
    kl_mean, kl_error = _mean(kl)
    percentiles = np.percentile(kl.numpy(), PERCENTILES).tolist()
    agreement, agreement_error = _mean(same_top.double())
    return Divergence(
        tokens=len(nll),
        ppl=_exp(float(nll.mean())),
        ppl_ref=_exp(float(nll_reference.mean())),
        ppl_ratio=_exp(ratio),
        ln_ppl_ratio=ratio,
        ln_ppl_ratio_se=ratio_error,
        kl_mean=kl_mean,
        kl_se=kl_error,
        kl_max=float(kl.max()),
        kl_percentiles={f"{percent:g}": value for percent, value in zip(PERCENTILES, percentiles, strict=True)},
        top1_agreement=agreement,
        top1_se=agreement_error,
    )


def _mean(values: Tensor) -> tuple[float, float]:
    """Mean of float64 [n], tokens in their order, and its standard error; of one value the error is not defined."""
    return float(values.mean()), mean_error(values.numpy())


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf

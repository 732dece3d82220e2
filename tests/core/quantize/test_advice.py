"""What the advisor recommends is what quantize accepts."""

from __future__ import annotations

from math import prod
from typing import Any

import pytest

from core.errors import RequestError
from core.hardware.plan.advise import USE_CASES, recommend
from core.hardware.plan.formats import weight_bytes
from core.hardware.plan.machine import NAMED, Machine
from core.hardware.snapshot import GIBIBYTE
from core.models.card import ModelCard
from core.quantize.advice import refusal
from core.quantize.check import check
from core.quantize.spec import QuantizeSpec
from tests.core.models.test_counts import configured, plain, shapes_of

_MACHINES = [Machine("host", (), 64 * GIBIBYTE, 8), *(Machine(name, (NAMED[name],), 64 * GIBIBYTE, 8) for name in ("h100", "a100-80", "4090"))]


def card_of(family: str, **changes: Any) -> ModelCard:
    return ModelCard.from_config({**plain(configured(family)), **changes}, name=family)


@pytest.mark.parametrize(
    "family", ["llama", "mixtral", "qwen3_moe", "gpt_oss", "granitemoe", "deepseek_v3", "gpt2", "nemotron", "gemma2", "lfm2", "mpt"]
)
def test_every_recommended_checkpoint_passes_the_check_of_quantize(family: str) -> None:
    card = card_of(family)
    for machine in _MACHINES:
        for use_case in USE_CASES:
            for answer in recommend(card, machine, use_case, model="M", refused=lambda action: refusal(action, card)):
                if answer.action is not None:
                    check(QuantizeSpec.model_validate(answer.action), card)
                elif answer.engine == "vllm" and answer.format in ("w4a16", "int8", "fp8") and answer.why_not is None:
                    assert answer.statement is not None
                    assert "this version does not make it" in answer.statement


@pytest.mark.parametrize("family", ["mixtral", "qwen2_moe", "gpt_oss", "llama4_text", "granitemoe", "jamba"])
def test_fused_experts_are_refused_before_any_work_and_stay_in_16_bits_in_nf4(family: str) -> None:
    card = card_of(family)
    with pytest.raises(RequestError, match="keeps its experts fused"):
        check(QuantizeSpec(model="M", method="rtn", group_size=32), card)
    experts = sum(linear.count * linear.out_features * linear.in_features for linear in card.linears if linear.expert)
    fused = sum(prod(shape) for shape in shapes_of(family).values() if len(shape) == 3 and shape[0] == 4)
    assert experts == fused > 0
    nf4 = weight_bytes(card, "nf4")
    assert nf4.total >= 2 * experts
    assert "experts" in nf4.how
    assert weight_bytes(card, "fp8").total < nf4.total
    fp8 = next(row for row in recommend(card, _MACHINES[1], "throughput") if row.format == "fp8")
    assert fp8.command.startswith(f"vllm serve {family} ")
    assert "--quantization fp8" in fp8.command


def test_norms_of_keys_are_no_rows_that_groups_must_divide() -> None:
    sizes = {"hidden_size": 256, "intermediate_size": 512, "head_dim": 64}
    for family in ("cohere of norms", "cohere"):
        check(QuantizeSpec(model="M", method="rtn", group_size=128, context=128), card_of(family, **sizes))


def test_a_context_beyond_the_model_s_is_refused_as_engines_refuse_it() -> None:
    with pytest.raises(RequestError, match="a context of 4,096 tokens is more than the 128 of llama"):
        recommend(card_of("llama"), _MACHINES[0], context=4096)
    assert {row.context for row in recommend(card_of("llama"), _MACHINES[0])} <= {0, 128}

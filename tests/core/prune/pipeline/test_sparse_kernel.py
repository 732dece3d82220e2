"""2:4 products: measured where there is a GPU, said to be unknown elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from core.prune.pipeline.sparse_kernel import sparse_kernel_speedup, takes


@pytest.mark.parametrize(("shape", "fits"), [((32, 64), True), ((64, 32), False), ((48, 64), False), ((4096, 11008), True)])
def test_shapes_that_the_kernels_take(shape: tuple[int, int], fits: bool) -> None:
    assert takes(*shape) is fits


def test_nothing_is_claimed_without_a_gpu(tmp_path: Path) -> None:
    assert sparse_kernel_speedup(tmp_path, {"linear": (64, 64)}, "cpu") is None


@pytest.mark.gpu
def test_the_kernels_are_timed_on_a_gpu(tmp_path: Path) -> None:
    weight = torch.randn(1024, 1024)
    weight.view(-1, 4)[:, :2] = 0
    save_file({"linear.weight": weight.half()}, tmp_path / "model.safetensors")
    found = sparse_kernel_speedup(tmp_path, {"linear": (1024, 1024)}, "cuda:0")
    assert found is None or 0.05 < found < 20

"""Several devices share the linears of a block; what comes out is what one device makes."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch

from core.calibration.sharing import devices_of, shared
from core.calibration.statistics import InputStatistics
from core.models.stream.streaming import StreamedModel
from core.quantize.pipeline import stream
from core.quantize.pipeline.items import QuantizedLinear
from core.quantize.spec import QuantizeSpec
from core.runs.steps import Steps
from tests.core.quantize.conftest import RecordingContext

CPU = torch.device("cpu")
TOKENS = torch.randint(0, 300, (4, 48), generator=torch.Generator().manual_seed(0))


def test_results_come_in_order_while_each_device_holds_one_item() -> None:
    together, threads = threading.Barrier(2, timeout=30), set()

    def work(item: int, device: torch.device) -> int:
        threads.add(threading.get_ident())
        together.wait()
        return item * item

    assert list(shared(work, [1, 2, 3, 4], [CPU, CPU])) == [1, 4, 9, 16]
    assert len(threads) == 2


def test_one_device_works_in_the_calling_thread_when_asked() -> None:
    done: list[int] = []
    results = shared(lambda item, _: done.append(item), [1, 2], [CPU])
    assert done == []
    next(results)
    assert done == [1]


def test_an_error_ends_the_work() -> None:
    began: list[int] = []

    def work(item: int, _device: torch.device) -> None:
        began.append(item)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        list(shared(work, list(range(100)), [CPU, CPU]))
    assert len(began) < 100


def test_only_a_plain_request_for_cuda_takes_all_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert devices_of(torch.device("cuda")) == [torch.device("cuda", index) for index in range(3)]
    assert devices_of(torch.device("cuda:1")) == [torch.device("cuda:1")]
    assert devices_of(CPU) == [CPU]


def test_what_is_derived_is_made_once_by_threads_too() -> None:
    statistics, made = InputStatistics(4), []
    list(shared(lambda _item, _device: statistics.once("key", lambda: made.append(1)), list(range(8)), [CPU] * 4))
    assert made == [1]
    assert statistics.on(CPU) is statistics


@pytest.mark.parametrize("method", ["gptq", "rtn"])
def test_a_model_quantized_by_two_devices_is_the_same(tiny_llama_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    spec = QuantizeSpec(model=str(tiny_llama_dir), method=method, group_size=32)

    def quantized() -> dict[str, torch.Tensor]:
        with StreamedModel.open(tiny_llama_dir, torch.float32) as streamed:
            items = stream.quantized_linears(streamed, spec, TOKENS if method == "gptq" else None, Steps(RecordingContext(tmp_path), 100))
            return {item.name: item.tensor.dequantize() for item in items if isinstance(item, QuantizedLinear)}

    alone = quantized()
    monkeypatch.setattr(stream, "devices_of", lambda _device: [CPU, CPU])
    together = quantized()
    assert list(alone) == list(together)
    assert all(torch.equal(alone[name], together[name]) for name in alone)

"""Quantization-aware training: weights and scales are trained through their rounding until the model answers as the original does.

It begins at the result of GPTQ. The loss is the mean KL divergence of the rounded model's predictions from the original's on calibration text;
only the linears of the decoder blocks move. Rounding and its gradient: `core.quantize.whole.qat_rounding`. Unlike other methods this one holds the
whole model in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from core.errors import RequestError
from core.measure.limits import available_memory
from core.models.disk.headers import model_tensors
from core.models.disk.tensors import TORCH_DTYPES
from core.models.load import load_model
from core.models.predictor import Predictor
from core.models.stream.streaming import StreamedModel
from core.models.structure import find_linears
from core.numerics.tensor import QuantizedTensor
from core.quantize.linear.grids import grid_of
from core.quantize.methods.qat import EXTRA_BYTES
from core.quantize.pipeline.items import QuantizedLinear
from core.quantize.pipeline.solvers import ModelSolver
from core.quantize.pipeline.stream import figures_of, quantized_linears
from core.quantize.spec import QuantizeSpec
from core.quantize.whole.qat_rounding import RoundedWeight
from core.runs.steps import Steps
from core.runs.training import fit
from core.training.batches import window_batches
from core.training.distillation import imitation, with_next_tokens
from core.training.memory import rows_at_once, training_bytes
from core.training.precision import fast_bfloat16
from core.training.schedule import warmup_stable_decay
from core.training.trainer import Settings, Trainer

if TYPE_CHECKING:
    from transformers import PreTrainedModel


_SCALES_RATE = 0.1
"""Learning rate of a scale's logarithm over that of weights."""
_MEASURED_WINDOWS = 8
_GPTQ_WINDOWS = 64
_KEEP_EVERY = 50
_FIELD = "weight"


def linears(streamed: StreamedModel, spec: QuantizeSpec, windows: Tensor | None, steps: Steps) -> Iterator[QuantizedLinear]:
    """Train the whole model, then hand out its linears in order.

    Args:
        streamed: the original model.
        spec: the request.
        windows: training text int64 [N, T].
        steps: reports every step of the training.

    Raises:
        RequestError: the training does not fit the memory that is free.
        RunFailed: the loss is not a number.
        Cancelled: by the user; what was trained so far is kept where the run has a place for it.
    """
    if windows is None:
        raise RequestError("qat needs calibration text: give --calibration")
    _require_memory(streamed, windows)
    steps.say("reading the model")
    model = load_model(streamed.folder, torch.float32, str(streamed.device))
    rounded = _round_linears(model, streamed, spec)
    _begin_at_gptq(rounded, streamed, spec, windows, steps)
    _train(model, list(rounded.values()), windows, spec, steps)
    steps.say("measuring each linear")
    errors = _output_errors(rounded, model, windows)
    yield from _finished(rounded, errors)


def _require_memory(streamed: StreamedModel, windows: Tensor) -> None:
    outside = streamed.model.num_parameters()
    inside = sum(linear.weight.numel() for block in streamed.blocks.modules for linear in find_linears(block).values())
    config = streamed.config.get_text_config()
    tokens = rows_at_once(windows.shape[1], config.vocab_size) * windows.shape[1]
    needed = training_bytes(inside, outside - inside, config.hidden_size, streamed.n_blocks, config.vocab_size, tokens, extra=EXTRA_BYTES)
    free = _free_bytes(streamed.device)
    if needed > free:
        raise RequestError(
            f"training takes about {needed / 2**30:.1f} GiB and {free / 2**30:.1f} GiB are free: choose gptq or awq, which work block by block"
        )


def _free_bytes(device: torch.device) -> int:
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else available_memory()


def _round_linears(model: nn.Module, streamed: StreamedModel, spec: QuantizeSpec) -> dict[str, nn.Linear]:
    """Put a rounded weight into every linear of every block; these by the name of their weight in the checkpoint, without `.weight`."""
    stored = {name: TORCH_DTYPES[location.info.dtype] for name, location in model_tensors(streamed.folder).items()}
    model.requires_grad_(False)
    found: dict[str, nn.Linear] = {}
    for index, block in enumerate(streamed.blocks.modules):
        for inside in find_linears(block):
            path = f"{streamed.block_prefix(index)}{inside}"
            linear = model.get_submodule(path)
            assert isinstance(linear, nn.Linear)
            name = streamed.checkpoint_name(f"{path}.{_FIELD}")
            grid = grid_of(spec, stored.get(name, torch.bfloat16))
            linear.weight.requires_grad_(True)
            parametrize.register_parametrization(linear, _FIELD, RoundedWeight(linear.weight, grid))
            found[name.removesuffix(f".{_FIELD}")] = linear
    return found


@torch.no_grad()
def _begin_at_gptq(rounded: dict[str, nn.Linear], streamed: StreamedModel, spec: QuantizeSpec, windows: Tensor, steps: Steps) -> None:
    """Put every weight where GPTQ puts it: training from there ends nearer to the original than training from the nearest values does."""
    first = spec.model_copy(update={"method": "gptq"})
    for item in quantized_linears(streamed, first, windows[:_GPTQ_WINDOWS], steps.silent()):
        if isinstance(item, QuantizedLinear):
            steps.say(f"rounding {item.figures.name} by gptq, as the starting point of training")
            assert isinstance(item.tensor, QuantizedTensor)
            linear = rounded[item.name]
            _rounding(linear).begin_at(item.tensor)
            _trained(linear).copy_(_rounding(linear).right_inverse(item.tensor.dequantize()))


def _train(model: PreTrainedModel, rounded: list[nn.Linear], windows: Tensor, spec: QuantizeSpec, steps: Steps) -> None:
    rows = rows_at_once(windows.shape[1], model.config.get_text_config().vocab_size)
    device = model.device
    draw = window_batches(windows, rows, spec.seed)
    settings = Settings(
        steps=spec.train_steps,
        matrix_lr=spec.learning_rate,
        other_lr=spec.learning_rate * _SCALES_RATE,
        weight_decay=0.0,
        warmup=max(spec.train_steps // 20, 1),
        schedule=partial(warmup_stable_decay, decay_from=0.3),
        checkpoint_every=_KEEP_EVERY,
        autocast=fast_bfloat16(device),
        muon=False,
    )

    predictor = Predictor.of(model)

    def original(tokens: Tensor) -> Tensor:
        with _original(rounded):
            return predictor.hidden(tokens)

    trainer = Trainer(
        model,
        imitation(predictor, predictor, original),
        lambda step: with_next_tokens(draw(step).to(device)),
        settings,
        steps.store.path_for("training.safetensors"),
    )
    steps.say("training")
    fit(
        trainer,
        steps,
        "train_loss",
        lambda step: f"training: step {min(step.step + 1, step.steps)} of {step.steps}, {step.loss:.4f} nats per token from the original",
        "lower learning-rate, or use gptq",
    )


@contextmanager
def _original(rounded: list[nn.Linear]) -> Iterator[None]:
    """Within, the model answers with its original weights."""
    _set_rounding(rounded, on=False)
    try:
        yield
    finally:
        _set_rounding(rounded, on=True)


def _set_rounding(rounded: list[nn.Linear], *, on: bool) -> None:
    for linear in rounded:
        _rounding(linear).rounding = on


def _rounding(linear: nn.Linear) -> RoundedWeight:
    found = linear.parametrizations[_FIELD][0]  # type: ignore[index]
    assert isinstance(found, RoundedWeight)
    return found


def _trained(linear: nn.Linear) -> Tensor:
    return linear.get_parameter(f"parametrizations.{_FIELD}.original")


@torch.no_grad()
def _output_errors(rounded: dict[str, nn.Linear], model: PreTrainedModel, windows: Tensor) -> dict[str, float]:
    """Relative error of each linear's outputs against the original weight on the inputs that it now gets."""
    sums = {name: [0.0, 0.0] for name in rounded}

    def watch(name: str, linear: nn.Linear) -> torch.utils.hooks.RemovableHandle:
        original = _rounding(linear).original.to(torch.float32)
        difference = linear.weight - original

        def hook(_module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            inputs = arguments[0].float()
            for place, weight in enumerate((difference, original)):
                sums[name][place] += float((inputs @ weight.t()).square().sum(dtype=torch.float64))

        return linear.register_forward_pre_hook(hook)

    for names in _in_parts(list(rounded), 16):
        handles = [watch(name, rounded[name]) for name in names]
        try:
            model(input_ids=windows[:_MEASURED_WINDOWS].to(model.device), use_cache=False)
        finally:
            for handle in handles:
                handle.remove()
    return {name: (wrong / right) ** 0.5 if right else 0.0 for name, (wrong, right) in sums.items()}


def _in_parts(names: list[str], size: int) -> Iterator[list[str]]:
    return (names[first : first + size] for first in range(0, len(names), size))


@torch.no_grad()
def _finished(rounded: dict[str, nn.Linear], errors: dict[str, float]) -> Iterator[QuantizedLinear]:
    for name, linear in rounded.items():
        rounding = _rounding(linear)
        tensor = rounding.quantized(_trained(linear))
        figures = figures_of(name, rounding.original.to(torch.float32), tensor.dequantize(), tensor.nbytes, tensor.bits, None)
        yield QuantizedLinear(name, tensor, figures.model_copy(update={"error": errors[name]}))


SOLVER = ModelSolver(linears)

"""A model as a GGUF file: plain types written here, K-quants and IQ4 by llama.cpp in a child process, with an importance matrix if wanted."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from core import text
from core.calibration.blocks import calibrated_blocks
from core.formats.gguf.blocks import BLOCK_BITS, WRITTEN_HERE
from core.formats.gguf.families import tensor_name
from core.formats.gguf.llama.process import quantize_file, require_llama_cpp
from core.formats.gguf.pre_tokenizer_hashes import CHECK_TEXT
from core.formats.gguf.read.opening import open_gguf
from core.formats.gguf.read.weights import GgufWeights
from core.formats.gguf.write.convert import Conversion, convert, plan_conversion
from core.formats.gguf.write.imatrix import legacy_bytes, write_imatrix
from core.formats.writing.partial_folder import PartialFolder
from core.models.card import ModelCard
from core.models.stream.streaming import StreamedModel
from core.numerics.errors import weight_error
from core.numerics.zeros import count_zeros
from core.quantize.pipeline.solvers import CheckpointWriter
from core.quantize.pipeline.written import Written
from core.quantize.plan.levels import LevelRow, code_bits, level_row
from core.quantize.progress import report_layer
from core.quantize.result import LayerFigures
from core.quantize.spec import QuantizeSpec
from core.quantize.whole.gguf_reading import GgufReading, token_notes
from core.runs.steps import Steps
from core.sanitize import clean

FILE = "model.gguf"
IMATRIX = "imatrix.gguf"
_COMPARED_CHARACTERS = 20_000
_CARRIED = ("LICENSE*", "LICENCE*", "NOTICE*", "COPYING*", "USE_POLICY*")


def write(spec: QuantizeSpec, streamed: StreamedModel, windows: Tensor | None, out: Path, steps: Steps) -> Written:
    """Write a folder with model.gguf, and the importance matrix where there is one.

    Args:
        spec: the request; `level` and `imatrix` count.
        streamed: the original model.
        windows: calibration tokens, None without importance matrix.
        out: folder that receives the file.
        steps: reports every linear.

    Raises:
        RequestError: a family, tensor or tokenizer that GGUF has no place for, or llama.cpp is missing.
        RunFailed: the disk is full, or llama.cpp failed.
    """
    if spec.level not in WRITTEN_HERE:
        require_llama_cpp(f"level {spec.level}", "choose level Q8_0, which does not need it")
    card = ModelCard.from_folder(streamed.folder)
    conversion = plan_conversion(streamed.folder, Path(clean(spec.model, limit=200)).name.removeprefix("bundled:"))
    predicted = level_row(card, spec.level, imatrix=windows is not None)
    folder = PartialFolder(out)
    with folder.guarded():
        importance = {} if windows is None else importance_of(streamed, conversion, windows, steps)
        if windows is not None:
            write_imatrix(folder.partial / IMATRIX, importance, clean(spec.calibration, limit=200), len(windows), windows.shape[1])
        _write_file(spec, conversion, folder.partial / FILE, importance, steps)
        for pattern in _CARRIED:
            for file in streamed.folder.glob(pattern):
                if file.is_file():
                    shutil.copyfile(file, folder.partial / file.name)
        steps.say("comparing with the original")
        layers = _layers(streamed, conversion, GgufWeights(folder.partial / FILE), steps)
        samples = [CHECK_TEXT, *([text.load(spec.text).text[:_COMPARED_CHARACTERS]] if spec.eval_tokens else [])]
        on_tokens = token_notes(folder.partial / FILE, streamed.tokenizer(), samples)
        folder.finish()
    written = written_file(out)
    written.layers = layers
    written.notes = [*conversion.notes, *on_tokens, *notes_on(predicted, GgufWeights(out / FILE), card)]
    return written


def written_file(folder: Path) -> Written:
    """A folder that `write` made, opened."""
    found = GgufWeights(folder / FILE)
    kinds = Counter[str]()
    for name in found.file.tensors:
        kinds[found.file.block(name)] += found.file.tensors[name].numel

    def opened(original: StreamedModel) -> StreamedModel:
        return open_gguf(folder / FILE, original.dtype, str(original.device))

    scheme = ", ".join(kind for kind, _ in kinds.most_common())
    return Written(folder, "gguf", scheme, opened, GgufReading(folder / FILE), bytes=found.file.file_bytes)


@torch.no_grad()
def importance_of(streamed: StreamedModel, conversion: Conversion, windows: Tensor, steps: Steps) -> dict[str, Tensor]:
    """Mean square of each input feature of every linear over calibration text: tensor's name in GGUF -> float32 [in].

    Every linear sees what the original model gives it, as in llama.cpp's own `llama-imatrix`; linears that read the same tensor share its figures.
    """
    found: dict[str, Tensor] = {}
    for block in calibrated_blocks(streamed, windows, steps.check_cancelled):
        steps.say(f"measuring inputs in block {block.index + 1} of {streamed.n_blocks}")
        statistics = block.ranges(group.names[0] for group in block.groups)
        for group in block.groups:
            shared = statistics[group.names[0]]
            for name in group.names if shared.tokens else ():
                target = tensor_name(conversion.family, f"{streamed.block_prefix(block.index)}{name}.weight")
                if target is not None:
                    found[target] = shared.mean_square.cpu()
    return found


def notes_on(predicted: LevelRow, found: GgufWeights, card: ModelCard) -> list[str]:
    """What was predicted and what came out: fallbacks of llama.cpp, and bits per weight."""
    held = Counter[str]()
    for name, tensor in found.file.tensors.items():
        if len(tensor.shape) > 1:
            held[found.file.block(name)] += tensor.numel
    bits = 8 * found.file.file_bytes / card.parameters
    notes = [fallback.sentence() for fallback in predicted.fallbacks]
    mixed = ", ".join(f"{kind} {100 * count / sum(held.values()):.0f} %" for kind, count in held.most_common())
    notes.append(f"{predicted.level}: {predicted.bits_per_weight:.3f} bits per weight were predicted, the result has {bits:.3f} ({mixed})")
    if dict(held) != dict(predicted.types):
        other = ", ".join(f"{kind} {100 * count / max(sum(dict(predicted.types).values()), 1):.0f} %" for kind, count in predicted.types)
        notes.append(
            f"llama.cpp chose other types than were predicted ({other}): it is a different release from the one whose rules are implemented here"
        )
    return notes


def _write_file(spec: QuantizeSpec, conversion: Conversion, path: Path, importance: Mapping[str, Tensor], steps: Steps) -> None:
    if spec.level in WRITTEN_HERE:
        convert(conversion, path, spec.level, lambda name: steps.say(f"writing {name}"))
        return
    plain = path.with_name(f"plain-{conversion.stored}.gguf")
    convert(conversion, plain, conversion.stored, lambda name: steps.say(f"writing {name} for llama.cpp"))

    def on_line(line: str) -> None:
        steps.check_cancelled()
        sys.stderr.write(f"{line}\n")
        if line.startswith("[") and " - [" in line:
            steps.say(f"llama.cpp: {line.partition(']')[2].split(' - ')[0].strip()}")

    quantize_file(plain, path, spec.level, imatrix=legacy_bytes(importance) if importance else b"", on_line=on_line)
    plain.unlink()


def _layers(streamed: StreamedModel, conversion: Conversion, found: GgufWeights, steps: Steps) -> list[LayerFigures]:
    """Every linear of the blocks with what the file holds of it."""
    layers: list[LayerFigures] = []
    for target, location in conversion.locations.items():
        if not target.startswith("blk.") or len(location.info.shape) != 2:
            continue
        name = streamed.checkpoint_name(conversion.parameters[target])
        original = streamed.read_tensor(name).to(torch.float32)
        approximation = found[conversion.parameters[target]]
        error = weight_error(original, approximation).relative
        zeros, zeros_kept = count_zeros(original, approximation)
        rows, columns = location.info.shape
        block = found.file.block(target)
        stored_bits = BLOCK_BITS.get(block, 8 * found.file.nbytes(target) / (rows * columns))
        figures = LayerFigures(
            name=clean(name.removesuffix(".weight"), limit=200),
            error=error,
            weight_error=error,
            bytes=int(stored_bits * rows * columns / 8),
            rows=rows,
            columns=columns,
            bits=code_bits(block),
            zeros=zeros,
            zeros_kept=zeros_kept,
        )
        report_layer(steps, len(layers), figures)
        layers.append(figures)
    return layers


SOLVER = CheckpointWriter(write, written_file)

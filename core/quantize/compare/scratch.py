"""8-bit floats that no checkpoint format holds, kept in files for as long as they are measured."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from core.formats.layouts.compressed_tensors.floats import FloatQuantized
from core.formats.writing.shards import ShardWriter
from core.models.disk.files import read_object
from core.models.stream.streaming import StreamedModel
from core.numerics.fp8.codec import E5M2, Fp8Format
from core.quantize.pipeline.items import QuantizedLinear
from core.quantize.pipeline.stream import quantized_linears
from core.quantize.pipeline.written import Written, written_as
from core.quantize.progress import report_layer
from core.quantize.spec import QuantizeSpec
from core.runs.steps import Steps


class ScratchE5M2(FloatQuantized):
    """E5M2 laid out as compressed-tensors lays out E4M3. Nothing but this program reads it."""

    scheme: ClassVar[str] = "scratch"
    kind: ClassVar[Fp8Format] = E5M2


def write_e5m2(spec: QuantizeSpec, streamed: StreamedModel, out: Path, steps: Steps) -> Written:
    """Round every linear to E5M2, with inputs as they are, and write the linears alone.

    Args:
        spec: a request for FP8 whose format of floats is not looked at.
        streamed: the original model.
        out: folder that receives the files.
        steps: reports every linear.
    """
    assert spec.granularity != "group"
    scheme = ScratchE5M2(spec.granularity, None)
    written = written_as(out, scheme)
    with ShardWriter(out) as writer:
        for item in quantized_linears(streamed, spec.model_copy(update={"fp8_format": "e5m2"}), None, steps):
            if isinstance(item, QuantizedLinear):
                for name, tensor in scheme.compress(item.name, item.tensor).items():
                    writer.add(name, tensor.cpu())
                report_layer(steps, len(written.layers), item.figures)
                written.layers.append(item.figures)
        writer.finish(read_object(streamed.folder / "config.json"), streamed.folder)
        written.bytes = writer.nbytes
    return written

"""Our GGUF files evaluated by llama.cpp and by us, and K-quants of ours beside those of llama.cpp's own tools.

python -m tests.benchmarks gguf_agreement [--quantize PATH] [--source PATH] [--python PATH]

    --quantize  the program llama-quantize (LLMOPT_LLAMA_QUANTIZE); default: the library function behind it, in llama-cpp-python
    --source    a llama.cpp source tree, to convert a random model with its own script too (LLMOPT_LLAMA_CPP_SOURCE)
    --python    an interpreter with torch, transformers and sentencepiece for that script (LLMOPT_CONVERT_PYTHON); default: ours

Perplexity of bundled:base on held-out text by the convention of llama.cpp: windows of 512 tokens opened by BOS, the second half scored.
Needs llama-cpp-python.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from core import text
from core.calibration.windows import calibration_windows
from core.evaluate.encoding import encode
from core.evaluate.logits.sources import StreamedLogits
from core.evaluate.logits.walk import walk
from core.evaluate.windows import Windows, windows_of
from core.formats.gguf.blocks import WRITTEN_HERE
from core.formats.gguf.llama import process as llama_process
from core.formats.gguf.read.opening import open_gguf
from core.formats.gguf.write.convert import convert, plan_conversion
from core.formats.gguf.write.imatrix import legacy_bytes, write_imatrix
from core.models.load import load_tokenizer
from core.models.resolve import resolve
from core.models.stream.streaming import StreamedModel
from core.quantize.whole.gguf import importance_of
from core.runs.steps import Steps
from tests.benchmarks.formats.gguf_conversion import different_tensors, theirs, timed
from tests.benchmarks.report import CANNOT_RUN_HERE, record
from tests.core.formats.gguf.models import make_model
from tests.core.quantize.conftest import RecordingContext

LEVELS = ("F32", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "IQ4_XS", "Q3_K_M", "Q2_K")
TOKENS, CONTEXT = 16384, 512
GREEDY_PROMPT, GREEDY_TOKENS = 64, 64


def perplexities(path: Path, windows: Windows) -> tuple[float, float]:
    """Of a file: by us on the dequantized weights, and by llama.cpp."""
    with open_gguf(path) as streamed:
        ours = walk([StreamedLogits(streamed)], windows)[0].nll
    scored = llama_process.score(path, windows.tokens.tolist(), int(windows.first_target[0]))
    theirs_nll = [value for window in scored for value in window]
    assert len(theirs_nll) == len(ours)
    return math.exp(float(ours.mean())), math.exp(sum(theirs_nll) / len(theirs_nll))


def quantized_by_llama_cpp(source: Path, target: Path, level: str, imatrix: Path, program: str | None, data: bytes) -> None:
    """What llama-quantize makes of a file, or without it the library's function."""
    if program is None:
        llama_process.quantize_file(source, target, level, imatrix=data)
        return
    subprocess.run([program, "--imatrix", imatrix, source, target, level], check=True, capture_output=True)


def same_greedy_text(one: Path, two: Path, prompt: list[int]) -> bool:
    """Whether llama.cpp generates the same tokens from two files."""
    return llama_process.generate(one, prompt, GREEDY_TOKENS) == llama_process.generate(two, prompt, GREEDY_TOKENS)


def from_llama_cpp_s_converter(root: Path, script: Path, python: str, program: str | None) -> dict[str, float]:
    """A random model through both chains, converter and quantizer, ours and llama.cpp's."""
    sizes: dict[str, Any] = {"hidden_size": 256, "intermediate_size": 512, "num_attention_heads": 4, "num_hidden_layers": 6, "head_dim": 64}
    folder = make_model(root / "random", "llama", attention_bias=False, **sizes)
    convert(plan_conversion(folder, "m"), root / "plain.gguf", "BF16")
    timed(theirs(script, python, folder, root / "their-plain.gguf", "BF16"))
    llama_process.quantize_file(root / "plain.gguf", root / "chain.gguf", "Q4_K_M")
    if program is None:
        llama_process.quantize_file(root / "their-plain.gguf", root / "their-chain.gguf", "Q4_K_M")
    else:
        subprocess.run([program, root / "their-plain.gguf", root / "their-chain.gguf", "Q4_K_M"], check=True, capture_output=True)
    same = same_greedy_text(root / "chain.gguf", root / "their-chain.gguf", list(range(3, 35)))
    return {"different_tensors_whole_chain": different_tensors(root / "chain.gguf", root / "their-chain.gguf"), "same_greedy_text_whole_chain": same}


def main() -> bool:
    """Measure, print and record; exits with 77 without llama-cpp-python."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks gguf_agreement", description=__doc__)
    parser.add_argument("--quantize", default=os.environ.get("LLMOPT_LLAMA_QUANTIZE"))
    parser.add_argument("--source", type=Path, default=os.environ.get("LLMOPT_LLAMA_CPP_SOURCE"))
    parser.add_argument("--python", default=os.environ.get("LLMOPT_CONVERT_PYTHON", sys.executable))
    parser.add_argument("--levels", nargs="+", default=LEVELS)
    arguments = parser.parse_args()
    if not llama_process.is_installed():
        print(f"needs llama-cpp-python: {llama_process.INSTALL}", file=sys.stderr)
        sys.exit(CANNOT_RUN_HERE)
    folder = resolve("bundled:base").path
    tokenizer = load_tokenizer(folder)
    held_out = encode(text.builtin("held-out"), tokenizer, TOKENS).tokens
    windows = windows_of(held_out, CONTEXT, scoring="llama.cpp", bos=tokenizer.bos_token_id)
    prompt = held_out[:GREEDY_PROMPT].tolist()
    figures: dict[str, float] = {}
    bars: dict[str, tuple[str, float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        conversion = plan_conversion(folder, "base")
        calibration = calibration_windows(text.builtin("train"), tokenizer, 64, 512, 0)
        with StreamedModel.open(folder) as streamed:
            importance = importance_of(streamed, conversion, calibration, Steps(RecordingContext(root), 1, quiet=True))
        write_imatrix(root / "imatrix.gguf", importance, "builtin", 64, 512)
        data = legacy_bytes(importance)
        convert(conversion, root / "plain.gguf", conversion.stored)
        for level in arguments.levels:
            path = root / f"{level}.gguf"
            if level in WRITTEN_HERE:
                convert(conversion, path, level)
            else:
                llama_process.quantize_file(root / "plain.gguf", path, level, imatrix=data)
                other = root / "other.gguf"
                quantized_by_llama_cpp(root / "plain.gguf", other, level, root / "imatrix.gguf", arguments.quantize, data)
                figures[f"different_tensors_{level}"] = different_tensors(path, other)
                figures[f"same_greedy_text_{level}"] = same_greedy_text(path, other, prompt)
                bars |= {f"different_tensors_{level}": ("==", 0), f"same_greedy_text_{level}": ("==", 1)}
            ours, by_llama_cpp = perplexities(path, windows)
            figures |= {f"ppl_ours_{level}": ours, f"ppl_llama_cpp_{level}": by_llama_cpp, f"difference_{level}": abs(by_llama_cpp / ours - 1)}
            bars[f"difference_{level}"] = ("<=", 0.005)
            print(level, ours, by_llama_cpp, flush=True)
        script = Path(arguments.source or "") / "convert_hf_to_gguf.py"
        if arguments.source is not None and script.is_file():
            figures |= from_llama_cpp_s_converter(root, script, arguments.python, arguments.quantize)
            bars |= {"different_tensors_whole_chain": ("==", 0), "same_greedy_text_whole_chain": ("==", 1)}
    figures["quantized_by_the_program"] = arguments.quantize is not None
    return record("gguf_agreement", figures, bars)


if __name__ == "__main__":
    sys.exit(not main())

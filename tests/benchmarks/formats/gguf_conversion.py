"""Our GGUF converter against llama.cpp's own script: same model, same machine, in turns; and whether the tensors are the same bytes.

python -m tests.benchmarks gguf_conversion --source PATH [--python PATH]

    --source   a llama.cpp source tree, for example vendor/llama.cpp of the source package of llama-cpp-python (LLMOPT_LLAMA_CPP_SOURCE)
    --python   an interpreter with torch, transformers and sentencepiece for the script (LLMOPT_CONVERT_PYTHON); default: ours

The model is a random Llama of 1.1 billion weights in bfloat16, laid out as TinyLlama; both programs are timed from start to end, imports included.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from gguf import GGUFReader

from core.formats.writing.safetensors_file import SafetensorsFile
from tests.benchmarks.report import CANNOT_RUN_HERE, record
from tests.core.formats.gguf.models import FAMILIES, PIECES, make_model, write_sentencepiece

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 22,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "vocab_size": 32000,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-5,
    "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
    "tie_word_embeddings": False,
    "hidden_act": "silu",
    "dtype": "bfloat16",
}
_OURS = """
import sys
from pathlib import Path
from core.formats.gguf.write.convert import convert, plan_conversion
convert(plan_conversion(Path(sys.argv[1]), "model"), Path(sys.argv[2]), sys.argv[3])
"""


def large_model(folder: Path, layers: int) -> Path:
    """A random Llama with a SentencePiece tokenizer of 32,000 pieces."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG | {"num_hidden_layers": layers}))
    write_sentencepiece(folder, [*PIECES, *(f"\u2581x{index:x}" for index in range(32000 - len(PIECES)))])
    generator = torch.Generator().manual_seed(0)
    file = SafetensorsFile(folder / "model.safetensors")
    for name, shape in _shapes(layers).items():
        values = torch.ones(shape) if len(shape) == 1 else torch.empty(shape).normal_(0, 0.02, generator=generator)
        file.append(name, values.bfloat16())
    file.close()
    return folder


def _shapes(layers: int) -> dict[str, tuple[int, ...]]:
    hidden, wide, keys = 2048, 5632, 256
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (32000, hidden),
        "lm_head.weight": (32000, hidden),
        "model.norm.weight": (hidden,),
    }
    for layer in range(layers):
        of_layer = {
            "input_layernorm": (hidden,),
            "post_attention_layernorm": (hidden,),
            "self_attn.q_proj": (hidden, hidden),
            "self_attn.k_proj": (keys, hidden),
            "self_attn.v_proj": (keys, hidden),
            "self_attn.o_proj": (hidden, hidden),
            "mlp.gate_proj": (wide, hidden),
            "mlp.up_proj": (wide, hidden),
            "mlp.down_proj": (hidden, wide),
        }
        shapes |= {f"model.layers.{layer}.{name}.weight": shape for name, shape in of_layer.items()}
    return shapes


def timed(command: Sequence[str | Path]) -> tuple[float, float]:
    """Wall seconds and seconds of processor time of a program."""
    began = time.perf_counter()
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(said.decode(errors="replace")[-2000:])
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime


def ours(folder: Path, out: Path, level: str) -> list[str | Path]:
    """The command that converts with this project."""
    return [sys.executable, "-c", _OURS, folder, out, level]


def theirs(script: Path, python: str, folder: Path, out: Path, level: str) -> list[str | Path]:
    """The command that converts with llama.cpp's script."""
    return [python, script, folder, "--outfile", out, "--outtype", level.lower()]


def different_tensors(one: Path, two: Path) -> int:
    """Tensors of two files that are not the same bytes, missing ones counted."""
    first, second = ({tensor.name: tensor for tensor in GGUFReader(path).tensors} for path in (one, two))
    same = [
        name
        for name in first.keys() & second.keys()
        if first[name].tensor_type == second[name].tensor_type and first[name].data.tobytes() == second[name].data.tobytes()
    ]
    return len(first.keys() | second.keys()) - len(same)


def families(root: Path, script: Path, python: str) -> dict[str, int]:
    """Different tensors of a small random model of each family, at F16 and Q8_0."""
    found: dict[str, int] = {}
    for name in FAMILIES:
        folder = make_model(root / name, name)
        for level in ("F16", "Q8_0"):
            timed(ours(folder, root / "ours.gguf", level))
            timed(theirs(script, python, folder, root / "theirs.gguf", level))
            found[f"different_tensors_{name}_{level}"] = different_tensors(root / "ours.gguf", root / "theirs.gguf")
    return found


def main() -> bool:
    """Measure, print and record; exits with 77 without llama.cpp's script."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks gguf_conversion", description=__doc__)
    parser.add_argument("--source", type=Path, default=os.environ.get("LLMOPT_LLAMA_CPP_SOURCE"))
    parser.add_argument("--python", default=os.environ.get("LLMOPT_CONVERT_PYTHON", sys.executable))
    parser.add_argument("--layers", type=int, default=22)
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    script = Path(arguments.source or "") / "convert_hf_to_gguf.py"
    if arguments.source is None or not script.is_file():
        print("needs llama.cpp's convert_hf_to_gguf.py: --source PATH", file=sys.stderr)
        sys.exit(CANNOT_RUN_HERE)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        folder = large_model(root / "model", arguments.layers)
        runs: dict[str, list[tuple[float, float]]] = {"ours": [], "theirs": []}
        for _ in range(arguments.repeats):
            runs["theirs"].append(timed(theirs(script, arguments.python, folder, root / "theirs.gguf", "Q8_0")))
            runs["ours"].append(timed(ours(folder, root / "ours.gguf", "Q8_0")))
        figures: dict[str, float] = {"weights": sum(int(torch.Size(shape).numel()) for shape in _shapes(arguments.layers).values())}
        for who, measured in runs.items():
            figures[f"seconds_{who}"] = min(seconds for seconds, _ in measured)
            figures[f"processor_seconds_{who}"] = min(seconds for _, seconds in measured)
        figures["time_ratio"] = figures["seconds_ours"] / figures["seconds_theirs"]
        figures["processor_time_ratio"] = figures["processor_seconds_ours"] / figures["processor_seconds_theirs"]
        figures["different_tensors"] = different_tensors(root / "ours.gguf", root / "theirs.gguf")
        figures |= families(root, script, arguments.python)
    bars = {name: ("==", 0.0) for name in figures if name.startswith("different_tensors")} | {"time_ratio": ("<=", 1.0)}
    return record("gguf_conversion", figures, bars)


if __name__ == "__main__":
    sys.exit(not main())

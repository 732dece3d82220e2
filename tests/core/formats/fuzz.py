"""`python -m tests.core.formats.fuzz KIND[,KIND...] SEED COUNT`: read mutated files with at most a gigabyte more than the libraries take.

A file must be read, or refused with RequestError or RunFailed, within seconds. Prints what happened as one line of JSON a kind; the first
file that does anything else is kept and its path printed, with exit code 1.
"""

from __future__ import annotations

import json
import random
import resource
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from gguf import GGUFWriter
from safetensors.torch import save, save_file
from torch import Tensor

from core.errors import RequestError, RunFailed
from core.formats.base import Format
from core.formats.gguf.read.reader import GgufFile
from core.formats.gguf.read.weights import GgufWeights
from core.formats.layouts.awq import Awq
from core.formats.layouts.compressed_tensors.integers import CompressedTensors
from core.formats.layouts.gptq import Gptq
from core.formats.opening import quantized_weights
from core.formats.verify.checks import CheckBook
from core.formats.verify.verify import look_at_folder
from core.models.card import ModelCard
from core.models.disk.gguf_header import read_gguf_header
from core.models.disk.headers import model_tensors
from core.models.disk.tensors import TensorReader
from core.numerics.grid import Grid
from core.quantize.linear.rtn import quantize
from tests.core.formats import mutations

GIGABYTE = 2**30
_SECONDS = 10
_LINEARS = ("model.layers.0.mlp.up_proj", "model.layers.0.self_attn.q_proj")


class Hang(BaseException):
    """Not an Exception, so that nothing under test swallows it."""


def half(bits: int, *, symmetric: bool, reserved: int = 0) -> Grid:
    return Grid(bits, symmetric, "group", 32, scale_dtype=torch.float16, reserved=reserved)


def integer_seeds() -> Iterator[tuple[Format, dict[str, Any], dict[str, Tensor]]]:
    """(format, quantization_config, tensors) of each integer format."""
    schemes: list[tuple[Format, Grid]] = [
        (Gptq(4, True, 32), half(4, symmetric=True)),
        (Gptq(3, False, 32, act_order=True), half(3, symmetric=False, reserved=1)),
        (Awq(32), half(4, symmetric=False)),
        (CompressedTensors(4, False, "group", 32), half(4, symmetric=False)),
        (CompressedTensors(8, True, "channel", None, activation_bits=8), Grid(8, True, "channel", scale_dtype=torch.float16)),
    ]
    for scheme, grid in schemes:
        tensors: dict[str, Tensor] = {}
        for seed, name in enumerate(_LINEARS):
            weight = torch.randn(32, 64, generator=torch.Generator().manual_seed(seed))
            tensors |= scheme.compress(name, quantize(weight, None, grid))
        config = scheme.config(["lm_head"])
        if isinstance(scheme, Gptq):
            config["dynamic"] = {r"+:.*q_proj": {"bits": scheme.bits, "group_size": 32}, "-:lm_head": {}}
        yield scheme, config, tensors


def other_seeds() -> Iterator[tuple[None, dict[str, Any], dict[str, Tensor]]]:
    """Floats, codebooks and bitsandbytes, as their own tests make them."""
    generator = torch.Generator().manual_seed(0)
    name = _LINEARS[0]
    codes = torch.randn(128, 128, generator=generator).to(torch.float8_e4m3fn)
    float8 = {"num_bits": 8, "type": "float", "symmetric": True, "strategy": "channel", "dynamic": False}
    tokens = float8 | {"strategy": "token", "dynamic": True}
    group = {"targets": ["Linear"], "weights": float8, "input_activations": tokens, "format": "float-quantized"}
    yield (
        None,
        {"quant_method": "compressed-tensors", "format": "float-quantized", "config_groups": {"group_0": group}, "ignore": ["lm_head"]},
        {f"{name}.weight": codes, f"{name}.weight_scale": torch.ones(128, 1)},
    )
    yield (
        None,
        {"quant_method": "fp8", "weight_block_size": [128, 128], "activation_scheme": "dynamic"},
        {f"{name}.weight": codes, f"{name}.weight_scale_inv": torch.ones(1, 1)},
    )
    yield (
        None,
        {"quant_method": "aqlm", "num_codebooks": 2, "nbits_per_codebook": 8, "in_group_size": 8, "out_group_size": 1},
        {
            f"{name}.codes": torch.randint(-128, 128, (32, 8, 2), dtype=torch.int8, generator=generator),
            f"{name}.codebooks": torch.randn(2, 256, 1, 8, generator=generator),
            f"{name}.scales": torch.ones(32, 1, 1, 1),
        },
    )
    yield (
        None,
        {"quant_method": "bitsandbytes", "load_in_8bit": True, "llm_int8_threshold": 6.0},
        {f"{name}.weight": torch.randint(-127, 128, (32, 64), dtype=torch.int8, generator=generator), f"{name}.SCB": torch.ones(32)},
    )
    state = {"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [32, 64]}
    yield (
        None,
        {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": False},
        {
            f"{name}.weight": torch.randint(0, 256, (1024, 1), dtype=torch.uint8, generator=generator),
            f"{name}.weight.absmax": torch.ones(32),
            f"{name}.weight.quant_map": torch.linspace(-1, 1, 16),
            f"{name}.weight.quant_state.bitsandbytes__nf4": torch.tensor(list(json.dumps(state).encode()), dtype=torch.uint8),
        },
    )
    yield (
        None,
        {
            "quant_method": "auto-round",
            "bits": 4,
            "group_size": 32,
            "sym": True,
            "packing_format": "auto_round:auto_gptq",
            "extra_config": {name: {"bits": 4}},
        },
        Gptq(4, True, 32).compress(name, quantize(torch.randn(32, 64, generator=generator), None, half(4, symmetric=True))),
    )


def safetensors(folder: Path, rng: random.Random) -> Callable[[], None]:
    """A weight file, damaged in its bytes or in what its header says."""
    _, _, tensors = next(iter(integer_seeds()))
    data = save(tensors, {"format": "pt"})
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])

    def read() -> None:
        if rng.random() < 0.5:
            damaged = mutations.of_bytes(data, rng, front=8 + length)
        else:
            text = mutations.of_text(header, rng)
            damaged = len(text).to_bytes(8, "little") + text + data[8 + length :]
        (folder / "model.safetensors").write_bytes(damaged)
        found = model_tensors(folder)
        with TensorReader() as reader:
            for location in found.values():
                reader.read(location)

    return read


def configs(folder: Path, rng: random.Random) -> Callable[[], None]:
    """A sound weight file beside a damaged config.json; or damaged tensors beside a sound one."""
    seeds = [seed[1:] for seed in (*integer_seeds(), *other_seeds())]
    model = {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4, "vocab_size": 320, "intermediate_size": 32}

    def read() -> None:
        config, tensors = rng.choice(seeds)
        whole = model | {"quantization_config": config}
        kind = rng.random()
        if kind < 0.4:
            tensors = damaged_tensors(tensors, rng)
            text = json.dumps(whole).encode()
        elif kind < 0.9:
            text = json.dumps(model | {"quantization_config": mutations.of_json(config, rng)}).encode()
        else:
            text = mutations.of_text(whole, rng)
        (folder / "config.json").write_bytes(text)
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        weights = quantized_weights(folder)
        for linear in () if weights is None else weights.linears:
            assert weights is not None
            stored = weights.stored(linear)
            assert stored.dequantize(torch.float32).shape == stored.shape
            if stored.activations is not None:
                stored.activations(torch.ones(2, stored.shape[1]))
        ModelCard.from_folder(folder)

    return read


def verification(folder: Path, rng: random.Random) -> Callable[[], None]:
    """A whole small model, damaged in its configuration or its tensors, looked at as `llmopt verify` does: it finds, and never fails itself."""
    model = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": 64,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "head_dim": 16,
        "vocab_size": 320,
        "max_position_embeddings": 64,
        "tie_word_embeddings": True,
    }
    block = "model.layers.0"
    norms = (f"{block}.input_layernorm.weight", f"{block}.post_attention_layernorm.weight", "model.norm.weight")
    plain = {"model.embed_tokens.weight": torch.randn(320, 64), **{name: torch.ones(64) for name in norms}}
    names = [f"{block}.self_attn.{part}_proj" for part in "qkvo"] + [f"{block}.mlp.{part}_proj" for part in ("gate", "up", "down")]
    seeds = []
    for scheme, config, _ in integer_seeds():
        grid = Grid(getattr(scheme, "bits", 4), getattr(scheme, "symmetric", False), "group", 32, scale_dtype=torch.float16, reserved=1)
        if isinstance(scheme, CompressedTensors) and scheme.granularity == "channel":
            grid = Grid(8, True, "channel", scale_dtype=torch.float16)
        tensors = dict(plain)
        for name in names:
            tensors |= scheme.compress(name, quantize(torch.randn(64, 64), None, grid))
        seeds.append((config, tensors))

    def read() -> None:
        config, tensors = rng.choice(seeds)
        whole = model | {"quantization_config": config}
        if rng.random() < 0.5:
            tensors = damaged_tensors(tensors, rng)
        else:
            whole = model | {"quantization_config": mutations.of_json(config, rng)}
        (folder / "config.json").write_text(json.dumps(whole))
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        book = CheckBook()
        look_at_folder(folder, book, lambda name: None)
        for result in book.results():
            assert "\x1b" not in result.found

    return read


def damaged_tensors(tensors: dict[str, Tensor], rng: random.Random) -> dict[str, Tensor]:
    """One to three tensors missing, of another shape, dtype or content, or too many."""
    found = dict(tensors)
    for _ in range(rng.randint(1, 3)):
        if not found:
            break
        name = rng.choice(sorted(found))
        tensor = found[name]
        kind = rng.randrange(7)
        if kind == 0:
            del found[name]
        elif kind == 1:
            found[name] = tensor.reshape(-1)[: rng.randint(0, tensor.numel())].clone()
        elif kind == 2:
            found[name] = tensor.t().contiguous() if tensor.ndim == 2 else tensor.unsqueeze(0)
        elif kind == 3:
            found[name] = tensor.to(rng.choice((torch.float32, torch.int32, torch.int8, torch.int64, torch.bfloat16)))
        elif kind == 4:
            raw = bytearray(tensor.contiguous().view(torch.uint8).numpy().tobytes()) if tensor.numel() else bytearray()
            for _ in range(min(8, len(raw))):
                raw[rng.randrange(len(raw))] = rng.randrange(256)
            found[name] = torch.frombuffer(raw, dtype=torch.uint8).clone().view(tensor.dtype).view(tensor.shape) if raw else tensor
        elif kind == 5:
            found[name + rng.choice(("x", ".weight", ".qweight", ".bias"))] = tensor.clone()
        else:
            found[name] = torch.cat([tensor, tensor]) if tensor.ndim else tensor
    return found


def gguf(folder: Path, rng: random.Random) -> Callable[[], None]:
    """A small GGUF file, damaged in its header or anywhere."""
    path = folder / "seed.gguf"
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(64)
    writer.add_block_count(1)
    writer.add_feed_forward_length(64)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([f"t{index}" for index in range(320)])
    writer.add_token_types([1] * 320)
    writer.add_token_merges(["t 1", "t 2"])
    writer.add_bos_token_id(0)
    names: dict[str, tuple[int, ...]] = {"token_embd.weight": (320, 64), "output_norm.weight": (64,)}
    names |= {f"blk.0.{part}.weight": (64,) for part in ("attn_norm", "ffn_norm")}
    names |= {f"blk.0.{part}.weight": (64, 64) for part in ("attn_q", "attn_output", "ffn_gate", "ffn_up", "ffn_down")}
    names |= {f"blk.0.{part}.weight": (32, 64) for part in ("attn_k", "attn_v")}
    for index, (name, shape) in enumerate(names.items()):
        writer.add_tensor(name, np.random.default_rng(index).standard_normal(shape).astype(np.float32 if index % 2 else np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    data = path.read_bytes()
    damaged = folder / "damaged.gguf"

    def read() -> None:
        damaged.write_bytes(mutations.of_bytes(data, rng, front=read_gguf_header(path).data_begin))
        read_gguf_header(damaged)
        file = GgufFile(damaged)
        for name in file.tensors:
            file.read(name)
        weights = GgufWeights(damaged)
        for name in weights:
            weights[name]
        weights.full_config()

    return read


KINDS = {"safetensors": safetensors, "configs": configs, "gguf": gguf, "verification": verification}


def fuzz(kind: str, seed: int, count: int) -> int:
    """Read `count` damaged files; returns the exit code."""
    answers: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        rng = random.Random(f"{kind} {seed}")
        read = KINDS[kind](Path(name), rng)
        limit_memory()
        signal.signal(signal.SIGVTALRM, _hang)
        for index in range(count):
            signal.setitimer(signal.ITIMER_VIRTUAL, _SECONDS)
            try:
                read()
                answers["read"] += 1
            except (RequestError, RunFailed) as error:
                answers[type(error).__name__] += 1
                if "\n" in str(error) or "\x1b" in str(error):
                    return _report(Path(name), index, f"a sentence that may not be shown: {error!r}")
            except BaseException:
                return _report(Path(name), index, traceback.format_exc())
            finally:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    print(json.dumps(dict(answers)))
    return 0


def limit_memory() -> None:
    """From here on every allocation beyond a gigabyte fails."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + GIGABYTE, resource.RLIM_INFINITY))


def _hang(_number: int, _frame: FrameType | None) -> None:
    raise Hang(f"more than {_SECONDS} s of processor time")


def _report(folder: Path, index: int, what: str) -> int:
    kept = Path(tempfile.mkdtemp(prefix="fuzz-"))
    for file in folder.iterdir():
        (kept / file.name).write_bytes(file.read_bytes())
    print(f"file {index}, kept in {kept}\n{what}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(max(fuzz(kind, int(sys.argv[2]), int(sys.argv[3])) for kind in sys.argv[1].split(",")))

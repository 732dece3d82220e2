"""TENSORS.safetensors OUT.safetensors BLOCKSIZE: NF4 and INT8 of each matrix by bitsandbytes, and an LLM.int8() product.

Every matrix `w` answers `w.<part>` (plain scales), `w.nested.<part>` (double quantization), their `dequantized`, and, as float16, `w.CB`, `w.SCB`.
`x` [tokens, in] is multiplied by the first matrix with threshold 6.
"""

import sys

import torch
from bitsandbytes import functional as bnb
from bitsandbytes.nn import Int8Params, Linear8bitLt
from safetensors.torch import load_file, save_file

given, out, blocksize = sys.argv[1:4]
tensors = load_file(given)
inputs = tensors.pop("x")
found: dict[str, torch.Tensor] = {}
for name, weight in tensors.items():
    for nested in (False, True):
        packed, state = bnb.quantize_4bit(weight, blocksize=int(blocksize), compress_statistics=nested, quant_type="nf4")
        prefix = f"{name}.nested" if nested else name
        found[f"{prefix}.weight"] = packed
        found |= {f"{prefix}.weight.{part}": tensor for part, tensor in state.as_dict(packed=True).items()}
        found[f"{prefix}.dequantized"] = bnb.dequantize_4bit(packed, state)
    found[f"{name}.CB"], found[f"{name}.SCB"], _ = bnb.int8_vectorwise_quant(weight.to(torch.float16))
first = next(iter(tensors.values()))
linear = Linear8bitLt(first.shape[1], first.shape[0], bias=False, has_fp16_weights=False, threshold=6.0)
linear.weight = Int8Params(first.to(torch.float16), requires_grad=False, has_fp16_weights=False)
linear = linear.to("cpu").eval()
found["y"] = linear(inputs.to(torch.float16)).float()
save_file({name: tensor.clone().contiguous() for name, tensor in found.items()}, out)

"""This program's own decode loop, quantized checkpoints included: their weights stay packed where a kernel takes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from core.formats.opening import can_read, open_packed, open_whole
from core.models.resolve import resolve
from core.runtime.decoder import Decoder
from core.runtime.generate import check_finite
from core.runtime.opening import open_decoder
from core.runtime.prefill import prefill
from core.runtime.sampling import Sampling, SeenTokens, choose
from core.runtime.stopping import TextStream
from engines.server.backends.base import GenerationChunk, GenerationRequest
from engines.server.backends.torch_model import TorchModel, probabilities

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class RuntimeBackend(TorchModel):
    """One decoder, whose cache holds one sequence.

    Args:
        model: name of a model folder, plain or quantized.
        context: tokens; default: the model's.
        dtype: of the arithmetic; `auto` is bfloat16.
        device: cpu or cuda:N.
    """

    def __init__(self, model: str, context: int | None, dtype: str, device: str) -> None:
        source = resolve(model)
        card = source.card()
        wanted = _DTYPES.get(dtype, torch.bfloat16)
        if card.quantization is not None and can_read(card.quantization):
            loaded, kernels = open_packed(source, wanted, device)
            how = ", ".join(sorted(set(kernels.values()))) or "plain"
        else:
            loaded, how = open_whole(source, wanted, device), "plain weights"
        super().__init__(model, loaded, context)
        self._decoder: Decoder = open_decoder(loaded, self.context)
        self.words = f"{type(self._decoder).__name__} in {str(wanted).removeprefix('torch.')}, {how}"

    def generate(self, request: GenerationRequest, stopped: Callable[[], bool]) -> Iterator[GenerationChunk]:
        """Answer, a token at a time."""
        decoder = self._decoder
        sampling = Sampling(request.temperature, request.top_k, request.top_p, request.min_p, request.repetition_penalty)
        seed = torch.seed() & 0x7FFFFFFFFFFFFFFF if request.seed is None else request.seed
        generator = None if sampling.greedy else torch.Generator(decoder.device).manual_seed(seed)
        prompt = torch.tensor([list(request.prompt)], device=decoder.device)
        text = TextStream(self.tokenizer, request.stop)
        decoder.reset(1)
        seen = SeenTokens(prompt, decoder.vocabulary, sampling)
        logits = prefill(decoder, prompt)
        for count in range(1, request.max_tokens + 1):
            if stopped():
                return
            check_finite(logits, count)
            chosen = choose(logits, sampling, seen.mask, generator)
            seen.add(chosen[:, None])
            token = int(chosen)
            ended = token in self.ends and not request.ignore_eos
            said = "" if ended else text.add(token)
            last = ended or text.stopped or count == request.max_tokens
            if last:
                said += text.finish()
            found = tuple(probabilities(logits, chosen, request.logprobs)) if request.logprobs else ()
            finish = ("stop" if ended or text.stopped else "length") if last else None
            yield GenerationChunk(said, (token,), finish, found)
            if last:
                return
            logits = decoder.forward(chosen[:, None], last=True)[:, -1]

"""transformers' own `generate`, streamed by a thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from queue import SimpleQueue
from threading import Thread
from typing import Any, NamedTuple

import torch

from core.errors import RunFailed
from core.models.load import load_model
from core.models.resolve import resolve
from core.models.source import require_folder
from core.runtime.stopping import TextStream
from core.sanitize import clean
from engines.server.backends.base import GenerationChunk, GenerationRequest, TokenProbability
from engines.server.backends.torch_model import TorchModel, probabilities

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class _Step(NamedTuple):
    token: int
    probabilities: tuple[TokenProbability, ...]


class TransformersBackend(TorchModel):
    """A model by AutoModelForCausalLM; quantized checkpoints as far as transformers and what is installed read them.

    Args:
        model: name of a model folder.
        context: tokens; default: the model's.
        dtype: of the weights; `auto` is what the checkpoint states.
        device: cpu or cuda:N.
    """

    def __init__(self, model: str, context: int | None, dtype: str, device: str) -> None:
        loaded = load_model(require_folder(resolve(model)), _DTYPES.get(dtype), device)
        super().__init__(model, loaded, context)
        self.words = f"transformers' generate in {str(loaded.dtype).removeprefix('torch.')}"

    def generate(self, request: GenerationRequest, stopped: Callable[[], bool]) -> Iterator[GenerationChunk]:
        """Answer, a token at a time."""
        from transformers import StoppingCriteria, StoppingCriteriaList

        queue: SimpleQueue[_Step | BaseException | None] = SimpleQueue()
        text = TextStream(self.tokenizer, request.stop)
        halted = [False]
        latest = [torch.empty(0)]

        class Halt(StoppingCriteria):
            def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
                del scores
                return torch.full((len(input_ids),), halted[0] or stopped(), device=input_ids.device)

        class Stream:
            def __init__(self) -> None:
                self.prompt = True

            def put(self, value: torch.Tensor) -> None:
                if self.prompt:
                    self.prompt = False
                    return
                for token in value.reshape(-1).tolist():
                    queue.put(_Step(token, tuple(probabilities(latest[0], value.reshape(-1), request.logprobs)) if request.logprobs else ()))

            def end(self) -> None:
                pass

        def keep(_module: Any, _given: Any, answer: Any) -> None:
            latest[0] = answer.logits[:, -1].detach()

        def work() -> None:
            hook = self.model.register_forward_hook(keep) if request.logprobs else None
            try:
                self._generate(request, Stream(), StoppingCriteriaList([Halt()]))
                queue.put(None)
            except BaseException as error:
                queue.put(error)
            finally:
                if hook is not None:
                    hook.remove()

        thread = Thread(target=work, daemon=True)
        thread.start()
        count = 0
        try:
            while (item := queue.get()) is not None:
                if isinstance(item, BaseException):
                    raise RunFailed(f"transformers failed: {clean(str(item), limit=200)}") from item
                count += 1
                ended = item.token in self.ends and not request.ignore_eos
                said = "" if ended else text.add(item.token)
                last = ended or text.stopped or count == request.max_tokens
                if last:
                    said += text.finish()
                yield GenerationChunk(said, (item.token,), ("stop" if ended or text.stopped else "length") if last else None, item.probabilities)
                if last:
                    return
        finally:
            halted[0] = True
            thread.join()

    @torch.inference_mode()
    def _generate(self, request: GenerationRequest, streamer: Any, halt: Any) -> None:
        prompt = torch.tensor([list(request.prompt)], device=self.model.device)
        sampled = request.temperature > 0
        if sampled:
            torch.manual_seed(torch.seed() if request.seed is None else request.seed)
        warped = (
            {"temperature": request.temperature, "top_p": request.top_p, "top_k": request.top_k, "min_p": request.min_p or None} if sampled else {}
        )
        self.model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=request.max_tokens,
            min_new_tokens=request.max_tokens if request.ignore_eos else None,
            do_sample=sampled,
            repetition_penalty=request.repetition_penalty,
            pad_token_id=self.ends[0] if self.ends else 0,
            eos_token_id=None if request.ignore_eos else list(self.ends) or None,
            streamer=streamer,
            stopping_criteria=halt,
            **warped,
        )

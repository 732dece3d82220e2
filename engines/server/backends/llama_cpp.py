"""llama.cpp through llama-cpp-python, in the server's own process."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from core.errors import RequestError, RunFailed
from core.measure.limits import thread_limit
from core.models.resolve import resolve
from core.sanitize import clean
from engines.server.backends.base import GenerationChunk, GenerationRequest, TokenProbability, plain_chat


class LlamaCppBackend:
    """A GGUF file.

    Args:
        model: name of a .gguf file.
        context: tokens; default: the file's.
        threads: on the CPU; None: llama.cpp's own choice, or what this process may use.
        gpu_layers: blocks on the GPU, -1 all.
    """

    def __init__(self, model: str, context: int | None, threads: int | None, gpu_layers: int) -> None:
        source = resolve(model)
        if source.kind != "gguf":
            raise RequestError(f"llama.cpp reads .gguf files, and {source.title} is not one: convert it with `llmopt quantize --method gguf`")
        try:
            from llama_cpp import Llama
        except ImportError as error:
            raise RequestError("llama-cpp-python is not installed: install the extra llama-cpp") from error
        card = source.card()
        self.name, self.context = source.title, context or card.context or 4096
        threads = threads or thread_limit()
        options: dict[str, Any] = {"n_threads": threads, "n_threads_batch": threads} if threads else {}
        try:
            self._model: Any = Llama(str(source.path), n_ctx=self.context, n_gpu_layers=gpu_layers, verbose=False, logits_all=True, **options)
        except Exception as error:  # the package raises whatever loading led to
            raise RunFailed(f"llama.cpp cannot load {source.title}: {clean(str(error), limit=200)}") from error
        self.words = f"llama.cpp, {card.dtype}"
        self.vocabulary = int(self._model.n_vocab())
        self._template = (self._model.metadata or {}).get("tokenizer.chat_template")

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """Tokens of a text to be continued; `special`: with what the tokenizer puts before one."""
        tokens = list(self._model.tokenize(text.encode(), add_bos=special, special=True))
        appended = special and (self._model.metadata or {}).get("tokenizer.ggml.add_eos_token") == "true"
        return tokens[:-1] if appended and tokens[-1] == self._model.token_eos() else tokens

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of tokens."""
        return bytes(self._model.detokenize(list(tokens), special=True)).decode(errors="replace")

    def chat(self, messages: Sequence[dict[str, str]]) -> list[int]:
        """Tokens of a conversation up to the answer."""
        if not self._template:
            return self.encode(plain_chat(messages))
        from llama_cpp.llama_chat_format import Jinja2ChatFormatter

        end, begin = (self._model.detokenize([token], special=True).decode() for token in (self._model.token_eos(), self._model.token_bos()))
        try:
            formatter: Any = Jinja2ChatFormatter(template=self._template, eos_token=end, bos_token=begin)
            filled = formatter(messages=list(messages))
        except Exception as error:  # a template is a program, and raises what it likes
            raise RequestError(f"the chat template of {self.name} cannot be applied: {clean(str(error), limit=200)}") from error
        return self.encode(filled.prompt, special=not filled.prompt.startswith(begin or "\0"))

    def generate(self, request: GenerationRequest, stopped: Callable[[], bool]) -> Iterator[GenerationChunk]:
        """Answer, a token at a time."""
        model = self._model
        if request.seed is not None:
            model.set_seed(request.seed)
        stream = _Text(model, request.stop)
        model.reset()
        sampled = {
            "temp": request.temperature,
            "top_p": request.top_p,
            "top_k": request.top_k or model.n_vocab(),
            "min_p": request.min_p,
            "repeat_penalty": request.repetition_penalty,
        }
        for count, token in enumerate(model.generate(list(request.prompt), **sampled), 1):
            ended = token == model.token_eos() and not request.ignore_eos
            said = "" if ended else stream.add(token)
            last = ended or stream.stopped or count == request.max_tokens
            if last:
                said += stream.finish()
            found = tuple(_probabilities(model.scores[model.n_tokens - 1 : model.n_tokens], [token], request.logprobs)) if request.logprobs else ()
            yield GenerationChunk(said, (token,), ("stop" if ended or stream.stopped else "length") if last else None, found)
            if last or stopped():
                return

    def score(self, tokens: Sequence[int], top: int) -> list[TokenProbability]:
        """How likely each token after the first is."""
        self._model.reset()
        self._model.eval(list(tokens))
        found = _probabilities(self._model.scores[: len(tokens) - 1], tokens[1:], top)
        return [each for each in found if math.isfinite(each.logprob)]


def _probabilities(scores: Any, tokens: Sequence[int], top: int) -> list[TokenProbability]:
    """Of tokens [n] under logits [n, V]: log-probabilities in float64, and the `top` likeliest."""
    logits = np.asarray(scores, dtype=np.float64)
    logits = logits - logits.max(axis=1, keepdims=True)
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    found = []
    for row, token in zip(logs, tokens, strict=True):
        likeliest = np.argsort(row)[::-1][:top]
        found.append(TokenProbability(int(token), float(row[token]), tuple((int(each), float(row[each])) for each in likeliest)))
    return found


class _Text:
    """Text of tokens by their bytes; `core.runtime.stopping.TextStream` over llama.cpp's vocabulary."""

    def __init__(self, model: Any, stops: Sequence[str]) -> None:
        from core.runtime.stopping import TextStream

        self._stream = TextStream(_Decoder(model), stops)  # type: ignore[arg-type]

    @property
    def stopped(self) -> bool:
        return self._stream.stopped

    def add(self, token: int) -> str:
        return self._stream.add(token)

    def finish(self) -> str:
        return self._stream.finish()


class _Decoder:
    def __init__(self, model: Any) -> None:
        self._model = model

    def decode(self, tokens: Sequence[int], **_: Any) -> str:
        return bytes(self._model.detokenize(list(tokens), special=True)).decode(errors="replace")

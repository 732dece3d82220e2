"""MODEL TOKENS.json OUT.npy DTYPE: log-probabilities [N, T, V] by vLLM, from the log-probabilities of the prompt; the first position has none."""

import ctypes
import json
import os
import platform
import sys
from pathlib import Path

if platform.system() == "Linux" and platform.machine() == "x86_64":
    ctypes.CDLL(None).syscall(158, 0x1023, 18)

os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")

import numpy as np


def main() -> None:
    from vllm import LLM, SamplingParams

    folder, tokens, out, dtype = sys.argv[1:5]
    windows = json.loads(Path(tokens).read_text())
    longest = max(map(len, windows))
    model = LLM(
        folder, dtype=dtype, enforce_eager=True, max_model_len=longest + 8, skip_tokenizer_init=True, max_logprobs=-1, enable_prefix_caching=False
    )
    wanted = SamplingParams(max_tokens=1, temperature=0, prompt_logprobs=-1, detokenize=False)
    answers = model.generate([{"prompt_token_ids": window} for window in windows], wanted)
    words = len(answers[0].prompt_logprobs[1])
    found = np.full((len(windows), longest, words), np.nan, dtype=np.float32)
    for row, answer in enumerate(answers):
        for position, scores in enumerate(answer.prompt_logprobs[1:]):
            for token, score in scores.items():
                found[row, position, token] = score.logprob
    found[:, -1] = 0
    np.save(out, found)


if __name__ == "__main__":
    main()

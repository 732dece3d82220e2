"""The text below the options of `llmopt benchmark` and `llmopt benchmark-compare`: files that they read, expressions, keys, examples."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Final

_WIDTH: Final = 78
TEXTS: Final = ('{"prompt": "Write a haiku.", "output_tokens": 32}', '{"prompt": "What is a page table?"}')
TRACE: Final = (
    '{"timestamp": 0.0, "prompt": "Write a haiku."}',
    '{"timestamp": 1.25, "input_tokens": 512, "output_tokens": 64}',
)
QUESTIONS: Final = ('{"question": "2 + 2 =", "choices": ["3", "4"], "answer": "B"}',)
COMMANDS: Final = (
    "benchmark bundled:base",
    "benchmark http://127.0.0.1:8000 --load poisson --rate 4 --requests 500",
    "benchmark https://llm.example --key-env MY_KEY --served-model NAME",
    "benchmark URL --load trace --trace monday.jsonl --trace-speed 2",
    "benchmark URL --load sweep --objectives 'ttft<500ms,itl<50ms'",
    "benchmark URL --thresholds 'ttft.p95<500ms,errors==0' --baseline RUN",
)


def benchmarking() -> str:
    """Plain text of at most 78 columns."""
    lines: list[str] = []
    for words, examples in _paragraphs():
        lines += [*textwrap.wrap(words, _WIDTH, break_on_hyphens=False), *(f"  {example}" for example in examples), ""]
    return "\n".join([*lines, "Examples:", *(f"  llmopt {command}" for command in COMMANDS)])


def _paragraphs() -> Sequence[tuple[str, Sequence[str]]]:
    from core.benchmark.analysis.thresholds import EXAMPLES, NAMES, PARTS
    from core.benchmark.metrics import SAMPLES

    latencies, others = NAMES[: len(SAMPLES)], NAMES[len(SAMPLES) :]
    return (
        (
            "Your own prompts (--prompts FILE): UTF-8, one JSON object per line, with prompt and optional output_tokens. "
            "They are used in turn until --requests is reached.",
            TEXTS,
        ),
        (
            "A trace (--load trace --trace FILE): the same, plus timestamp on each line, in non-decreasing seconds; only the gaps matter. "
            "A line without prompt gives input_tokens and gets a text of that length. Every line is sent once.",
            TRACE,
        ),
        (
            "Questions (--choices FILE): each line has question, choices and answer, given as its index from 0, its letter or its text.",
            QUESTIONS,
        ),
        (
            f"Thresholds: a metric, an optional .part, a comparison and a limit. Latencies ({', '.join(latencies)}) take ms, s or us and the parts "
            f"{', '.join(PARTS)}; the default part is p50. The others are {', '.join(others)}. A metric that was not measured fails. For example:",
            EXAMPLES,
        ),
        (
            "The API key is read from the environment variable named by --key-env, or from the terminal if that is not set. "
            "It is never written to a file or a command line, and is masked if a server echoes it.",
            (),
        ),
        (
            "Prompt lengths are counted with the model's own tokenizer; for an address, with that of --tokenizer MODEL, "
            "otherwise at four characters per token, and the result says so.",
            (),
        ),
    )

"""What stands below the options of `llmopt benchmark` and `llmopt benchmark-compare`: files that they read, expressions, keys, examples."""

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
            "Texts of your own (--prompts FILE): UTF-8, one JSON object a line, with prompt and perhaps output_tokens. "
            "They are taken in turn until there are as many as --requests says.",
            TEXTS,
        ),
        (
            "A trace (--load trace --trace FILE): the same, each line with timestamp, seconds that do not go back; only their distances count. "
            "A line without prompt gives input_tokens and gets a text of that length. All lines are sent, each once.",
            TRACE,
        ),
        (
            "Questions (--choices FILE): a line has question, choices and answer, its number from 0, its letter or its text.",
            QUESTIONS,
        ),
        (
            f"Thresholds: a figure, perhaps .part, a comparison and a limit. Latencies ({', '.join(latencies)}) take ms, s or us and the parts "
            f"{', '.join(PARTS)}; without one p50 counts. The others are {', '.join(others)}. Not measured is not met. For example:",
            EXAMPLES,
        ),
        (
            "A key is read from the environment variable that --key-env names, or asked for on the terminal when that is not set. "
            "It is written to no file and to no command line, and what servers repeat of it is not shown.",
            (),
        ),
        (
            "Lengths of prompts are counted with the model's own tokenizer; for an address with that of --tokenizer MODEL, "
            "else four characters are taken for a token, and the result says so.",
            (),
        ),
    )

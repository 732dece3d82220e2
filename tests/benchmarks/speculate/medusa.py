"""Medusa heads for bundled:base, trained from nothing, then decoding held-out code with them in turns with plain decoding.

Bars: training within two minutes on two cores, everything included; greedy texts identical. What the tree brings is recorded: accuracies of the
heads on text that they were not trained on, tokens a round expected from them and measured, the speed-up beside the predicted one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from core.speculate.run import run
from core.speculate.spec import SpeculateSpec
from tests.benchmarks.report import Bar, record
from tests.core.conftest import RecordingContext

BARS: dict[str, Bar] = {"training_seconds": ("<=", 120.0), "greedy_texts_identical": ("==", True)}


def main() -> bool:
    """Train, measure, print and record."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks medusa", description=__doc__)
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="cores; 0: all")
    parser.add_argument("--temperatures", type=float, nargs="+", default=[0.0, 0.8])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="llmopt-medusa-") as folder:
        os.environ["LLMOPT_HOME"] = folder
        context = RecordingContext(Path(folder) / "artifacts")
        spec = SpeculateSpec(
            model="bundled:base",
            drafter="medusa",
            gamma=(4,),
            temperature=tuple(arguments.temperatures),
            prompts=arguments.prompts,
            tokens=arguments.tokens,
            repeats=arguments.repeats,
            threads=arguments.threads,
        )
        began = time.monotonic()
        result = run(spec, context)
        seconds = time.monotonic() - began
        facts = json.loads((context.made[0][0] / "medusa.json").read_text())
        stored = sum(file.stat().st_size for file in context.made[0][0].iterdir())
    figures: dict[str, object] = {
        "training_seconds": facts["seconds"],
        "training_steps": facts["steps"],
        "training_hidden_states": facts["tokens"],
        "training_loss_nats": facts["loss"],
        "heads_bytes_on_disk": stored,
        "heads_parameters": result.draft_parameters,
        "threads": result.threads,
    }
    for number, shares in enumerate(facts["top_k"], 1):
        figures[f"head_{number}_top_1"], figures[f"head_{number}_top_4"] = shares[0], shares[3]
    figures["tree"] = next((line for line in context.lines if "a tree of" in line), None)
    for row in result.rows:
        name = f"temperature_{row.temperature:g}"
        figures[f"tokens_a_round_{name}"] = row.tokens_per_round
        figures[f"draft_cost_a_round_{name}"] = row.cost_ratio * row.gamma
        figures[f"verification_cost_{name}"] = row.verification_ratio
        figures[f"speedup_{name}"] = row.speedup
        figures[f"predicted_speedup_{name}"] = row.predicted_speedup
        figures[f"tokens_per_second_{name}"] = row.tokens_per_second
        figures[f"plain_tokens_per_second_{name}"] = row.baseline_tokens_per_second
    figures["greedy_texts_identical"] = result.identical
    figures["seconds"] = seconds
    return record("medusa", figures, BARS)


if __name__ == "__main__":
    sys.exit(not main())

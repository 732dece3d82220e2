"""What cutting half of the channels, or two of ten blocks, costs `bundled:base` on held-out text, compared with other tools and with all choices.

Other tools run when LLMOPT_PEER_TORCH_PRUNING or LLMOPT_PEER_OPTIPFAIR names a Python that has them.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.calibration.windows import windows_for
from core.evaluate.compared import Evaluation
from core.evaluate.logits.sources import ModelLogits
from core.evaluate.logits.walk import walk
from core.models.resolve import resolve
from core.models.stream.streaming import StreamedModel, load_model
from core.prune.result import PruneResult
from core.prune.run import run
from core.prune.spec import PruneSpec
from tests.benchmarks._silent import SilentContext
from tests.benchmarks.report import Bar, record
from tests.peers.environments import interpreter, variable

EVAL_TOKENS = 32768
CONTEXT = 512
MODEL = "bundled:base"
PEERS = {"torch-pruning": ("magnitude", "taylor"), "optipfair": ("weights", "activations")}
_BARS: dict[str, Bar] = {
    "kl_least_squares_over_none_obs": ("<=", 0.6),
    "kl_least_squares_over_none_wanda": ("<=", 0.6),
    "greedy_ppl_over_best_pair": ("<=", 1.02),
}


def pruned(**values: object) -> PruneResult:
    """One pruning of the bundled model."""
    with tempfile.TemporaryDirectory() as artifacts:
        spec = PruneSpec.model_validate({"model": MODEL, "eval_tokens": EVAL_TOKENS, "context": CONTEXT, "speed_tokens": 0, **values})
        return run(spec, SilentContext(Path(artifacts)))


def channels() -> dict[str, float]:
    """512 channels to 256 by each criterion, with and without least squares."""
    figures: dict[str, float] = {}
    for criterion in ("obs", "wanda", "flap", "minitron", "norm"):
        for compensation in ("least-squares", "none"):
            found = pruned(method="channels", sparsity=0.5, criterion=criterion, compensation=compensation).metrics
            assert found.kl_mean is not None
            assert found.ppl_before is not None
            figures[f"kl_{compensation.replace('-', '_')}_{criterion}"] = found.kl_mean
            figures["ppl_original"] = found.ppl_before
        figures[f"kl_least_squares_over_none_{criterion}"] = figures[f"kl_least_squares_{criterion}"] / figures[f"kl_none_{criterion}"]
    return figures


def peers(ours: float) -> dict[str, float]:
    """The same cut by other tools, calibrated on the same windows where they take any."""
    figures: dict[str, float] = {}
    source = resolve(MODEL)
    windows, _ = windows_for(source, "builtin", 64, 512, 0)
    evaluation = Evaluation.prepare(source, "builtin", EVAL_TOKENS, CONTEXT)
    for peer, variants in PEERS.items():
        python = interpreter(peer.replace("-", "_"))
        if python is None:
            print(f"{peer}: not run, {variable(peer.replace('-', '_'))} names no Python")
            continue
        for variant in variants:
            with tempfile.TemporaryDirectory() as work:
                tokens, out = Path(work) / "tokens.json", Path(work) / "out"
                tokens.write_text(json.dumps(windows.tolist()))
                script = Path(__file__).with_name("_structured_peer.py")
                environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"HF_HUB_OFFLINE": "1"}
                subprocess.run([python, str(script), str(source.path), str(tokens), str(out), peer, variant], check=True, env=environment)
                with StreamedModel.open(source, torch.float32) as original, StreamedModel.open(out, torch.float32) as other:
                    kl = evaluation.measure(original, {"other": other}, lambda _label: None).others["other"].kl_mean
            name = f"{peer.replace('-', '_')}_{variant}"
            figures |= {f"kl_{name}": kl, f"kl_over_{name}": ours / kl}
    return figures


def depth() -> dict[str, float]:
    """Ten blocks to eight: by each criterion, and every pair of blocks left out."""
    figures: dict[str, float] = {}
    for criterion in ("greedy", "perplexity", "influence", "angular"):
        found = pruned(method="layers", remove=2, criterion=criterion)
        assert found.metrics.ppl_after is not None
        figures[f"ppl_layers_{criterion}"] = found.metrics.ppl_after
        figures |= {f"spearman_{one.measure.replace(' ', '_')}": one.spearman for one in found.agreement}
    ranked = sorted(ppl_without(pair) for pair in combinations(range(10), 2))
    figures |= {"ppl_best_pair": ranked[0], "ppl_median_pair": ranked[len(ranked) // 2]}
    return figures | {"greedy_ppl_over_best_pair": figures["ppl_layers_greedy"] / ranked[0]}


def ppl_without(pair: tuple[int, ...]) -> float:
    """Perplexity of the original without two blocks, by transformers' own forward."""
    source = resolve(MODEL)
    model: Any = load_model(source, torch.float32)
    model.model.layers = nn.ModuleList(layer for index, layer in enumerate(model.model.layers) if index not in pair)
    model.config.num_hidden_layers = len(model.model.layers)
    windows = Evaluation.prepare(source, "builtin", EVAL_TOKENS, CONTEXT).windows
    return math.exp(float(walk([ModelLogits(model)], windows)[0].nll.mean()))


def main() -> bool:
    """Measure, print and record."""
    figures = channels()
    theirs = peers(figures["kl_least_squares_obs"])
    bars: dict[str, Bar] = {name: ("<=", 0.35) for name in theirs if name.startswith("kl_over_")}
    return record("structured_quality", figures | theirs | depth(), _BARS | bars)


if __name__ == "__main__":
    sys.exit(not main())

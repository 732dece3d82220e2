"""The peers' side of structured_quality: run by the Python of their environment, imports nothing of this project.

python _structured_peer.py MODEL TOKENS.json OUT PEER VARIANT

Half of the feed-forward channels of every block go: by torch-pruning's importance of the group of gate, up and down, or by optipfair's of GLUs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch


def by_torch_pruning(model: Any, windows: torch.Tensor, variant: str) -> None:
    """Group importance by magnitude (L2), or by the Taylor expansion of the loss on the calibration windows."""
    import torch_pruning as tp

    model.config.use_cache = False
    if variant == "taylor":
        for window in windows:
            model(window[None], labels=window[None]).loss.backward()
        importance: Any = tp.importance.GroupTaylorImportance()
    else:
        importance = tp.importance.GroupMagnitudeImportance(p=2)
    graph = tp.DependencyGraph().build_dependency(model, example_inputs=windows[:1, :16], output_transform=lambda output: output.logits)
    for layer in model.model.layers:
        gate = layer.mlp.gate_proj
        group = graph.get_pruning_group(gate, tp.prune_linear_out_channels, idxs=list(range(gate.out_features)))
        scores = importance(group)
        lowest = scores.argsort()[: gate.out_features // 2].tolist()
        graph.get_pruning_group(gate, tp.prune_linear_out_channels, idxs=lowest).prune()
    model.config.intermediate_size = model.model.layers[0].mlp.gate_proj.out_features


def by_optipfair(model: Any, windows: torch.Tensor, variant: str) -> Any:
    """Peak-to-peak magnitude of the weights, alone or with the activations of the calibration windows."""
    from optipfair import prune_model
    from torch.utils.data import DataLoader

    rows: Any = [{"input_ids": window, "attention_mask": torch.ones_like(window)} for window in windows]
    batches: Any = DataLoader(rows, batch_size=4)
    given = {"dataloader": batches} if variant == "activations" else {}
    return prune_model(model, pruning_type="MLP_GLU", neuron_selection_method="MAW", pruning_percentage=50, show_progress=False, **given)


def main(model_folder: str, tokens_file: str, out: str, peer: str, variant: str) -> None:
    """Prune, save, and say which version it was."""
    from importlib import metadata

    from transformers import AutoModelForCausalLM

    windows = torch.tensor(json.loads(Path(tokens_file).read_text()))
    model: Any = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
    if peer == "torch-pruning":
        by_torch_pruning(model, windows, variant)
    else:
        model = by_optipfair(model, windows, variant)
    model.to(torch.bfloat16).save_pretrained(out)
    print(json.dumps({"version": metadata.version(peer)}))


if __name__ == "__main__":
    main(*sys.argv[1:])

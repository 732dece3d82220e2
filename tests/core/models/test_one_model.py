"""A folder is one model: whole and streamed loads read what transformers reads, or both refuse."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from core.errors import RequestError
from core.models.disk.headers import INDEX_FILE, SINGLE_FILE
from core.models.load import load_model
from core.models.stream.streaming import StreamedModel

Tensors = dict[str, Tensor]
Damage = Callable[[Path, Tensors, Tensors], None]
ONE, TWO = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
GATE = "model.layers.0.mlp.gate_proj.weight"


def shards(folder: Path, first: Tensors, second: Tensors, index: dict[str, str] | None = None, name: str = INDEX_FILE) -> None:
    save_file(first, folder / ONE, {"format": "pt"})
    save_file(second, folder / TWO, {"format": "pt"})
    named = dict.fromkeys(first, ONE) | dict.fromkeys(second, TWO)
    (folder / name).write_text(json.dumps({"metadata": {}, "weight_map": named | (index or {})}))


def halves(tensors: Tensors) -> tuple[Tensors, Tensors]:
    names = sorted(tensors)
    return {name: tensors[name] for name in names[::2]}, {name: tensors[name] for name in names[1::2]}


def only_shards(folder: Path, tensors: Tensors, index: dict[str, str] | None = None) -> None:
    (folder / SINGLE_FILE).unlink()
    shards(folder, *halves(tensors), index)


def stale_single(folder: Path, _old: Tensors, new: Tensors) -> None:
    shards(folder, *halves(new))


def left_over_index(folder: Path, _old: Tensors, new: Tensors) -> None:
    shards(folder, *halves(new))
    (folder / ONE).unlink()
    (folder / TWO).unlink()


def damaged_index(folder: Path, _old: Tensors, _new: Tensors) -> None:
    (folder / INDEX_FILE).write_text("{")


def twice_in_the_second(folder: Path, old: Tensors, new: Tensors) -> None:
    first, second = halves(old)
    (folder / SINGLE_FILE).unlink()
    shards(folder, first, second | {GATE: new[GATE]}, {GATE: ONE})


def twice_in_the_first(folder: Path, old: Tensors, new: Tensors) -> None:
    first, second = halves(old)
    (folder / SINGLE_FILE).unlink()
    shards(folder, {name: new[name] for name in second} | first, second, dict.fromkeys(second, ONE))


def named_in_the_wrong_shard(folder: Path, old: Tensors, _new: Tensors) -> None:
    only_shards(folder, old, index={GATE: ONE, "lm_head.weight": TWO, "model.norm.weight": ONE})


def not_in_the_index(folder: Path, old: Tensors, _new: Tensors) -> None:
    only_shards(folder, old)
    index = json.loads((folder / INDEX_FILE).read_text())
    del index["weight_map"][GATE]
    (folder / INDEX_FILE).write_text(json.dumps(index))


def a_third_shard_of_before(folder: Path, old: Tensors, new: Tensors) -> None:
    only_shards(folder, old)
    save_file({GATE: new[GATE]}, folder / "model-00003-of-00003.safetensors", {"format": "pt"})


def stated_in_config(folder: Path, old: Tensors, new: Tensors) -> None:
    save_file(new, folder / "other.safetensors", {"format": "pt"})
    state(folder, "other.safetensors")


def stated_index(folder: Path, old: Tensors, new: Tensors) -> None:
    shards(folder, *halves(new), name="other.safetensors.index.json")
    state(folder, "other.safetensors.index.json")


def state(folder: Path, file: str) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"transformers_weights": file}))


DAMAGES: list[Damage] = [
    stale_single,
    left_over_index,
    damaged_index,
    twice_in_the_second,
    twice_in_the_first,
    named_in_the_wrong_shard,
    not_in_the_index,
    a_third_shard_of_before,
    stated_in_config,
    stated_index,
]


def model_folder(source: Path, folder: Path, damage: Damage) -> Path:
    shutil.copytree(source, folder)
    old = load_file(folder / SINGLE_FILE)
    damage(folder, old, {name: tensor + 0.25 for name, tensor in old.items()})
    return folder


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_both_readers_see_what_transformers_sees(damage: Damage, tiny_llama_dir: Path, tmp_path: Path) -> None:
    folder = model_folder(tiny_llama_dir, tmp_path / "model", damage)
    expected = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).state_dict()
    for model in (load_model(folder, torch.float32), StreamedModel.open(folder, torch.float32).load_whole()):
        assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())


def truncated_single(folder: Path, _old: Tensors, new: Tensors) -> None:
    shards(folder, *halves(new))
    (folder / SINGLE_FILE).write_bytes((folder / SINGLE_FILE).read_bytes()[:-500])


def truncated_shard(folder: Path, old: Tensors, _new: Tensors) -> None:
    only_shards(folder, old)
    (folder / TWO).write_bytes((folder / TWO).read_bytes()[:-500])


def an_empty_index(folder: Path, old: Tensors, _new: Tensors) -> None:
    only_shards(folder, old)
    (folder / INDEX_FILE).write_text('{"weight_map": {}}')


def an_index_without_metadata(folder: Path, old: Tensors, _new: Tensors) -> None:
    """transformers ends with a KeyError."""
    only_shards(folder, old)
    index = json.loads((folder / INDEX_FILE).read_text())
    (folder / INDEX_FILE).write_text(json.dumps({"weight_map": index["weight_map"]}))


def a_tensor_in_no_shard(folder: Path, old: Tensors, _new: Tensors) -> None:
    only_shards(folder, {name: tensor for name, tensor in old.items() if name != GATE}, index={GATE: ONE})


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (truncated_single, rf"{SINGLE_FILE} ends .*{INDEX_FILE} next to it"),
        (truncated_shard, rf"{TWO} ends"),
        (an_empty_index, "weight_map"),
        (an_index_without_metadata, f"{INDEX_FILE} has no metadata"),
        (a_tensor_in_no_shard, GATE),
    ],
)
def test_both_readers_refuse_with_one_sentence(damage: Damage, words: str, tiny_llama_dir: Path, tmp_path: Path) -> None:
    folder = model_folder(tiny_llama_dir, tmp_path / "model", damage)
    found = set()
    for read in (load_model, StreamedModel.open):
        with pytest.raises(RequestError, match=words) as caught:
            read(folder)
        found.add(str(caught.value))
    assert len(found) == 1


def test_one_file_of_another_name_is_read_by_both(tiny_llama_dir: Path, tmp_path: Path) -> None:
    """Older quantizers named it by bits and group size; transformers does not find it."""
    folder = model_folder(
        tiny_llama_dir, tmp_path / "model", lambda folder, *_: (folder / SINGLE_FILE).rename(folder / "weights.safetensors") and None
    )
    expected = AutoModelForCausalLM.from_pretrained(tiny_llama_dir, dtype=torch.float32).state_dict()
    for model in (load_model(folder, torch.float32), StreamedModel.open(folder, torch.float32).load_whole()):
        assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())

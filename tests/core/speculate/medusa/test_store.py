import json

import pytest
import torch

from core.errors import RequestError, RunFailed
from core.speculate.medusa import store
from core.speculate.medusa.heads import MedusaHeads
from core.speculate.medusa.place import are_kept, base_digest, place_of
from core.speculate.medusa.store import HeadFacts, Node, load, save


@pytest.fixture
def facts(heads, tree):
    return HeadFacts(
        base="a target",
        base_sha256="ab" * 32,
        **heads.shape.to_json(),
        top_k=((0.5, 0.6), (0.3, 0.4), (0.1, 0.2)),
        tree=tuple(Node(ranks=path, share=share) for path, share in zip(tree.paths, tree.gains, strict=True)),
        corpus="text",
        corpus_sha256="cd" * 32,
        tokens=1000,
        steps=10,
        loss=2.0,
        seconds=3.0,
    )


@pytest.fixture
def folder(tmp_path, heads, facts):
    save(tmp_path / "heads", heads, facts)
    return tmp_path / "heads"


def test_what_was_saved_is_found_again(folder, target, heads, tree, facts):
    found = load(folder, target, "ab" * 32)
    hidden = torch.randn(4, 64)
    assert torch.equal(found.heads.logits(hidden, torch.arange(4)), heads.logits(hidden, torch.arange(4)))
    assert found.facts.candidates.paths == tree.paths
    assert found.facts.model_copy(update={"weights_sha256": ""}) == facts
    assert json.loads((folder / "medusa.json").read_text())["schema"] == "llmopt.medusa/1"
    assert [path.name for path in folder.parent.iterdir()] == ["heads"]


def test_heads_of_another_target_are_refused(folder, target):
    with pytest.raises(RequestError, match="trained for another model"):
        load(folder, target, "ba" * 32)


def test_no_heads_are_named(tmp_path, target):
    with pytest.raises(RequestError, match="no Medusa heads in"):
        load(tmp_path, target, "ab" * 32)


@pytest.mark.parametrize("damage", ["cut", "flipped", "gone", "facts", "schema", "text"])
def test_damaged_files_are_refused(folder, target, damage):
    weights, facts = folder / "heads.safetensors", folder / "medusa.json"
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-7])
    elif damage == "flipped":
        data = bytearray(weights.read_bytes())
        data[-9] ^= 1
        weights.write_bytes(data)
    elif damage == "gone":
        weights.unlink()
    elif damage == "facts":
        facts.write_text("{")
    elif damage == "schema":
        facts.write_text(json.dumps(json.loads(facts.read_text()) | {"heads": -1}))
    else:
        facts.write_bytes(b"\xff\xfe")
    with pytest.raises(RequestError, match="damaged"):
        load(folder, target, "ab" * 32)


def rehashed(folder):
    facts = json.loads((folder / "medusa.json").read_text())
    (folder / "medusa.json").write_text(json.dumps(facts | {"weights_sha256": store._sha256(folder / "heads.safetensors")}))


def test_weights_that_are_not_numbers_are_refused(folder, target):
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "heads.safetensors")
    tensors["first.1.bias"][3] = float("inf")
    save_file(tensors, folder / "heads.safetensors")
    rehashed(folder)
    with pytest.raises(RequestError, match="contains NaN or Inf"):
        load(folder, target, "ab" * 32)


def test_tensors_that_do_not_fit_are_refused(folder, target):
    from safetensors.torch import save_file

    save_file({"first.0.weight": torch.zeros(3)}, folder / "heads.safetensors")
    rehashed(folder)
    with pytest.raises(RequestError, match="do not match"):
        load(folder, target, "ab" * 32)


@pytest.mark.parametrize("nodes", [[[0, 0]], [[0], [0]], [[0], [0, 0], [0, 0, 0], [0, 0, 0, 0]], [[60000]]])
def test_a_tree_that_is_none_is_refused(folder, target, nodes):
    facts = json.loads((folder / "medusa.json").read_text())
    (folder / "medusa.json").write_text(json.dumps(facts | {"tree": [{"ranks": ranks, "share": 0.1} for ranks in nodes]}))
    with pytest.raises(RequestError, match="damaged"):
        load(folder, target, "ab" * 32)


def test_another_width_of_the_target_is_refused(folder):
    from transformers import LlamaConfig, LlamaForCausalLM

    from tests.conftest import TINY_LLAMA

    other = LlamaForCausalLM(LlamaConfig(**TINY_LLAMA))
    with pytest.raises(RequestError, match="sizes"):
        load(folder, other, "ab" * 32)


def test_saving_again_replaces_and_a_failure_leaves_what_was_there(folder, target, heads, facts, monkeypatch):
    save(folder, heads, facts.model_copy(update={"steps": 11}))
    assert load(folder, target, "ab" * 32).facts.steps == 11

    def full(*_args, **_named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "write_json", full)
    with pytest.raises(RunFailed, match="space"):
        save(folder, heads, facts)
    assert load(folder, target, "ab" * 32).facts.steps == 11
    assert [path.name for path in folder.parent.iterdir()] == ["heads"]


def test_the_digest_tells_targets_apart(tiny_llama_dir, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(tiny_llama_dir, copy)
    assert base_digest(copy) == base_digest(tiny_llama_dir)
    data = bytearray((copy / "model.safetensors").read_bytes())
    data[-5] ^= 1
    (copy / "model.safetensors").write_bytes(data)
    assert base_digest(copy) != base_digest(tiny_llama_dir)
    assert base_digest(copy / "model.safetensors") != base_digest(copy)  # as of a GGUF file
    assert place_of("ab" * 32, 4) != place_of("ab" * 32, 3)
    assert not are_kept(copy)
    place_of(base_digest(copy)).mkdir(parents=True)
    (place_of(base_digest(copy)) / "medusa.json").write_text("{}")
    assert are_kept(copy)
    assert not are_kept(tiny_llama_dir)


def test_heads_know_their_sizes(heads):
    assert MedusaHeads.on.__doc__
    assert heads.shape.to_json() == {"heads": 3, "hidden": 64, "width": 32, "vocabulary": 48}

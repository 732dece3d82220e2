"""A training that was stopped, or killed, goes on as if nothing had happened: bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from core.training.batches import Batch
from core.training.objective import Loss
from core.training.schedule import cosine
from core.training.trainer import Best, Settings, Step, Trainer

VOCABULARY, WIDTH = 11, 8


class Toy(nn.Module):
    """An embedding, a matrix, a norm and a frozen head: one parameter for each way that the trainer has."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.embed = nn.Embedding(VOCABULARY, WIDTH)
        self.mix = nn.Linear(WIDTH, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)
        self.frozen = nn.Linear(WIDTH, VOCABULARY, bias=False).requires_grad_(False)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.frozen(self.norm(self.embed(tokens) + torch.tanh(self.mix(self.embed(tokens)))))


def batch(step: int) -> Batch:
    start = torch.randint(0, VOCABULARY, (4, 1), generator=torch.Generator().manual_seed(step))
    return Batch((start + 3 * torch.arange(7)) % VOCABULARY)


def loss_of(toy: Toy, batch: Batch) -> Loss:
    logits = toy(batch.tokens[:, :-1]).float().flatten(0, 1)
    return Loss(nn.functional.cross_entropy(logits, batch.tokens[:, 1:].flatten()), {"size": logits.square().mean()})


def trainer(checkpoint: Path | None, model: Toy | None = None, *, steps: int = 12, settings: Any = None, **extras: Any) -> Trainer:
    toy = model or Toy(seed=0)
    chosen = Settings(**{"steps": steps, "warmup": 3, "checkpoint_every": 5, "autocast": False} | (settings or {}))
    return Trainer(toy, lambda batch: loss_of(toy, batch), batch, chosen, checkpoint, **extras)


def state(checkpoint: Path) -> dict[str, Tensor]:
    return load_file(checkpoint)


def assert_same(one: Path, other: Path) -> None:
    first, second = state(one), state(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("stopped_after", [1, 4, 11])
def test_a_stopped_training_takes_the_path_of_an_uninterrupted_one(tmp_path: Path, stopped_after: int, autocast: bool) -> None:
    losses: dict[str, list[float]] = {"whole": [], "parts": []}
    assert trainer(tmp_path / "whole.safetensors", settings={"autocast": autocast}).fit(lambda step: losses["whole"].append(step.loss))

    def keep(step: Step) -> None:
        losses["parts"].append(step.loss)

    first = trainer(tmp_path / "parts.safetensors", settings={"autocast": autocast})
    assert not first.fit(keep, stop=lambda: len(losses["parts"]) == stopped_after)
    assert first.step == stopped_after
    second = trainer(tmp_path / "parts.safetensors", Toy(seed=0), settings={"autocast": autocast})
    for name, parameter in second.model.named_parameters():
        if not name.startswith("frozen"):
            parameter.data.normal_()
    assert second.fit(keep)
    assert losses["parts"] == losses["whole"]
    assert_same(tmp_path / "whole.safetensors", tmp_path / "parts.safetensors")


def test_a_killed_training_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    def killed_at_eight(step: Step) -> None:
        if step.step == 8:
            raise KeyboardInterrupt

    trainer(tmp_path / "whole.safetensors").fit(lambda step: None)
    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path / "killed.safetensors").fit(killed_at_eight)
    steps: list[int] = []
    trainer(tmp_path / "killed.safetensors").fit(lambda step: steps.append(step.step))
    assert steps == [6, 7, 8, 9, 10, 11, 12]
    assert_same(tmp_path / "whole.safetensors", tmp_path / "killed.safetensors")


def test_a_finished_training_is_not_begun_again(tmp_path: Path) -> None:
    trainer(tmp_path / "done.safetensors").fit(lambda step: None)
    before = (tmp_path / "done.safetensors").read_bytes()
    assert trainer(tmp_path / "done.safetensors").fit(lambda step: pytest.fail("a step was taken"))
    assert (tmp_path / "done.safetensors").read_bytes() == before


def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer(tmp_path / "c.safetensors", steps=5).fit(lambda step: None)
    before = (tmp_path / "c.safetensors").read_bytes()

    def disk_full(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("core.training.state.save_file", disk_full)
    with pytest.raises(OSError, match="No space"):
        trainer(tmp_path / "c.safetensors", steps=10).fit(lambda step: None)
    assert (tmp_path / "c.safetensors").read_bytes() == before


def test_a_step_is_reported_with_what_it_measured(tmp_path: Path) -> None:
    reports: list[Step] = []
    trainer(tmp_path / "c.safetensors").fit(reports.append)
    assert [report.step for report in reports] == list(range(1, 13))
    assert all(report.steps == 12 and report.tokens_per_second > 0 for report in reports)
    assert [report.lr_factor for report in reports[:4]] == [1 / 3, 2 / 3, 1, 1]


def test_training_learns_and_leaves_frozen_parameters_alone(tmp_path: Path) -> None:
    model = Toy(seed=0)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    losses: list[float] = []
    trainer(tmp_path / "c.safetensors", model, steps=150).fit(lambda step: losses.append(step.loss))
    assert losses[-1] < losses[0] - 0.5
    changed = {name: not torch.equal(parameter, before[name]) for name, parameter in model.named_parameters()}
    assert changed == {"embed.weight": True, "mix.weight": True, "mix.bias": True, "norm.weight": True, "norm.bias": True, "frozen.weight": False}


def test_matrices_are_moved_by_muon_and_all_else_by_adam(tmp_path: Path) -> None:
    """Muon's step is orthogonal: of a matrix all singular values of the change are about alike."""
    model = Toy(seed=0)
    before = model.mix.weight.detach().clone()
    one_step: Callable[[], bool] = lambda: True  # noqa: E731
    trainer(tmp_path / "c.safetensors", model).fit(lambda step: None, stop=one_step)
    values = torch.linalg.svdvals(model.mix.weight.detach() - before)
    assert values.max() < 3 * values.min()
    kinds = {name.split(".")[1] for name in state(tmp_path / "c.safetensors") if name.endswith("mix.weight") and name.startswith("optimizer")}
    assert kinds == {"momentum_buffer"}
    assert "optimizer.exp_avg.embed.weight" in state(tmp_path / "c.safetensors")


def wavy(toy: Toy) -> Callable[[], float]:
    """A held-out loss that is lowest in the middle: the distance of a parameter from where it was after six steps."""
    aim = Toy(seed=0)
    trainer(None, aim, steps=12).fit(lambda step: None, stop=iter([False] * 5 + [True]).__next__)
    return lambda: float((toy.mix.weight - aim.mix.weight).detach().abs().sum())


def test_the_best_state_is_kept_and_comes_back(tmp_path: Path) -> None:
    for checkpoint in (None, tmp_path / "c.safetensors"):
        toy, reports = Toy(seed=0), list[Step]()
        found = trainer(checkpoint, toy, settings={"evaluate_every": 3}, held_out=wavy(toy))
        found.fit(reports.append)
        assert [report.step for report in reports if report.held_out is not None] == [3, 6, 9, 12]
        assert found.best == Best(6, 0.0)
        last = toy.mix.weight.detach().clone()
        found.restore_best()
        assert wavy(toy)() == 0
        assert not torch.equal(toy.mix.weight, last)


@pytest.mark.parametrize("stopped_after", [5, 7, 11])
def test_a_resumed_training_knows_its_best_state(stopped_after: int, tmp_path: Path) -> None:
    def run(name: str, stop: int = 0) -> Trainer:
        toy = Toy(seed=0)
        made = trainer(tmp_path / name, toy, settings={"evaluate_every": 2, "micro_rows": 3, "schedule": cosine}, held_out=wavy(toy))
        steps = list[int]()
        made.fit(lambda step: steps.append(step.step), stop=lambda: steps[-1:] == [stop])
        return made

    whole = run("whole.safetensors")
    run("parts.safetensors", stopped_after)
    parts = run("parts.safetensors")
    assert_same(tmp_path / "whole.safetensors", tmp_path / "parts.safetensors")
    assert_same(tmp_path / "whole.best.safetensors", tmp_path / "parts.best.safetensors")
    assert whole.best == parts.best
    for one in (whole, parts):
        one.restore_best()
    assert all(torch.equal(*pair) for pair in zip(whole.model.parameters(), parts.model.parameters(), strict=True))


def test_a_held_out_loss_is_measured_in_evaluation_mode_and_nan_is_never_the_best() -> None:
    values, toy, seen = iter([float("nan"), 2.0, float("nan"), 3.0]), Toy(seed=0), list[bool]()

    def held_out() -> float:
        seen.extend([toy.training, torch.is_grad_enabled()])
        return next(values)

    found = trainer(None, toy.train(True), settings={"evaluate_every": 3}, held_out=held_out)
    found.fit(lambda step: None)
    assert found.best == Best(6, 2.0)
    assert not any(seen)
    assert toy.training


def test_without_a_rhythm_the_held_out_loss_follows_the_last_step() -> None:
    reports: list[Step] = []
    trainer(None, held_out=lambda: 1.0).fit(reports.append)
    assert [report.step for report in reports if report.held_out is not None] == [12]


def test_a_hook_after_each_step_keeps_pruned_weights_at_zero(tmp_path: Path) -> None:
    toy, steps = Toy(seed=0), list[int]()
    kept = torch.rand(WIDTH, WIDTH, generator=torch.Generator().manual_seed(0)) > 0.5

    def prune(step: int) -> None:
        steps.append(step)
        toy.mix.weight.mul_(kept)

    trainer(tmp_path / "c.safetensors", toy, after_step=prune).fit(lambda step: None)
    assert steps == list(range(1, 13))
    assert toy.mix.weight[~kept].count_nonzero() == 0
    assert toy.mix.weight[kept].all()
    assert torch.equal(state(tmp_path / "c.safetensors")["model.mix.weight"], toy.mix.weight)


def test_micro_batches_and_recomputed_blocks_train_alike() -> None:
    reports: dict[str, list[Step]] = {"whole": [], "micro": [], "recomputed": []}
    plain, double = {"muon": False, "clip_norm": 1e9}, Toy(seed=0).double()
    trainer(None, Toy(seed=0).double(), settings=plain).fit(reports["whole"].append)
    trainer(None, Toy(seed=0).double(), settings=plain | {"micro_rows": 3}).fit(reports["micro"].append)
    trainer(None, double, settings=plain, recompute=[double.mix]).fit(reports["recomputed"].append)
    for one, micro, recomputed in zip(*reports.values(), strict=True):
        assert micro.loss == pytest.approx(one.loss, rel=1e-6)
        assert micro.parts["size"] == pytest.approx(one.parts["size"], rel=1e-5)
        assert recomputed.loss == one.loss


def test_a_best_state_that_is_newer_than_the_last_checkpoint_survives_a_kill(tmp_path: Path) -> None:
    def run(name: str, killed_at: int = 0) -> Trainer:
        def on_step(step: Step) -> None:
            if step.step == killed_at:
                raise KeyboardInterrupt

        toy = Toy(seed=0)
        made = trainer(tmp_path / name, toy, settings={"evaluate_every": 2}, held_out=wavy(toy))
        made.fit(on_step)
        return made

    whole = run("whole.safetensors")
    with pytest.raises(KeyboardInterrupt):
        run("killed.safetensors", killed_at=8)
    assert run("killed.safetensors").best == whole.best == Best(6, 0.0)
    assert_same(tmp_path / "whole.safetensors", tmp_path / "killed.safetensors")
    assert_same(tmp_path / "whole.best.safetensors", tmp_path / "killed.best.safetensors")

"""Distillations on disk as a worker would leave them, made in a moment."""

from __future__ import annotations

import math
from typing import Any

from core.distill.compare.result import DistillCompareResult, DistillRow
from core.distill.compare.spec import PROGRAMS, DistillCompareSpec
from core.distill.events import HeldOut, Place
from core.distill.naming import recipe_name
from core.distill.result import DistillMetrics, DistillResult, HeldOutFigures
from core.distill.spec import DistillSpec
from core.runs.state import events
from core.runs.state.files import write_json
from core.runs.state.store import Run
from tests.tui.quantize.made import EVALUATION

STEPS = 300
PLACES = tuple(
    Place(
        before=before,
        token=token,
        teacher=teacher,
        teacher_probability=0.93 - 0.07 * index,
        student=student,
        student_probability=0.41 + 0.05 * index,
        kl=4.8 - 0.4 * index,
    )
    for index, (before, token, teacher, student) in enumerate(
        (
            ("    self.assertEqual(", "a", "a", "str"),
            ("def __repr__(self):⏎        ", "return", "return", '"""'),
            ("for name in os.listdir(", "path", "path", "dir"),
            ("if not isinstance(value, ", "str", "(", "int"),
            ("except ", "OSError", "OSError", "ValueError"),
            ('with open(filename, "', "rb", "rb", "w"),
            ("import ", "functools", "functools", "sys"),
            ("raise NotImplemented", "Error", "Error", "("),
        )
    )
)


def spec(**values: Any) -> DistillSpec:
    return DistillSpec.model_validate({"model": "bundled:base", "layers": 7} | values)


def held_out(step: int, label: str = "", floor: float = 0.12) -> HeldOut:
    """After so many steps: the divergence falls to a floor."""
    kl = floor + (0.664 - floor) * math.exp(-step / 60)
    closed = (0.664 - kl) / 0.664
    return HeldOut(
        label=label, step=step, kl=kl, kl_se=0.011, top1=0.9 - 0.47 * kl, top1_se=0.005, nll=2.4 + kl, gap_closed=closed, gap_closed_se=0.012,
        places=PLACES,
    )  # fmt: skip


def training(until: int, begin: float, label: str = "") -> list[events.Event]:
    """A loss every second, and an evaluation every 30 steps."""
    said: list[events.Event] = []
    for step in range(until + 1):
        at = begin + step
        said.append(events.Progress(at, step, STEPS + 50, f"step {step} of {STEPS}, loss {0.1 + 0.5 * math.exp(-step / 60):.4f}"))
        if step:
            said.append(events.Metric(at, "distill_loss", 0.1 + 0.5 * math.exp(-step / 60) + 0.02 * math.sin(step), step, ""))
            said.append(events.Metric(at, "distill_loss", 0.1 + 0.5 * math.exp(-step / 60) + 0.02 * math.sin(step), step, "divergence"))
        if step % 30 == 0:
            said.append(events.Detail(at, HeldOut.kind, held_out(step, label).data()))
    return said


def finish(run: Run, *, checkpoint: str = "/models/out", floor: float = 0.12, **metrics: Any) -> Run:
    """Give a run its result."""
    asked = run.spec
    assert isinstance(asked, DistillSpec)
    figures: dict[str, Any] = {
        "ppl_teacher": 11.57, "ppl_untrained": 21.5, "ppl_after": 13.02, "ppl_ratio": 1.125, "ln_ppl_ratio": 0.118, "ln_ppl_ratio_se": 0.005,
        "kl_untrained": 0.664, "kl_mean": 0.148, "kl_se": 0.004, "top1_untrained": 0.595, "top1_agreement": 0.794, "top1_se": 0.005,
        "gap_closed": 0.809, "gap_closed_se": 0.011, "bytes_teacher": 13_900_000, "bytes_after": 10_400_000, "bits_per_weight": 11.93,
        "parameters_teacher": 6_952_192, "parameters_after": 5_181_184, "parameters_ratio": 0.745, "best_step": 300, "steps": 300,
        "tokens": 613_200, "train_tokens_per_second": 2746.0, "seconds": 251.0, "seconds_training": 240.0, "seconds_evaluating": 11.0,
        "peak_rss_bytes": 1_150_000_000,
    }  # fmt: skip
    found = DistillResult(
        run=run.id,
        model=asked.model,
        student="bundled:base, 7 of 10 blocks",
        objective=asked.objective,
        out=checkpoint,
        train_text="python-stdlib/train, 1216 x 512 tokens, seed 0",
        metrics=DistillMetrics(**{**figures, **metrics}),
        loss={"divergence": 0.11},
        held_out=tuple(
            HeldOutFigures.model_validate(held_out(step, floor=floor).model_dump(include=set(HeldOutFigures.model_fields)))
            for step in range(0, 301, 30)
        ),
        places=PLACES,
        evaluation=EVALUATION,
    )
    write_json(run.path / "result.json", found.model_dump(mode="json"))
    return run


def compared(run: Run) -> Run:
    """Give a comparison its result."""
    asked = run.spec
    assert isinstance(asked, DistillCompareSpec)
    rows = []
    for index, (variant, gap) in enumerate(zip(PROGRAMS, (0.471, 0.712, 0.688, 0.725), strict=True)):
        request, below = asked.of(variant), 0.62 * (gap - 0.471)
        rows.append(
            DistillRow(
                name=recipe_name(request), title=variant.title, objective=request.objective, ppl=21.5 * math.exp(-0.62 * gap),
                ppl_ratio=1.86 * math.exp(-0.62 * gap), ln_ppl_ratio_se=0.006, kl_mean=0.664 * (1 - gap) + 0.05, kl_se=0.004,
                top1_agreement=0.6 + 0.25 * gap, top1_se=0.005, gap_closed=gap, gap_closed_se=0.012, over_text=below if index else None,
                over_text_se=0.0031 if index else None, best_step=100, train_tokens_per_second=2700.0 - 300 * index, seconds=75.0 + 9 * index,
            )
        )  # fmt: skip
    found = DistillCompareResult(
        run=run.id, model="bundled:base", student="bundled:base, 7 of 10 blocks", parameters_teacher=6_952_192, parameters=5_181_184,
        bytes=10_400_000, bits_per_weight=11.93, ppl_teacher=11.57, ppl_untrained=21.5, kl_untrained=0.664, tokens=204_400, rows=tuple(rows),
        evaluation=EVALUATION, train_text="python-stdlib/train, 416 x 512 tokens, seed 0", seconds=402.0, peak_rss_bytes=1_200_000_000,
    )  # fmt: skip
    write_json(run.path / "result.json", found.model_dump(mode="json"))
    return run

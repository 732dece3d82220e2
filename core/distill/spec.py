"""What can be asked of `llmopt distill`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import model_validator

from core.sanitize import clean
from core.spec import Spec, option, require_window, short_name

DivergenceName = Literal["forward-kl", "reverse-kl", "jensen-shannon", "skew-forward-kl", "skew-reverse-kl", "total-variation"]
FeatureName = Literal["none", "hidden", "relations"]
TeacherName = Literal["resident", "top", "drawn"]
ScheduleName = Literal["cosine", "linear", "constant"]
Precision = Literal["auto", "float32", "bfloat16"]


class DistillSpec(Spec):
    """Train a student to predict what a teacher predicts, measure the gain, write a checkpoint."""

    capability: ClassVar[str] = "distill"
    sections: ClassVar[tuple[tuple[str, tuple[str, ...]], ...]] = (
        ("student", ("model", "student", "layers", "hold_zeros")),
        ("teacher", ("teacher", "kept_words")),
        ("loss", ("divergence", "alpha", "temperature", "features", "feature_weight")),
        ("training", ("steps", "tokens_per_step", "length", "learning_rate", "schedule", "warmup", "patience")),
        ("memory", ("precision", "micro_rows", "recompute")),
        ("text", ("train_text", "held_out", "evaluations")),
        ("evaluation", ("text", "context", "eval_tokens")),
        ("output", ("out", "device", "seed")),
    )

    model: Annotated[str, option("Teacher: bundled:base, a folder or a Hugging Face id", min_length=1)]
    student: Annotated[str | None, option("Student: a smaller or pruned model with the teacher's tokenizer; default: blocks of the teacher")] = None
    layers: Annotated[
        int | None, option("Blocks of the teacher that a new student keeps, evenly spread; default: two thirds, without student", ge=1)
    ] = None
    hold_zeros: Annotated[bool, option("Hold the zeros of a pruned student: weights of a linear that is at least 10 % zeros stay zero")] = True
    teacher: Annotated[
        TeacherName,
        option("Where the teacher is: in memory, or its predictions on disk, kept once for all students: likeliest words, or words drawn from them"),
    ] = "resident"
    kept_words: Annotated[int, option("Words kept of each prediction", when={"teacher": ("top", "drawn")}, ge=1, le=4096)] = 64
    divergence: Annotated[DivergenceName, option("Divergence of the student's predictions from the teacher's")] = "forward-kl"
    alpha: Annotated[float, option("Weight of the divergence; the rest is cross entropy on the text. 0: no teacher in the loss", "1", ge=0, le=1)] = (
        1.0
    )
    features: Annotated[
        FeatureName, option("Learned besides predictions: hidden states after every block, or relations between tokens of the last (MiniLM)")
    ] = "none"
    feature_weight: Annotated[
        float, option("Weight of the features' loss, which is added", "1", when={"features": ("hidden", "relations")}, gt=0, le=1000)
    ] = 1.0
    temperature: Annotated[float, option("Temperature of both predictions in the divergence", "1", gt=0, le=100)] = 1.0
    steps: Annotated[int, option("Optimizer steps", "step", ge=1, le=10_000_000)] = 300
    tokens_per_step: Annotated[int, option("Tokens per optimizer step", "token", ge=8, le=2**24)] = 2048
    length: Annotated[int, option("Tokens per training sequence", "token", ge=8, le=131072)] = 512
    learning_rate: Annotated[float, option("Peak learning rate of AdamW", "1", gt=0, le=1)] = 5e-4
    schedule: Annotated[ScheduleName, option("Learning rate after the warm-up")] = "cosine"
    warmup: Annotated[float, option("Share of the steps over which the learning rate rises", "1", ge=0, lt=1)] = 0.05
    patience: Annotated[int, option("Stop after this many held-out evaluations without improvement; 0: never", ge=0, le=10000)] = 0
    precision: Annotated[Precision, option("Arithmetic of the training; weights are float32. auto: bfloat16 on CUDA, float32 on a CPU")] = "auto"
    micro_rows: Annotated[int | None, option("Sequences that go through the models at once; default: all of a step", "sequence", ge=1)] = None
    recompute: Annotated[bool, option("Compute activations twice instead of keeping them (gradient checkpointing)")] = False
    train_text: Annotated[str, option("Training text: builtin, a UTF-8 file, or a .jsonl file of conversations, whose answers are learned")] = (
        "builtin"
    )
    held_out: Annotated[int, option("Training sequences that are not trained on; they decide which step is kept", "sequence", ge=2, le=4096)] = 16
    evaluations: Annotated[int, option("Held-out evaluations during the training", ge=1, le=10000)] = 10
    text: Annotated[str, option("Evaluation text: builtin or a UTF-8 file")] = "builtin"
    context: Annotated[int, option("Evaluation window", "token", ge=8, le=1048576)] = 512
    eval_tokens: Annotated[int, option("Tokens to evaluate on; 0 skips the evaluation", "token", ge=0, le=2**31)] = 16384
    out: Annotated[str | None, option("Output folder for the checkpoint; default: the run's artifacts folder")] = None

    @model_validator(mode="after")
    def _fields_fit_together(self) -> Self:
        if self.student is not None and self.layers is not None:
            raise ValueError("student and layers exclude each other: layers makes a new student of the teacher's blocks")
        if self.tokens_per_step < self.length:
            raise ValueError(
                f"tokens-per-step {self.tokens_per_step} do not fill one sequence of length {self.length}: raise tokens-per-step or lower length"
            )
        if self.teacher != "resident" and not self.alpha:
            raise ValueError("alpha 0 leaves the teacher out of the loss: omit teacher")
        if self.teacher != "resident" and (self.divergence != "forward-kl" or self.temperature != 1 or self.features != "none"):
            raise ValueError(f"teacher {self.teacher} keeps predictions for forward-kl at temperature 1 alone, without features: choose resident")
        require_window(self.eval_tokens, self.context)
        return self

    @property
    def rows(self) -> int:
        """Sequences per step."""
        return max(self.tokens_per_step // self.length, 1)

    @property
    def evaluate_every(self) -> int:
        """Steps between held-out evaluations."""
        return max(self.steps // self.evaluations, 1)

    @property
    def objective(self) -> str:
        """The loss in short: `forward-kl`, `cross-entropy`, `0.7 forward-kl + 0.3 cross-entropy, T 2`."""
        if not self.alpha:
            name = "cross-entropy"
        else:
            name = self.divergence if self.alpha == 1 else f"{self.alpha:g} {self.divergence} + {1 - self.alpha:g} cross-entropy"
        if self.teacher != "resident":
            name += f" of {self.kept_words} {self.teacher}"
        if self.features != "none":
            name += f" + {self.features}" if self.feature_weight == 1 else f" + {self.feature_weight:g} {self.features}"
        return name if self.temperature == 1 or not self.alpha else f"{name}, T {self.temperature:g}"

    def summary(self) -> str:
        """`7 blocks, forward-kl, 300 steps`: the student, the loss and how long."""
        student = short_name(self.student) if self.student is not None else f"{self.layers} blocks" if self.layers is not None else "new student"
        return clean(f"{student}, {self.objective}, {self.steps} steps", limit=100)

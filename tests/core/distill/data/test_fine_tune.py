"""Fine-tuning on conversations: what is learned, and what is not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from core.distill.measure.held_out import HeldOutText
from core.distill.run import run
from core.distill.student.text import TrainingText
from core.errors import RequestError
from core.models.load import load_model
from core.models.predictor import Predictor
from core.models.resolve import resolve
from core.training.batches import Batch
from core.training.distillation import distillation, with_next_tokens
from core.training.mixture import Mixture
from core.training.objective import accumulate
from tests.core.conftest import RecordingContext
from tests.core.distill.requests import spec_for

TEMPLATE = "{% for m in messages %}{{ m['role'][0] }}:{{ m['content'] }}</s>{% endfor %}{% if add_generation_prompt %}a:{% endif %}"


@pytest.fixture
def chat_dir(tiny_llama_dir: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "chat"
    shutil.copytree(tiny_llama_dir, folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"chat_template": TEMPLATE}))
    return folder


def conversations(folder: Path, count: int = 24) -> str:
    path = folder / "training.jsonl"
    turns = [[{"role": "user", "content": "xyz"[n % 3] * (1 + n % 7)}, {"role": "assistant", "content": "yes " * (1 + n % 4)}] for n in range(count)]
    path.write_text("\n".join(json.dumps({"messages": each}) for each in turns))
    return str(path)


def test_a_student_learns_answers_and_their_end(chat_dir: Path, tmp_path: Path, context: RecordingContext) -> None:
    spec = spec_for(chat_dir, train_text=conversations(tmp_path), alpha=0, steps=40, learning_rate=1e-2, patience=0)
    result = run(spec, context)
    assert result.held_out[-1].nll < result.held_out[0].nll / 3
    assert "24 conversations" in result.train_text
    text = TrainingText.of(spec, resolve(str(chat_dir)), None)
    assert text.counted is not None
    assert result.metrics.tokens < 40 * spec.rows * text.windows.shape[1] / 2
    student: Any = load_model(Path(result.out), torch.float32, "cpu")
    prompt = torch.tensor([text.tokenizer("u:xx</s>a:", add_special_tokens=False)["input_ids"]])
    said = student.generate(prompt, max_new_tokens=24, do_sample=False)[0, prompt.shape[1] :]
    assert str(text.tokenizer.decode(said)).startswith("yes ")
    assert said[-1] == text.tokenizer.eos_token_id


def test_a_kept_teacher_teaches_the_same_answers(chat_dir: Path, tmp_path: Path) -> None:
    found = {}
    for teacher in ("resident", "top"):
        context = RecordingContext(tmp_path / teacher)
        context.artifacts.mkdir()
        spec = spec_for(chat_dir, train_text=conversations(tmp_path), teacher=teacher, kept_words=256, alpha=0.5)
        run(spec, context)
        found[teacher] = [value for name, value, _, label in context.metrics if name == "distill_loss" and not label]
    assert len(found["top"]) == 6
    assert found["top"] == pytest.approx(found["resident"], rel=1e-3)


def test_prompts_and_padding_change_no_loss(chat_dir: Path, tmp_path: Path) -> None:
    spec = spec_for(chat_dir, train_text=conversations(tmp_path), alpha=0)
    text = TrainingText.of(spec, resolve(str(chat_dir)), None)
    model = load_model(chat_dir, torch.float32, "cpu").requires_grad_(True)
    predictor = Predictor.of(model)
    objective = distillation(predictor, predictor, Mixture(alpha=0))

    def loss_of(tokens: torch.Tensor) -> float:
        return float(accumulate(objective, with_next_tokens(Batch(tokens, text.counted)), None).total)

    assert text.counted is not None
    with torch.no_grad():
        logits = model(text.windows).logits.double().log_softmax(-1)
    expected = [
        -float(logits[row, place, text.windows[row, place + 1]])
        for row in range(len(text.windows))
        for place in range(text.windows.shape[1] - 1)
        if text.counted[row, place]
    ]
    assert loss_of(text.windows) == pytest.approx(sum(expected) / len(expected), rel=1e-5)
    # Padding holds anything.
    ends = [int(each.nonzero().max()) + 2 for each in text.counted]
    changed = text.windows.clone()
    for row, end in enumerate(ends):
        changed[row, end:] = 7
    assert not torch.equal(changed, text.windows)
    assert loss_of(changed) == loss_of(text.windows)


def test_held_out_figures_are_of_the_counted_predictions(chat_dir: Path, tmp_path: Path) -> None:
    text = TrainingText.of(spec_for(chat_dir, train_text=conversations(tmp_path)), resolve(str(chat_dir)), None)
    torch.manual_seed(1)
    teacher, student = load_model(chat_dir, torch.float32, "cpu"), load_model(chat_dir, torch.float32, "cpu")
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        one, other = (model(text.windows).logits[..., : text.vocabulary].double().log_softmax(-1) for model in (teacher, student))
    assert text.counted is not None
    found = HeldOutText(text.windows, Predictor.of(teacher), Predictor.of(student), text.vocabulary, text.tokenizer, text.counted).measure(0)
    kl = (one.exp() * (one - other)).sum(-1)[text.counted]
    assert found.kl == pytest.approx(float(kl.mean()), rel=1e-4)
    assert found.top1 == pytest.approx(float((one.argmax(-1) == other.argmax(-1))[text.counted].double().mean()))
    assert [place.kl for place in found.places] == pytest.approx(kl.sort(descending=True).values[:12].tolist(), rel=1e-3)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{oops", "line 1 of .*training.jsonl is not JSON"),
        ('{"prompt": "a"}', "line 1 of .* does not hold a conversation: messages must be a list"),
        ('{"messages": [{"role": "user", "content": "a"}]}', "must end with an assistant's message"),
        ('{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": ""}]}', "1 of 1 conversations cannot be learned from"),
    ],
)
def test_a_bad_training_file_is_refused(line: str, complaint: str, chat_dir: Path, tmp_path: Path, context: RecordingContext) -> None:
    path = tmp_path / "training.jsonl"
    path.write_text(line)
    with pytest.raises(RequestError, match=complaint):
        run(spec_for(chat_dir, train_text=str(path)), context)


def test_a_model_without_a_chat_template_is_refused(tiny_llama_dir: Path, tmp_path: Path, context: RecordingContext) -> None:
    with pytest.raises(RequestError, match="has no chat template"):
        run(spec_for(tiny_llama_dir, train_text=conversations(tmp_path)), context)


def test_conversations_that_are_too_long_are_counted(chat_dir: Path, tmp_path: Path, context: RecordingContext) -> None:
    path = tmp_path / "training.jsonl"
    more = json.dumps({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "long " * 20}]})
    path.write_text(Path(conversations(tmp_path)).read_text() + f"\n{more}\n")
    result = run(spec_for(chat_dir, train_text=str(path)), context)
    assert any("1 conversations have more than 32 tokens" in note for note in result.notes)

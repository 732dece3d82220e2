"""llama.cpp as a backend of the server: what it tells of its own tokens."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.formats.gguf.write.convert import convert, plan_conversion
from engines.server.backends.base import GenerationRequest
from tests.core.formats.gguf.models import make_model

pytestmark = pytest.mark.llama


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_probabilities_of_an_answer_are_those_of_its_text(tmp_path: Path, temperature: float) -> None:
    from engines.server.backends.llama_cpp import LlamaCppBackend

    convert(plan_conversion(make_model(tmp_path / "m", "llama"), "m"), tmp_path / "m.gguf", "F32")
    backend = LlamaCppBackend(str(tmp_path / "m.gguf"), 64, 1, 0)
    prompt = backend.encode("def f(x):")
    steps = list(backend.generate(GenerationRequest(prompt, 5, temperature, seed=1, ignore_eos=True, logprobs=3), lambda: False))
    tokens = [token for step in steps for token in step.tokens]
    told = [probability for step in steps for probability in step.probabilities]
    expected = backend.score([*prompt, *tokens], 3)[-5:]
    assert [each.token for each in told] == tokens == [each.token for each in expected]
    assert [each.logprob for each in told] == pytest.approx([each.logprob for each in expected], abs=2e-3)
    assert all(len(each.top) == 3 for each in told)
    assert steps[-1].finish == "length"

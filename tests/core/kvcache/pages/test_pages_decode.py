"""A real decode on pages against transformers' generate, against contiguous caches, and against itself in a pool that is too small."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from core.errors import Cancelled, RequestError
from core.kvcache.pages.check import check
from core.kvcache.pages.decode import PagedDecode
from core.kvcache.pages.events import MOST_BLOCKS, PageEvent
from core.kvcache.pages.requests import Request, default_blocks, longest, requests_of
from core.kvcache.pages.run import run
from core.kvcache.pages.spec import PagesSpec
from core.models.card import ModelCard
from core.models.kv_geometry import Geometry
from core.runtime.sampling import Sampling
from tests.core.conftest import RecordingContext

GEOMETRY = Geometry(2, 0, None, 4, 2, 16, 4)
SMALL = {"system_tokens": 10, "prompt_tokens": 14, "new_tokens": 12, "block_size": 4, "requests": 7, "samples": 3, "at_once": 4}


@pytest.fixture(scope="module")
def model(tiny_llama_dir: Path) -> torch.nn.Module:
    return AutoModelForCausalLM.from_pretrained(tiny_llama_dir, dtype=torch.float32).eval()


def decode(model: torch.nn.Module, spec: PagesSpec, blocks: int | None = None, *, temperature: float = 0.0, compare: bool = True) -> PagedDecode:
    text = torch.randint(2, 320, (4000,), generator=torch.Generator().manual_seed(7)).tolist()

    def checked(state: PagedDecode) -> None:
        state.pool.check()
        assert set(state.pool.sequences) == {sequence.id for sequence in state.running}
        for sequence in state.running:
            assert state.pool.length(sequence.id) == len(sequence.tokens) - 1

    made = PagedDecode(
        model,  # type: ignore[arg-type]
        GEOMETRY,
        requests_of(spec, text),
        blocks=blocks or 200,
        block_size=spec.block_size,
        at_once=spec.at_once,
        sampling=Sampling(temperature=temperature),
        seed=spec.seed,
        stops=frozenset(),
        longest=longest(spec),
        compare=compare,
        on_step=checked,
    )
    made.run()
    return made


def texts(made: PagedDecode) -> dict[str, list[int]]:
    return {sequence.name: sequence.tokens for sequence in made.finished}


def test_what_is_computed_in_the_same_shapes_has_the_same_bits(model: torch.nn.Module) -> None:
    spec = PagesSpec.parse({"model": "x", **SMALL, "system_tokens": 0, "requests": 2, "samples": 1, "block_size": 5})
    made = decode(model, spec, temperature=0.8)
    assert made.pool.hit_tokens == 0
    assert made.compared.tokens == sum(request.new_tokens for request in made.arrived)
    assert made.compared.largest == 0.0


def test_every_text_is_the_one_that_transformers_generates(model: torch.nn.Module) -> None:
    spec = PagesSpec.parse({"model": "x", **SMALL})
    made = decode(model, spec)
    assert made.pool.hit_tokens > 0
    assert made.pool.copies > 0
    assert made.compared.differing == 0
    assert made.compared.largest < 1e-4
    assert len(made.finished) == sum(request.samples for request in made.arrived)
    for sequence in made.finished:
        prompt = torch.tensor([sequence.tokens[: sequence.prompt]])
        new = len(sequence.tokens) - sequence.prompt
        assert new == sequence.request.new_tokens
        expected = model.generate(prompt, do_sample=False, max_new_tokens=new, min_new_tokens=new, eos_token_id=None, pad_token_id=0)  # type: ignore[operator]
        assert sequence.tokens == expected[0].tolist()


def test_follow_ups_find_what_their_predecessors_left(model: torch.nn.Module) -> None:
    made = decode(model, PagesSpec.parse({"model": "x", **SMALL, "samples": 1}))
    followers = [sequence for sequence in made.finished if sequence.request.follows is not None]
    assert followers
    for sequence in followers:
        before = next(other for other in made.finished if other.request.index == sequence.request.follows)
        assert sequence.tokens[: len(before.tokens)] == before.tokens
        assert sequence.hit_tokens >= (len(before.tokens) - 1) // 4 * 4


def test_samples_of_a_prompt_differ_and_come_again_with_the_seed(model: torch.nn.Module) -> None:
    spec = PagesSpec.parse({"model": "x", **SMALL})
    first, second = decode(model, spec, temperature=1.0), decode(model, spec, temperature=1.0, compare=False)
    assert texts(first) == texts(second)
    assert first.compared.differing == 0
    samples = [tuple(tokens) for name, tokens in texts(first).items() if name.startswith("prompt 1 ")]
    assert len(set(samples)) == 3


def test_a_pool_that_is_too_small_makes_sequences_wait_and_changes_no_token(model: torch.nn.Module) -> None:
    spec = PagesSpec.parse({"model": "x", **SMALL, "new_tokens": 24})
    roomy, tight = decode(model, spec, temperature=1.0), decode(model, spec, -(-longest(spec) // 4), temperature=1.0)
    assert roomy.preemptions == 0
    assert tight.preemptions > 0
    assert tight.pool.reused > 0
    assert texts(tight) == texts(roomy)
    assert tight.compared.differing == 0


def test_the_run_tells_of_every_change_and_keeps_its_figures(tiny_llama_dir: Path, context: RecordingContext) -> None:
    spec = PagesSpec.parse({"model": str(tiny_llama_dir), **SMALL})
    result = run(spec, context)
    events = [PageEvent.parse(data) for kind, data in context.details if kind == PageEvent.kind]
    assert events
    assert all(event is not None for event in events)
    kinds = {change.kind for event in events if event is not None for change in event.changes}
    assert {"arrive", "hit", "take", "fork", "copy", "free", "finish"} <= kinds
    last = events[-1]
    assert last is not None
    assert (last.phase, last.used, last.totals.finished) == ("done", 0, len(result.rows))
    figures = result.metrics
    assert figures.identical
    assert figures.tokens == sum(row.new_tokens for row in result.rows)  # type: ignore[misc]
    assert figures.waste_mean is not None
    assert figures.waste_contiguous_mean is not None
    assert 0 < figures.waste_mean < figures.waste_contiguous_mean < 1
    assert figures.bytes_paged is not None
    assert figures.bytes_paged <= result.blocks * 4 * 2 * 2 * 2 * 16 * 4
    assert context.steps[-1][1] == sum(request_samples(spec))
    assert result.model_validate(result.model_dump()) == result


def test_of_a_large_pool_only_the_first_blocks_are_shown(tiny_llama_dir: Path, context: RecordingContext) -> None:
    run(PagesSpec.parse({"model": str(tiny_llama_dir), **SMALL, "requests": 1, "samples": 1, "compare": False, "blocks": MOST_BLOCKS + 500}), context)
    events = [PageEvent.parse(data) for kind, data in context.details if kind == PageEvent.kind]
    assert events
    assert all(event is not None and event.pool == MOST_BLOCKS + 500 and len(event.blocks) <= 1024 for event in events)


def request_samples(spec: PagesSpec) -> list[int]:
    return [request.samples * request.new_tokens for request in requests_of(spec, list(range(4000)))[1]]


def test_a_cancelled_run_stops_at_the_next_step(tiny_llama_dir: Path, context: RecordingContext) -> None:
    context.cancel_when = lambda told: len(told.details) > 0
    with pytest.raises(Cancelled):
        run(PagesSpec.parse({"model": str(tiny_llama_dir), **SMALL}), context)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"context": 129}, "a context of 129 tokens is more than the 128"),
        ({"context": 60}, "a sequence can have 62 tokens"),
        ({"new_tokens": 90}, "lower system-tokens"),
        ({"blocks": 16}, "give at least 19 blocks"),
        ({"model_bytes": 1}, "of memory are free"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_loaded(tiny_llama_dir: Path, more: dict[str, int], sentence: str) -> None:
    free = more.pop("model_bytes", None)
    with pytest.raises(RequestError, match=sentence):
        check(PagesSpec.parse({"model": "x", **SMALL, **more}), ModelCard.from_folder(tiny_llama_dir), memory_available=free)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"block_size": 0}, "block-size = 0 is invalid"),
        ({"samples": 8}, "raise at-once"),
        ({"mode": "simulate", "trace": "file"}, "needs trace-file"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_in_one_sentence(more: dict[str, object], sentence: str) -> None:
    with pytest.raises(RequestError, match=sentence):
        PagesSpec.parse({"model": "x", **SMALL, **more})


def test_the_default_pool_holds_the_longest_sequence_with_its_samples() -> None:
    for size in (1, 3, 16, 200):
        spec = PagesSpec.parse({"model": "x", **SMALL, "block_size": size, "at_once": 3})
        assert default_blocks(spec) >= -(-longest(spec) // size) + spec.samples


def test_requests_are_made_by_the_seed_and_stay_within_their_bounds() -> None:
    spec = PagesSpec.parse({"model": "x", **SMALL})
    system, found = requests_of(spec, list(range(4000)))
    assert (system, found) == requests_of(spec, list(range(4000)))
    assert found != requests_of(spec.model_copy(update={"seed": 1}), list(range(4000)))[1]
    assert len(system) == spec.system_tokens
    assert all(1 <= len(request.tokens) <= spec.prompt_tokens and 1 <= request.new_tokens <= spec.new_tokens for request in found)
    assert [request.follows for request in found] == [None, None, 0, None, None, 3, None]
    assert isinstance(found[0], Request)


def test_long_prompts_are_read_in_chunks_with_the_same_texts(model: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = PagesSpec.parse({"model": "x", **SMALL})
    whole = texts(decode(model, spec))
    monkeypatch.setattr("core.kvcache.pages.decode._CHUNK", 7)
    in_chunks = decode(model, spec)
    assert texts(in_chunks) == whole
    assert in_chunks.compared.differing == 0

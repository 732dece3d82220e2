"""`llmopt distill-data`: from prompts to a teacher's answers, and from answers to a training file."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from core.context import RunContext
from core.distill.data.answers import Answer, AnswerFile
from core.distill.data.asking import Asking
from core.distill.data.check import check
from core.distill.data.client.in_flight import InFlight, Patience, Totals
from core.distill.data.client.opening import Teacher, attach
from core.distill.data.client.request import Request
from core.distill.data.conversation import Conversation
from core.distill.data.filters.example import Example
from core.distill.data.filters.pipeline import Counted, filtered, overlap_filter, usual_filters
from core.distill.data.lines import numbered_lines
from core.distill.data.result import DataMetrics, DistillDataResult, FailureCount, FilterCount
from core.distill.data.seeds import read_seeds
from core.distill.data.spec import DistillDataSpec
from core.distill.data.training_file import ENDING, is_held_out, write_training
from core.errors import Cancelled, RequestError, RunFailed
from core.sanitize import clean

ANSWERS, TRAINING, HELD_OUT = "answers.jsonl", "training.jsonl", "held-out.jsonl"
_MOST_REASONS = 10


def run(spec: DistillDataSpec, context: RunContext) -> DistillDataResult:
    """Ask what is not answered yet, filter all answers, write the training file.

    Raises:
        RequestError: the seeds or the server cannot be used; found before anything is asked.
        RunFailed: the server is gone or refuses, or nothing is left to train on; answers are kept, and a resumed run asks only for the others.
        Cancelled: by the user; answers are kept.
    """
    return _Run(spec, context).carry_out()


class _Run:
    """One run: what is known before it works, then each part of the work."""

    def __init__(self, spec: DistillDataSpec, context: RunContext) -> None:
        self.spec, self.context = spec, context
        self.began = time.monotonic()
        self.fit = check(spec, None)
        self.path = Path(spec.answers).expanduser() if spec.answers else context.artifacts / ANSWERS
        self.notes: list[str] = []

    def carry_out(self) -> DistillDataResult:
        """All parts in order."""
        spec, context = self.spec, self.context
        seeds = list(dict.fromkeys(read_seeds(Path(spec.seeds).expanduser(), spec.system, spec.limit)))
        teacher = attach(spec)
        requests = {request.key: request for request in _requests(spec, teacher.endpoint.model, seeds)}
        with AnswerFile(self.path) as file:
            if file.damaged:
                self.notes.append(f"{file.damaged} lines of {clean(str(self.path), limit=200)} are no answers: they were ignored")
            missing = [request for key, request in requests.items() if key not in file.found]
            asking = Asking(context, file, list(requests), spec)
            totals = self._ask(teacher, missing, asking)
            answers = [(request, file.found[key]) for key, request in requests.items() if key in file.found]
        context.artifact(self.path, "answers")
        context.progress(len(requests), len(requests) + 1, "filtering")
        training, held_out, counts = self._filter(answers)
        out = context.artifacts / TRAINING
        write_training(out, [example.conversation for example in training])
        context.artifact(out, "training")
        if held_out:
            write_training(context.artifacts / HELD_OUT, [example.conversation for example in held_out])
            context.artifact(context.artifacts / HELD_OUT, "held-out")
        context.progress(len(requests) + 1, len(requests) + 1, "done")
        if totals.failed:
            again = "" if spec.answers else f" with --answers {clean(str(self.path), limit=200)}"
            self.notes.append(f"{totals.failed} requests failed and have no answer: start the same run{again} to ask for those again")
        if not training:
            where = clean(str(self.path), limit=200)
            raise RunFailed(f"no example is left to train on ({_of_filters(counts)}): look at the answers in {where}, or loosen the filters")
        result = DistillDataResult(
            model=f"{clean(teacher.endpoint.model, limit=80)} at {clean(spec.model, limit=120)}",
            seeds=clean(Path(spec.seeds).name, limit=80),
            out=str(out.absolute()),
            metrics=self._metrics(asking, totals, counts, len(training), len(held_out)),
            filters=tuple(FilterCount(name=c.filter.name, title=c.filter.title, removed=c.removed, left=c.left) for c in counts),
            failures=tuple(FailureCount(reason=reason, count=count) for reason, count in totals.reasons.most_common(_MOST_REASONS)),
            notes=tuple(self.notes),
        )
        for name, value in result.metrics.model_dump(exclude_none=True).items():
            context.metric(name, value)
        return result

    def _ask(self, teacher: Teacher, missing: list[Request], asking: Asking) -> Totals:
        spec = self.spec

        async def ask() -> Totals:
            async with teacher.client(spec) as client:
                in_flight = InFlight(client.send, spec.concurrency, Patience(spec.retries), asking.keep, asking.look)
                return await in_flight.run(missing)

        asking.report(Totals())
        try:
            totals = asyncio.run(ask()) if missing else Totals()
        except Cancelled as error:
            raise Cancelled(f"cancelled: {asking.kept} answers are kept, and a resumed run asks for the others") from error
        asking.report(totals)
        return totals

    def _filter(self, answers: list[tuple[Request, Answer]]) -> tuple[list[Example], list[Example], list[Counted]]:
        """Examples to train on, those that are held out, and counts."""
        spec = self.spec
        examples = [Example(request.messages, answer.reply.text, answer.reply.finish) for request, answer in answers]
        left, counts = filtered(examples, usual_filters(spec.language, spec.near_duplicates))
        held_out = [example for example in left if is_held_out(example.messages, spec.held_out_share)]
        training = [example for example in left if not is_held_out(example.messages, spec.held_out_share)]
        prompts, texts = _texts_of(Path(spec.held_out).expanduser()) if spec.held_out is not None else ([], [])
        prompts += [example.prompt for example in held_out]
        texts += [example.answer for example in held_out]
        training, last = filtered(training, [overlap_filter(prompts, texts)])
        return training, held_out, [*counts, *last]

    def _metrics(self, asking: Asking, totals: Totals, counts: Sequence[Counted], examples: int, held_out: int) -> DataMetrics:
        return DataMetrics(
            seeds=self.fit.seeds,
            repeated=self.fit.repeated,
            requests=self.fit.requests,
            answers=asking.kept,
            answered=totals.answered,
            reused=asking.reused,
            failed=totals.failed,
            retries=asking.earlier_retries + totals.retries,
            prompt_tokens=asking.spent.prompt,
            completion_tokens=asking.spent.completion,
            uncounted=asking.spent.uncounted,
            cost=asking.spent.cost(self.spec.price_in, self.spec.price_out),
            removed=sum(count.removed for count in counts),
            held_out=held_out,
            examples=examples,
            answers_per_second=totals.answered / asking.seconds if totals.answered else None,
            seconds=time.monotonic() - self.began,
        )


def _requests(spec: DistillDataSpec, model: str, seeds: Sequence[Conversation]) -> Iterator[Request]:
    """Every sample of every seed."""
    for seed in seeds:
        for sample in range(spec.samples):
            request = Request(model, seed, spec.max_tokens, spec.temperature, spec.top_p, sample)
            if spec.send_seed:
                digest = hashlib.sha256(f"{spec.seed} {request.key}".encode()).digest()
                request = replace(request, seed=int.from_bytes(digest[:4], "big") >> 1)
            yield request


def _texts_of(path: Path) -> tuple[list[str], list[str]]:
    """Prompts and other texts of a held-out file: every text of a JSONL file, by the field that it is in; else all of it as one text."""
    if path.suffix != ENDING:
        return [], [path.read_text(encoding="utf-8-sig")]
    prompts: list[str] = []
    texts: list[str] = []
    for number, line in numbered_lines(path):
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise RequestError(f"line {number} of {clean(str(path), limit=200)} is not JSON: correct it, or give a text file") from error
        for name, text in _strings(found):
            (prompts if name in ("prompt", "question", "instruction", "user") else texts).append(text)
    return prompts, texts


def _strings(found: object, name: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a JSON value with the field that it is in; a message's content is called by its role."""
    if isinstance(found, str):
        yield name, found
    elif isinstance(found, dict):
        for key, value in found.items():
            yield from _strings(value, str(found.get("role", key)) if key == "content" else key)
    elif isinstance(found, list):
        for value in found:
            yield from _strings(value, name)


def _of_filters(counts: Sequence[Counted]) -> str:
    """What removed the examples, in words."""
    words = [f"{count.filter.title}: {count.removed}" for count in counts if count.removed]
    return ", ".join(words) or "there are no answers"

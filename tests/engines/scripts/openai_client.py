"""URL MODEL: what OpenAI's own client gets from a server with the key in OPENAI_API_KEY, as one JSON object. Its Python has `openai`."""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from typing import Any

import openai

PROMPT = "def add(a, b):\n    return"
MESSAGES = [{"role": "system", "content": "be short"}, {"role": "user", "content": "import os"}]
GREEDY: dict[str, Any] = {"temperature": 0, "max_tokens": 12}


def refusal(ask: Callable[[], Any]) -> dict[str, Any]:
    """The class that the client raises, and what it tells of the error."""
    try:
        ask()
    except openai.APIStatusError as error:
        body = error.body if isinstance(error.body, dict) else {}
        told = {"status": error.status_code, "message": body.get("message"), "kind": body.get("type"), "param": error.param, "code": error.code}
        return {"raised": type(error).__name__} | told
    except openai.APIError as error:
        return {"raised": type(error).__name__}
    return {"raised": None}


class Talk:
    def __init__(self, url: str, model: str) -> None:
        self.client = openai.OpenAI(base_url=f"{url}/v1", api_key=os.environ["OPENAI_API_KEY"], max_retries=0, timeout=120)
        self.url, self.model = url, model

    def models(self) -> Any:
        listed = self.client.models.list().data
        return {"listed": [model.id for model in listed], "retrieved": self.client.models.retrieve(self.model).id, "created": listed[0].created}

    def chat(self) -> Any:
        answer = self.client.chat.completions.create(model=self.model, messages=MESSAGES, **GREEDY)
        choice = answer.choices[0]
        counts = answer.usage
        return {
            "object": answer.object,
            "model": answer.model,
            "role": choice.message.role,
            "text": choice.message.content,
            "finish": choice.finish_reason,
            "usage": [counts.prompt_tokens, counts.completion_tokens, counts.total_tokens],
            "logprobs": choice.logprobs,
        }

    def newer_limit(self) -> Any:
        parts = [{"role": "user", "content": [{"type": "text", "text": "import os"}]}]
        answer = self.client.chat.completions.create(model=self.model, messages=parts, max_completion_tokens=3, temperature=0)
        return [answer.usage.completion_tokens, answer.choices[0].finish_reason]

    def chat_streamed(self) -> Any:
        asked = {"model": self.model, "messages": MESSAGES, "stream": True, "stream_options": {"include_usage": True}, **GREEDY}
        chunks = list(self.client.chat.completions.create(**asked))
        said = [chunk.choices[0] for chunk in chunks if chunk.choices]
        return {
            "objects": sorted({chunk.object for chunk in chunks}),
            "ids": len({chunk.id for chunk in chunks}),
            "role": said[0].delta.role,
            "text": "".join(choice.delta.content or "" for choice in said),
            "pieces": sum(bool(choice.delta.content) for choice in said),
            "finish": [choice.finish_reason for choice in said if choice.finish_reason],
            "last_has_no_choice": not chunks[-1].choices,
            "usage": [chunk.usage.completion_tokens for chunk in chunks if chunk.usage],
        }

    def accumulated(self) -> Any:
        """The client's helper that puts a stream together."""
        with self.client.chat.completions.stream(model=self.model, messages=MESSAGES, **GREEDY) as stream:
            kinds = {event.type for event in stream}
            answer = stream.current_completion_snapshot
        return {"kinds": sorted(kinds), "text": answer.choices[0].message.content, "finish": answer.choices[0].finish_reason}

    def asynchronous(self) -> Any:
        async def ask() -> list[str]:
            async with openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key=self.client.api_key, max_retries=0, timeout=120) as client:
                asked = [client.completions.create(model=self.model, prompt=PROMPT, **GREEDY) for _ in range(3)]
                return [answer.choices[0].text for answer in await asyncio.gather(*asked)]

        return asyncio.run(ask())

    def completion(self) -> Any:
        answer = self.client.completions.create(model=self.model, prompt=PROMPT, **GREEDY)
        usage = answer.usage
        return {"object": answer.object, "text": answer.choices[0].text, "usage": [usage.prompt_tokens, usage.completion_tokens, usage.total_tokens]}

    def completion_streamed(self) -> Any:
        chunks = list(self.client.completions.create(model=self.model, prompt=PROMPT, stream=True, stream_options={"include_usage": True}, **GREEDY))
        usage = [chunk.usage.completion_tokens for chunk in chunks if chunk.usage]
        return {"text": "".join(chunk.choices[0].text for chunk in chunks if chunk.choices), "usage": usage}

    def stopped(self) -> Any:
        text = self.completion()["text"]
        stop = text[3:5]
        answer = self.client.completions.create(model=self.model, prompt=PROMPT, stop=stop, **GREEDY).choices[0]
        parts = list(self.client.completions.create(model=self.model, prompt=PROMPT, stop=[stop, "never"], stream=True, **GREEDY))
        streamed = "".join(chunk.choices[0].text for chunk in parts if chunk.choices)
        return {"expected": text[: text.index(stop)], "text": answer.text, "finish": answer.finish_reason, "streamed": streamed}

    def seeded(self) -> Any:
        def ask(seed: int) -> str:
            asked = {"model": self.model, "prompt": PROMPT, "temperature": 1.0, "top_p": 0.95, "max_tokens": 16, "seed": seed}
            return str(self.client.completions.create(**asked).choices[0].text)

        return [ask(seed) for seed in (7, 7, 8)]

    def chat_logprobs(self) -> Any:
        asked = {"model": self.model, "messages": MESSAGES, "logprobs": True, "top_logprobs": 3, **GREEDY}
        choice = self.client.chat.completions.create(**asked).choices[0]
        streamed = [chunk.choices[0] for chunk in self.client.chat.completions.create(stream=True, **asked) if chunk.choices]
        found = choice.logprobs.content
        return {
            "text": choice.message.content,
            "tokens": [token.token for token in found],
            "logprobs": [token.logprob for token in found],
            "tops": [[[top.token, top.logprob] for top in token.top_logprobs] for token in found],
            "bytes": [token.bytes for token in found],
            "streamed": [token.logprob for part in streamed if part.logprobs for token in part.logprobs.content],
        }

    def completion_logprobs(self) -> Any:
        found = self.client.completions.create(model=self.model, prompt=PROMPT, logprobs=2, **GREEDY).choices[0].logprobs
        scored = self.client.completions.create(model=self.model, prompt=PROMPT, logprobs=1, echo=True, max_tokens=0, temperature=0).choices[0]
        told = scored.logprobs
        generated = {"tokens": found.tokens, "logprobs": found.token_logprobs, "tops": found.top_logprobs, "offsets": found.text_offset}
        return {"generated": generated, "echo": {"text": scored.text, "tokens": told.tokens, "logprobs": told.token_logprobs}}

    def left_early(self) -> Any:
        """A stream that is closed after its first piece; the next request is answered."""
        stream = self.client.completions.create(model=self.model, prompt=PROMPT, stream=True, temperature=0, max_tokens=200)
        first = next(iter(stream)).choices[0].text
        stream.close()
        return [first, self.completion()["text"]]

    def errors(self) -> Any:
        chat, plain, model = self.client.chat.completions.create, self.client.completions.create, self.model
        tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
        asked: dict[str, Callable[[], Any]] = {
            "unknown model": lambda: chat(model="no-such-model", messages=MESSAGES),
            "unknown model of a completion": lambda: plain(model="no-such-model", prompt=PROMPT),
            "unknown model asked for": lambda: self.client.models.retrieve("no-such-model"),
            "temperature": lambda: chat(model=model, messages=MESSAGES, temperature=-1),
            "too long": lambda: plain(model=model, prompt=PROMPT, max_tokens=10**6),
            "no messages": lambda: chat(model=model, messages=[]),
            "several answers": lambda: chat(model=model, messages=MESSAGES, n=2),
            "several prompts": lambda: plain(model=model, prompt=["a", "b"]),
            "a picture": lambda: chat(model=model, messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]),
            "tools": lambda: chat(model=model, messages=MESSAGES, tools=tools),
            "a form": lambda: chat(model=model, messages=MESSAGES, response_format={"type": "json_object"}),
            "stream that is refused": lambda: list(chat(model=model, messages=MESSAGES, stream=True, temperature=-1)),
            "embeddings": lambda: self.client.embeddings.create(model=model, input="x"),
            "wrong key": lambda: self.client.with_options(api_key="wrong").models.list(),
            "too slow": lambda: self.client.with_options(timeout=0.001).chat.completions.create(model=model, messages=MESSAGES, **GREEDY),
            "nobody there": lambda: openai.OpenAI(base_url="http://127.0.0.1:9/v1", api_key="none", max_retries=0).models.list(),
        }
        return {name: refusal(ask) for name, ask in asked.items()}


def main() -> None:
    talk = Talk(*sys.argv[1:3])
    parts = [name for name, part in vars(Talk).items() if callable(part) and not name.startswith("_")]
    print(json.dumps({name: getattr(talk, name)() for name in parts}))


if __name__ == "__main__":
    main()

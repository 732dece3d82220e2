"""What filters look at: a conversation that a teacher continued."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from core.distill.data.conversation import Conversation, Message

_THINKING = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)


@dataclass(frozen=True)
class Example:
    """A prompt, the answer, and why the answer ended."""

    messages: Conversation
    """Ends with the user's message."""
    answer: str
    finish: str = ""

    @property
    def prompt(self) -> str:
        """The last message of the user."""
        return self.messages[-1].content

    @cached_property
    def said(self) -> str:
        """The answer without the teacher's thinking; empty where it never came to an end of that."""
        text = _THINKING.sub("", self.answer)
        return text.rpartition("</think>")[2].strip()

    @property
    def conversation(self) -> Conversation:
        """Prompt and answer, without white space around that: a chat template sets its own."""
        return (*self.messages, Message("assistant", self.answer.strip()))


Filter = Callable[[Sequence[Example]], Sequence[bool]]
"""Which of the examples stay, in their order."""


def each(stays: Callable[[Example], bool]) -> Filter:
    """A filter that looks at every example by itself."""
    return lambda examples: [stays(example) for example in examples]

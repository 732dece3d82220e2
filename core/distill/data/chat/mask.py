"""One conversation as tokens, with a mask of what an assistant says: its tokens and the one that ends its turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from core.distill.data.conversation import Conversation, Message, documents
from core.errors import RequestError
from core.sanitize import clean

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class MaskedTokens:
    """Tokens, and which of them are learned."""

    tokens: tuple[int, ...]
    mask: tuple[bool, ...]
    """True for the tokens of an assistant and the one that ends its turn."""


def masked_tokens(tokenizer: PreTrainedTokenizerBase, conversation: Conversation) -> MaskedTokens:
    """The conversation as the tokenizer's chat template writes it.

    What an assistant says is the difference between the template up to its turn, with the prompt for generation, and the template with it; this is
    verified token by token and needs no `{% generation %}` in the template. Of a turn the mask ends with the last special token in it, so that a
    line break after that is not learned. Where a template ends the last turn with no special token, the tokenizer's end of text is appended.

    Raises:
        RequestError: no template, one that refuses the conversation, that writes a turn otherwise than it prompts for it, or twice the start of a
            text; no turn of an assistant, or one without tokens.
    """
    _require_template(tokenizer)
    tokens = list(_written(tokenizer, conversation))
    if len(tokens) > 1 and tokens[0] == tokens[1] == tokenizer.bos_token_id:
        raise RequestError("the chat template writes the token for the start of a text twice: correct the template")
    mask = [False] * len(tokens)
    special = _special(tokenizer)
    for number, message in enumerate(conversation):
        if message.role != "assistant":
            continue
        first = len(_prefix(tokens, _written(tokenizer, conversation[:number], prompt=True), message))
        last = len(_prefix(tokens, _written(tokenizer, conversation[: number + 1]), message))
        ends = [place for place in range(first, last) if tokens[place] in special]
        if ends:
            last = ends[-1] + 1
        elif number == len(conversation) - 1:
            if tokenizer.eos_token_id is None:
                raise RequestError("neither the chat template nor the tokenizer has a token that ends an answer: a student would never stop")
            tokens.append(tokenizer.eos_token_id)
            mask.append(False)
            last = len(tokens)
        if not any(token not in special for token in tokens[first:last]):
            raise RequestError(f"an assistant's turn has no tokens to learn: {_shown(message)}")
        mask[first:last] = [True] * (last - first)
    if not any(mask):
        raise RequestError("the conversation has no turn of an assistant: there is nothing to learn")
    return MaskedTokens(tuple(tokens), tuple(mask))


def _require_template(tokenizer: PreTrainedTokenizerBase) -> None:
    if not tokenizer.chat_template:
        raise RequestError(
            f"the tokenizer of {clean(tokenizer.name_or_path, limit=120)} has no chat template: take the chat version of the model, or add its "
            "chat_template.jinja"
        )


def _written(tokenizer: PreTrainedTokenizerBase, conversation: Sequence[Message], *, prompt: bool = False) -> list[int]:
    """Tokens of a part of a conversation; those of nothing are of the prompt for generation alone."""
    messages: list[Any] = documents(conversation)
    try:
        # As text, then in tokens without special ones added: a template writes its own start of a text.
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)
    except Exception as error:  # a template raises whatever it likes
        raise RequestError(f"the chat template refuses a conversation: {clean(str(error), limit=160)}") from error
    return list(tokenizer(str(text), add_special_tokens=False, verbose=False)["input_ids"])


def _prefix(tokens: Sequence[int], start: list[int], message: Message) -> list[int]:
    """The start, which the tokens of all begin with. Raises RequestError: they do not."""
    if tokens[: len(start)] != start:
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(tokens, start, strict=False)))
        raise RequestError(
            f"the chat template writes a conversation otherwise once it continues (from token {same} on), so that what an assistant said cannot be "
            f"separated from its prompt: {_shown(message)}; remove thinking from earlier turns, or correct the template"
        )
    return start


def _special(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Tokens that are no text."""
    added = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    return frozenset(added | set(tokenizer.all_special_ids))


def _shown(message: Message) -> str:
    return clean(message.content, limit=60)

"""What every detail event shares: the typed message from a run to the live view of its tab."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from core.sanitize import clean


def shown(limit: int, *, multiline: bool = False) -> BeforeValidator:
    """Metadata of a text: control characters are stripped and at most `limit` characters kept, so that it is safe to show."""
    return BeforeValidator(lambda text: clean(text, limit=limit, multiline=multiline) if isinstance(text, str) else text)


def at_most(count: int) -> BeforeValidator:
    """Metadata of a list: its first `count` entries are kept."""
    return BeforeValidator(lambda values: values[:count] if isinstance(values, list | tuple) else values)


Label = Annotated[str, shown(80)]
"""A short text that is safe to show."""


class DetailEvent(BaseModel):
    """One message of a run beyond progress and figures; at most 16 KiB as JSON. `kind` is its name in events.jsonl."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    kind: ClassVar[str]

    def data(self) -> dict[str, object]:
        """The JSON data that `RunContext.detail` keeps."""
        return self.model_dump(mode="json")

    @classmethod
    def parse(cls, data: Mapping[str, object]) -> Self | None:
        """The event of a detail's data; None for what is none. Its texts are safe to show."""
        try:
            return cls.model_validate(data)
        except ValidationError:
            return None

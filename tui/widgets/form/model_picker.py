"""Choose a model: what is on this machine, filtered as you type, with the facts of the highlighted one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import get_current_worker

from core.errors import LlmoptError
from core.sanitize import clean
from tui.services.services import services_of
from tui.widgets.card_facts import facts
from tui.widgets.threads import in_thread

if TYPE_CHECKING:
    from core.models.find.listing import ModelListing


@dataclass(frozen=True)
class Choice:
    """One line of the list."""

    name: str
    """What `resolve` takes, as it is; only `shown` may reach the screen."""
    origin: str
    problem: str = ""

    @property
    def shown(self) -> str:
        """The name, safe to show."""
        return clean(self.name)

    @property
    def short(self) -> str:
        """The folder's own name where a path was found; a name that was typed stays whole."""
        return clean(PurePath(self.name).name) if self.origin != "as typed" and self.name.startswith(("/", "~", ".")) else self.shown

    def matches(self, text: str) -> bool:
        """Whether every word that was typed occurs in name or origin."""
        hay = f"{self.shown} {self.origin}".lower()
        return all(word in hay for word in text.lower().split())


def choices(listing: ModelListing) -> list[Choice]:
    """Usable models in the order they were found, then the broken ones."""
    good = [Choice(source.name, source.origin) for source in listing.sources]
    return good + [Choice(problem.name, "cannot be used", problem.reason) for problem in listing.problems]


class ModelPicker(ModalScreen[str | None]):
    """Answers the chosen name, or None."""

    HELP = (
        "The models on this machine: bundled ones, folders and .gguf files in the current folder, its models folder and the folders of "
        "LLMOPT_MODELS, checkpoints of earlier runs, and the Hugging Face cache.\n\n"
        "Type to filter; a folder or an id that is not listed can be typed in full. Broken models come last, marked !, with the reason."
    )
    DEFAULT_CSS = """
    ModelPicker { align: center middle; }
    ModelPicker > Vertical { width: 110; max-width: 100%; height: 26; max-height: 100%; border: round $primary; background: $surface; padding: 0 1; }
    ModelPicker Input { background: $panel; }
    ModelPicker Horizontal { height: 1fr; }
    ModelPicker OptionList { width: 2fr; text-wrap: nowrap; text-overflow: ellipsis; border: none; background: transparent; padding: 0; }
    ModelPicker .picker--card { width: 3fr; padding-left: 2; height: 1fr; }
    ModelPicker .picker--keys { height: 1; color: $text-muted; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Close", id="picker.close", tooltip="Close without changes"),
        Binding("down", "move('cursor_down')", "Next", show=False, id="picker.down", tooltip="Highlight the next model", priority=True),
        Binding("up", "move('cursor_up')", "Previous", show=False, id="picker.up", tooltip="Highlight the previous model", priority=True),
        Binding("pagedown", "move('page_down')", "Page down", show=False, id="picker.page-down", priority=True),
        Binding("pageup", "move('page_up')", "Page up", show=False, id="picker.page-up", priority=True),
    ]

    def __init__(self, current: str = "") -> None:
        super().__init__()
        self._current = current
        self._all: list[Choice] | None = None
        self._filled_for: str | None = None
        self._hurried = False
        self._marked = 0
        self._shown: list[Choice] = []
        self._filter = Input(placeholder="type to filter, or a folder, or a Hugging Face id", compact=True)
        self._list = OptionList(markup=False)
        self._list.can_focus = False
        self._card = Static(classes="picker--card", markup=False)

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = "Model"
            yield self._filter
            with Horizontal():
                yield self._list
                yield self._card
            yield Static("enter choose · ↑ ↓ move · esc close", classes="picker--keys", markup=False)

    def on_mount(self) -> None:
        self._filter.focus()
        self._card.update("looking for models ...")
        self._find()

    @in_thread(group="listing", description="list models")
    def _find(self) -> None:
        found = choices(services_of(self).models.listing())
        self.app.call_from_thread(self._found, found)

    def _found(self, found: list[Choice]) -> None:
        self._all = found
        self._refill()
        if self._hurried:
            self._choose(self._list.highlighted)

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self._refill()

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        if self._all is None:
            self._hurried = True
            return
        if self._filled_for != self._filter.value.strip():
            self._refill()
        self._choose(self._list.highlighted)

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self._choose(event.option_index)

    @on(OptionList.OptionHighlighted)
    def _highlighted(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        if event.option_index < len(self._shown):
            self._mark(event.option_index)
            self._describe(self._shown[event.option_index])

    def action_move(self, how: str) -> None:
        getattr(self._list, f"action_{how}")()

    def action_close(self) -> None:
        self.dismiss(None)

    def _refill(self) -> None:
        self._filled_for = text = self._filter.value.strip()
        if self._all is None:
            return
        self._shown = [choice for choice in self._all if choice.matches(text)]
        if text and all(choice.name != text for choice in self._shown):
            self._shown.append(Choice(text, "as typed"))
        self._list.set_options([Option(_line(choice)) for choice in self._shown])
        wanted = next((i for i, choice in enumerate(self._shown) if choice.name == self._current and not text), 0)
        self._list.highlighted = wanted if self._shown else None
        if not self._shown:
            self._card.update("no models found: type a folder or a Hugging Face id")

    def _mark(self, index: int) -> None:
        """Put a sign next to the highlighted line, for terminals that cannot tint it."""
        for position in {self._marked, index}:
            if position < len(self._shown):
                self._list.replace_option_prompt_at_index(position, _line(self._shown[position], highlighted=position == index))
        self._marked = index

    def _choose(self, index: int | None) -> None:
        if index is None or index >= len(self._shown):
            return
        choice = self._shown[index]
        if choice.problem:
            self._card.update(_problem(choice.problem))
            return
        self.dismiss(choice.name)

    def _describe(self, choice: Choice) -> None:
        if choice.problem:
            self._card.update(_problem(choice.problem))
        else:
            self._read_card(choice)

    @in_thread(group="card", description="read a model card", exclusive=True)
    def _read_card(self, choice: Choice) -> None:
        worker = get_current_worker()
        try:
            rows = facts(services_of(self).models.resolve(choice.name).card())
            text = Content("\n").join([Content(choice.shown), *(Content.assemble((f"{name:<13}", "dim"), value) for name, value in rows)])
        except LlmoptError as error:
            text = _problem(str(error))
        if not worker.is_cancelled:
            self.app.call_from_thread(self._card.update, text)


def _line(choice: Choice, *, highlighted: bool = False) -> Content:
    mark = ("›" if highlighted else " ") + ("!" if choice.problem else " ")
    return Content.assemble(f"{mark} {choice.short} ", (choice.origin, "dim"))


def _problem(reason: str) -> Content:
    return Content.styled(f"! {clean(reason)}", "$text-error")

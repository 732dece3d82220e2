"""The files of a finished checkpoint, and the lines that load it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from core.errors import LlmoptError
from core.models.disk.files import read_object
from core.sanitize import clean
from tui.widgets import words
from tui.widgets.threads import in_thread

_MOST_FILES = 200
_PACKAGES = {
    "compressed-tensors": "compressed-tensors",
    "gptq": "gptqmodel and optimum",
    "awq": "gptqmodel and optimum",
    "bitsandbytes": "bitsandbytes and accelerate",
    "aqlm": "aqlm and accelerate",
}
"""What transformers needs for a `quant_method`."""


class ArtifactScreen(ModalScreen[None]):
    """Path, files with their sizes, how to load it."""

    DEFAULT_CSS = """
    ArtifactScreen { align: center middle; }
    ArtifactScreen > VerticalScroll { width: 100; max-width: 100%; height: auto; max-height: 100%; }
    ArtifactScreen > VerticalScroll { border: round $primary; background: $surface; padding: 0 1; }
    ArtifactScreen Static { height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,o,q", "dismiss", "Close", id="artifact.close", tooltip="Back to the results"),
        Binding("y", "copy", "Copy path", id="artifact.copy", tooltip="Copy the path to the clipboard"),
    ]

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self._text = Static(markup=False)

    def compose(self) -> ComposeResult:
        with VerticalScroll() as box:
            box.border_title = "Checkpoint"
            yield self._text

    def on_mount(self) -> None:
        self._read()

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(self._path)

    @in_thread(group="files", description="read a checkpoint's folder")
    def _read(self) -> None:
        self.app.call_from_thread(self._text.update, describe(Path(self._path)))


def describe(folder: Path) -> Content:
    """The text about a checkpoint folder."""
    head = [Content.styled(clean(str(folder)), "bold"), Content("")]
    try:
        with os.scandir(folder) as entries:
            files = sorted((entry.name, entry.stat().st_size) for entry in entries if entry.is_file())
    except OSError as error:
        return Content("\n").join([*head, Content.styled(f"! could not be read: {(error.strerror or 'refused').lower()}", "$text-error")])
    rows = [Content(f"{words.size(size):>10}  {clean(name)}") for name, size in files[:_MOST_FILES]]
    rows.append(Content.styled(f"{words.size(sum(size for _, size in files)):>10}  in {len(files)} files", "bold"))
    how = [
        Content(""),
        Content.styled("load it", "dim"),
        *(Content(line) for line in loading(folder, [name for name, _ in files])),
        Content(""),
        Content.styled("y copy the path · esc close", "dim"),
    ]
    return Content("\n").join([*head, *rows, *how])


def loading(folder: Path, files: Sequence[str]) -> list[str]:
    """The line that loads a checkpoint, and the packages that it takes in addition to transformers."""
    path = clean(str(folder))
    if found := next((name for name in files if name.endswith(".gguf") and name != "imatrix.gguf"), None):
        return [f"llama-server -m {shlex.quote(f'{path}/{clean(found)}')}"]
    try:
        settings = read_object(folder / "config.json").get("quantization_config")
    except LlmoptError:
        settings = None
    package = _PACKAGES.get(str(settings.get("quant_method"))) if isinstance(settings, dict) else None
    return [f"AutoModelForCausalLM.from_pretrained({path!r})", *([f"with {package} installed"] if package else [])]

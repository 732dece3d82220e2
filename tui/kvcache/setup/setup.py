"""What to do: three experiments, each with its form and what it will take."""

from __future__ import annotations

from functools import partial
from typing import Any

from core.kvcache.catalog.settings import SchemeSettings
from core.kvcache.pages.spec import PagesSpec
from core.kvcache.spec import KvCacheSpec
from core.kvcache.why.spec import KvCacheWhySpec
from core.spec import Spec
from tui.experiment.setup import SetupView, sections
from tui.experiment.setups import Setups
from tui.kvcache.setup import foreseen
from tui.kvcache.setup.guide import guide
from tui.services.services import services_of
from tui.widgets.form.form import Sections
from tui.widgets.form.mark_picker import PickedNames
from tui.widgets.form.table_picker import Options

SCHEMES, WHY, PAGES = "schemes", "why", "pages"


class SchemesSetup(SetupView[KvCacheSpec]):
    """Schemes side by side, chosen from a table of what each would be for the model."""

    def __init__(self) -> None:
        editors = {"schemes": partial(PickedNames, read=self._schemes), "heads": partial(PickedNames, read=self._heads)}
        super().__init__(KvCacheSpec, foreseen.schemes, _sections(KvCacheSpec, "schemes", "sizes", "text"), editors, guide)

    def _schemes(self) -> Options:
        spec = self.spec()
        settings = SchemeSettings() if spec is None else spec.settings()
        return foreseen.scheme_options(services_of(self).models, self.form.model, settings)

    def _heads(self) -> Options:
        return foreseen.head_options(services_of(self).models, self.form.model)


def setups(id: str) -> Setups:  # noqa: A002
    """The three forms."""
    views: dict[str, SetupView[Any]] = {
        SCHEMES: SchemesSetup(),
        WHY: SetupView(KvCacheWhySpec, foreseen.why, _sections(KvCacheWhySpec, "lengths")),
        PAGES: SetupView(PagesSpec, foreseen.pages, _sections(PagesSpec, "what", "decode")),
    }
    return Setups(views, "schemes: compare cache schemes; why: a cache against none; pages: the blocks of a paged cache", id=id)


def _sections(spec_class: type[Spec], *opened: str) -> Sections:
    return sections(spec_class, [name for title, names in spec_class.sections if title in opened for name in names])

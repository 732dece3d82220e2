"""What to do: three experiments, each with its form and what it will take."""

from __future__ import annotations

from functools import partial

from core.kvcache.catalog.settings import SchemeSettings
from core.kvcache.pages.spec import PagesSpec
from core.kvcache.spec import KvCacheSpec
from core.kvcache.why.spec import KvCacheWhySpec
from core.runs.launch.admission import Admission
from tui.experiment.fit import Fit
from tui.experiment.setup import SetupView
from tui.experiment.setups import Setups
from tui.kvcache.setup import foreseen
from tui.kvcache.setup.guide import guide, sections
from tui.services.services import services_of
from tui.widgets.form.mark_picker import PickedNames
from tui.widgets.form.table_picker import Options

SCHEMES, WHY, PAGES = "schemes", "why", "pages"


class SchemesSetup(SetupView[KvCacheSpec]):
    """Schemes side by side."""

    def __init__(self) -> None:
        editors = {"schemes": partial(PickedNames, read=self._schemes), "heads": partial(PickedNames, read=self._heads)}
        super().__init__(KvCacheSpec, sections(KvCacheSpec, ("schemes", "sizes", "text")), editors, guide)

    def foreseen(self, spec: KvCacheSpec, found: Admission) -> Fit:
        return foreseen.schemes(spec, found)

    def _schemes(self) -> Options:
        spec = self.spec()
        settings = SchemeSettings() if spec is None else spec.settings()
        return foreseen.scheme_options(services_of(self).models, self.form.model, settings)

    def _heads(self) -> Options:
        return foreseen.head_options(services_of(self).models, self.form.model)


class WhySetup(SetupView[KvCacheWhySpec]):
    """Cache against none."""

    def __init__(self) -> None:
        super().__init__(KvCacheWhySpec, sections(KvCacheWhySpec, ("lengths",)))

    def foreseen(self, spec: KvCacheWhySpec, found: Admission) -> Fit:
        return foreseen.why(spec, found)


class PagesSetup(SetupView[PagesSpec]):
    """Blocks, live."""

    def __init__(self) -> None:
        super().__init__(PagesSpec, sections(PagesSpec, ("what", "decode")))

    def foreseen(self, spec: PagesSpec, found: Admission) -> Fit:
        return foreseen.pages(spec, found)


def setups(id: str) -> Setups:  # noqa: A002
    """The three forms."""
    views: dict[str, SetupView[KvCacheSpec] | SetupView[KvCacheWhySpec] | SetupView[PagesSpec]] = {
        SCHEMES: SchemesSetup(),
        WHY: WhySetup(),
        PAGES: PagesSetup(),
    }
    return Setups(views, "schemes: compare cache schemes; why: a cache against none; pages: the blocks of a paged cache", id=id)

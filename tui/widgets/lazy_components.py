"""Component classes that are styled when they are first painted: most widgets of a tab are mounted hidden, and paint few of theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.css.styles import RenderStyles
from textual.dom import DOMNode

if TYPE_CHECKING:
    from textual.widget import Widget as Base
else:
    Base = object
    # Textual takes the style sheet of the first base that is a widget: this one has none.


class LazyComponents(Base):
    """Goes before a widget class that has component classes.

    Textual styles every component class whenever it styles the widget, each as a node of its own. With this mixin it styles those that have been
    asked for.
    """

    _painted: frozenset[str] = frozenset()

    def _get_component_classes(self) -> frozenset[str]:  # type: ignore[override]
        return self._painted

    def get_component_styles(self, *names: str) -> RenderStyles:
        """The styles of these component classes, later ones over earlier ones."""
        known = super()._get_component_classes()
        for name in names:
            if name not in self._component_styles and name in known:
                node = DOMNode(classes=name)
                node._attach(self)
                self.app.stylesheet.apply(node, animate=False)
                self._component_styles[name] = node.styles
                self._painted |= {name}
        return super().get_component_styles(*names)

"""Help that `?` shows: the purpose of the screen, or of the part that has the focus, and every key that works there."""

from collections.abc import Iterable, Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

HIDDEN_KEYS = frozenset({"tab", "shift+tab", "ctrl+c", "super+c", "ctrl+q"})


def key_rows(bindings: Iterable[tuple[str, str, str]]) -> list[tuple[str, str]]:
    """(keys, action) rows from (key, its display, action): keys with the same action are side by side, in the order of the first."""
    rows: dict[str, list[str]] = {}
    for key, shown, meaning in bindings:
        if meaning and key not in HIDDEN_KEYS and shown not in rows.setdefault(meaning, []):
            rows[meaning].append(shown)
    return [(" ".join(shown), meaning) for meaning, shown in rows.items() if shown]


class HelpScreen(ModalScreen[None]):
    """Help over the screen that it explains; any of its own keys closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape,question_mark,q,enter,space", "dismiss", "Close"),
        ("up,k", "scroll(-1)", "Up"),
        ("down,j", "scroll(1)", "Down"),
    ]

    def __init__(self, title: str, about: Sequence[str], keys: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._title, self._about, self._keys = title, about, keys

    def compose(self) -> ComposeResult:
        """The text, then the keys."""
        with VerticalScroll(id="help") as box:
            box.border_title = self._title
            box.border_subtitle = "esc closes"
            for words in self._about:
                yield Static(Text(words), classes="help--words")
            yield Static(self._table(), classes="help--keys")

    def _table(self) -> Text:
        width = max((len(keys) for keys, _ in self._keys), default=0)
        return Text("\n").join(Text.assemble((keys.rjust(width), "bold"), "  ", meaning) for keys, meaning in self._keys)

    def action_scroll(self, lines: int) -> None:
        """Scroll up or down."""
        self.query_one("#help", VerticalScroll).scroll_relative(y=lines, animate=False)

"""Prompts over a screen: choose from a list (`Choose`), or enter a line of text that is checked (`Ask`). Esc cancels.

The result of both is the choice or the text, None after Esc.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static

from alphapulse_cli.edges.safe_text import safe


class Choose(ModalScreen[str | None]):
    """A list that shrinks to the entries with the typed words; Enter takes the marked one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Close", show=False),
        Binding("down", "mark(1)", "Down", show=False, priority=True),
        Binding("up", "mark(-1)", "Up", show=False, priority=True),
    ]

    def __init__(self, title: str, choices: Sequence[str]) -> None:
        super().__init__()
        self._title, self._choices = title, list(choices)
        self._found = self._choices

    def compose(self) -> ComposeResult:
        """The line to type in, then the list."""
        with Vertical(id="prompt") as box:
            box.border_title = self._title
            box.border_subtitle = "enter goes there, esc closes"
            yield Input(placeholder="some of its letters", compact=True)
            yield OptionList(*(Text(safe(one)) for one in self._choices), compact=True)

    def on_mount(self) -> None:
        """Mark the first entry."""
        self.query_one(OptionList).can_focus = False
        self.query_one(Input).focus()
        self._list(self._choices)

    @on(Input.Changed)
    def _narrow(self, event: Input.Changed) -> None:
        """Show the entries that have all the words; entries that begin with the text are first."""
        text = event.value.strip().lower()
        found = [one for one in self._choices if all(word in one.lower() for word in text.split())]
        self._list(sorted(found, key=lambda one: not one.lower().startswith(text)))

    def _list(self, found: Sequence[str]) -> None:
        self._found = list(found)
        shown = self.query_one(OptionList)
        shown.clear_options()
        shown.add_options([Text(safe(one)) for one in self._found])
        shown.highlighted = 0 if self._found else None

    def action_mark(self, by: int) -> None:
        """Mark the next entry, or the previous one."""
        shown = self.query_one(OptionList)
        if self._found:
            shown.highlighted = ((shown.highlighted or 0) + by) % len(self._found)

    @on(Input.Submitted)
    def _take(self) -> None:
        at = self.query_one(OptionList).highlighted
        if at is not None and at < len(self._found):
            self.dismiss(self._found[at])

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._found[event.option_index])


class Ask(ModalScreen[str | None]):
    """A line of text. `wrong` returns its error, "" for a valid text; Enter takes only a valid one."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss", "Close", show=False)]

    def __init__(self, title: str, about: str, value: str, wrong: Callable[[str], str]) -> None:
        super().__init__()
        self._title, self._about, self._value, self._wrong = title, about, value, wrong

    def compose(self) -> ComposeResult:
        """The question, the line, the error."""
        with Vertical(id="prompt") as box:
            box.border_title = safe(self._title)
            box.border_subtitle = "enter takes it, esc leaves it as it was"
            yield Static(Text(self._about), classes="prompt--about")
            yield Input(self._value, compact=True)
            yield Static("", id="prompt-wrong")

    def on_mount(self) -> None:
        """Give the line the focus."""
        self.query_one(Input).focus()

    @on(Input.Submitted)
    def _take(self, event: Input.Submitted) -> None:
        wrong = self._wrong(event.value)
        if wrong:
            self.query_one("#prompt-wrong", Static).update(Text(safe(wrong)))
        else:
            self.dismiss(event.value.strip())

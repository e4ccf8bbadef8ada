"""The table of the numbered screens. A screen's module is imported when it is first shown; one that is not there is not there."""

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from alphapulse_cli.tui.screens.base import PulseScreen

PACKAGE = "alphapulse_cli.tui.screens"


@dataclass(frozen=True, slots=True)
class Tab:
    """One row: the key, the name in commands and in the memory, the title on the screen."""

    key: str
    name: str
    title: str
    class_name: str


ALL = (
    Tab("1", "overview", "Overview", "OverviewScreen"),
    Tab("2", "books", "Books", "BooksScreen"),
    Tab("3", "latency", "Latency", "LatencyScreen"),
    Tab("4", "tape", "Tape", "TapeScreen"),
    Tab("5", "arbitrage", "Arbitrage", "ArbitrageScreen"),
    Tab("6", "rings", "Rings", "RingsScreen"),
)
TABS = tuple(tab for tab in ALL if importlib.util.find_spec(f"{PACKAGE}.{tab.name}") is not None)


def makers() -> dict[str, Callable[[], PulseScreen]]:
    """Name -> what makes the screen."""
    return {tab.name: partial(_make, tab) for tab in TABS}


def _make(tab: Tab) -> PulseScreen:
    made = getattr(importlib.import_module(f"{PACKAGE}.{tab.name}"), tab.class_name)()
    assert isinstance(made, PulseScreen)
    return made

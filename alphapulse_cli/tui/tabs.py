"""The table of the numbered screens.

A screen's module is imported when it is first shown; a tab whose module is not installed is left out.
"""

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from alphapulse_cli.tui.screens.base import PulseScreen

PACKAGE = "alphapulse_cli.tui.screens"


@dataclass(frozen=True, slots=True)
class Tab:
    """One numbered screen: its key, its name in commands and in the remembered preferences, its title."""

    key: str
    name: str
    title: str
    class_name: str
    about: str  # shown in the command palette


ALL = (
    Tab("1", "overview", "Overview", "OverviewScreen", "Every book in a row: best prices, spread, trend, rates, gaps, age"),
    Tab("2", "books", "Books", "BooksScreen", "One symbol's ladders side by side, and all of them in one"),
    Tab("3", "latency", "Latency", "LatencyScreen", "How long each step takes, from the exchange's clock to here"),
    Tab("4", "tape", "Tape", "TapeScreen", "Every trade as it comes, newest first"),
    Tab("5", "arbitrage", "Arbitrage", "ArbitrageScreen", "Buy at one exchange, sell at another: what is left after fees"),
    Tab("6", "rings", "Rings", "RingsScreen", "What is in shared memory, who writes it, who reads it"),
    Tab("7", "feeds", "Feeds", "FeedsScreen", "How good each feed was: valid time, gaps, healing, delays"),
)
TABS = tuple(tab for tab in ALL if importlib.util.find_spec(f"{PACKAGE}.{tab.name}") is not None)


def makers() -> dict[str, Callable[[], PulseScreen]]:
    """Name of each tab -> function that makes its screen."""
    return {tab.name: partial(_make, tab) for tab in TABS}


def _make(tab: Tab) -> PulseScreen:
    made = getattr(importlib.import_module(f"{PACKAGE}.{tab.name}"), tab.class_name)()
    assert isinstance(made, PulseScreen)
    return made

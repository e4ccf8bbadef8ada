"""alphapulse: exact crypto order books and trades in lock-free shared memory, readable by any process in about a microsecond.

    import alphapulse_cli as ap

    for update in ap.follow("kraken", symbols=["BTC-USD"]):
        print(update.state.name, update.book.best_bid(), update.book.best_ask())

The public names are resolved when they are first asked for: importing the package imports nothing else.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alphapulse_cli.apps.api import Book, DeltaReader, TradeReader, follow, to_pandas
    from alphapulse_cli.apps.arb_api import arbitrage
    from alphapulse_cli.book.reconstruct import Reconstructor
    from alphapulse_cli.flow.arbitrage.candidate import ArbitragePolicy
    from alphapulse_cli.flow.arbitrage.detector import ArbitrageDetector

__version__ = "0.1.0"
__all__ = [
    "ArbitrageDetector",
    "ArbitragePolicy",
    "Book",
    "DeltaReader",
    "Reconstructor",
    "TradeReader",
    "__version__",
    "arbitrage",
    "follow",
    "to_pandas",
]

_PLACES = {  # public name: where it is, and what it is called there
    "ArbitrageDetector": ("alphapulse_cli.flow.arbitrage.detector", "ArbitrageDetector"),
    "ArbitragePolicy": ("alphapulse_cli.flow.arbitrage.candidate", "ArbitragePolicy"),
    "Reconstructor": ("alphapulse_cli.book.reconstruct", "Reconstructor"),
    "arbitrage": ("alphapulse_cli.apps.arb_api", "arbitrage"),
    **{name: ("alphapulse_cli.apps.api", name) for name in ("Book", "DeltaReader", "TradeReader", "follow", "to_pandas")},
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    module, there = _PLACES[name]
    found = getattr(importlib.import_module(module), there)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

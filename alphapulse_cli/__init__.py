"""alphapulse: exact crypto order books and trades in lock-free shared memory, readable by any process in about a microsecond.

    import alphapulse_cli as ap

    for update in ap.follow("kraken", symbols=["BTC-USD"]):
        print(update.state.name, update.book.best_bid(), update.book.best_ask())

The public names are resolved when they are first asked for: importing the package imports nothing else.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alphapulse_cli.apps.api import Book, DeltaReader, TradeReader, follow, to_pandas
    from alphapulse_cli.book.reconstruct import Reconstructor

__version__ = "0.1.0"
__all__ = ["Book", "DeltaReader", "Reconstructor", "TradeReader", "__version__", "follow", "to_pandas"]

_PLACES = dict.fromkeys(("Book", "DeltaReader", "TradeReader", "follow", "to_pandas"), "alphapulse_cli.apps.api")
_PLACES["Reconstructor"] = "alphapulse_cli.book.reconstruct"


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    found = getattr(importlib.import_module(_PLACES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

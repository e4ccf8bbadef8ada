"""alphapulse: exact crypto order books and trades in lock-free shared memory, readable by any process in about a microsecond.

    import alphapulse_cli as ap

    for update in ap.follow("kraken", symbols=["BTC-USD"]):
        print(update.state.name, update.book.best_bid(), update.book.best_ask())

The public names are resolved when they are first asked for: importing the package imports nothing else.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alphapulse_cli.apps.arb.api import arbitrage
    from alphapulse_cli.apps.candles.api import candles
    from alphapulse_cli.apps.datasets import Dataset, load
    from alphapulse_cli.apps.export.export import export
    from alphapulse_cli.apps.past import at, replay
    from alphapulse_cli.apps.verify.api import verify
    from alphapulse_cli.book.reconstruct import Reconstructor
    from alphapulse_cli.errors import (
        AlphapulseError,
        DecodeError,
        ExchangeError,
        IntegrityError,
        NoSegment,
        NotASegment,
        Refused,
        SegmentError,
        SegmentGone,
        StorageError,
        UsageError,
        WriterAlive,
        WrongLayout,
    )
    from alphapulse_cli.flow.arbitrage.candidate import ArbitragePolicy
    from alphapulse_cli.flow.arbitrage.detector import ArbitrageDetector
    from alphapulse_cli.market.trading_status import TradingStatus
    from alphapulse_cli.readers.api import Book, DeltaReader, TradeReader, follow
    from alphapulse_cli.readers.columns import (
        changes,
        exchange_times,
        feed_delays,
        price_decimals,
        prices,
        size_decimals,
        sizes,
        times,
        to_pandas,
    )
    from alphapulse_cli.readers.feeds import FeedCard, feeds

__version__ = "0.1.0"
__all__ = [
    "AlphapulseError",
    "ArbitrageDetector",
    "ArbitragePolicy",
    "Book",
    "Dataset",
    "DecodeError",
    "DeltaReader",
    "ExchangeError",
    "FeedCard",
    "IntegrityError",
    "NoSegment",
    "NotASegment",
    "Reconstructor",
    "Refused",
    "SegmentError",
    "SegmentGone",
    "StorageError",
    "TradeReader",
    "TradingStatus",
    "UsageError",
    "WriterAlive",
    "WrongLayout",
    "__version__",
    "arbitrage",
    "at",
    "candles",
    "changes",
    "exchange_times",
    "export",
    "feed_delays",
    "feeds",
    "follow",
    "load",
    "price_decimals",
    "prices",
    "replay",
    "size_decimals",
    "sizes",
    "times",
    "to_pandas",
    "verify",
]

_MODULES = {  # where a public name is; an error that is not listed is in `errors`
    "ArbitrageDetector": "flow.arbitrage.detector",
    "ArbitragePolicy": "flow.arbitrage.candidate",
    "Reconstructor": "book.reconstruct",
    "TradingStatus": "market.trading_status",
    "arbitrage": "apps.arb.api",
    **dict.fromkeys(("Dataset", "load"), "apps.datasets"),
    **dict.fromkeys(("at", "replay"), "apps.past"),
    "candles": "apps.candles.api",
    "export": "apps.export.export",
    "verify": "apps.verify.api",
    **dict.fromkeys(("Book", "DeltaReader", "TradeReader", "follow"), "readers.api"),
    **dict.fromkeys(("FeedCard", "feeds"), "readers.feeds"),
    **dict.fromkeys(("changes", "price_decimals", "prices", "size_decimals", "sizes"), "readers.columns"),
    **dict.fromkeys(("exchange_times", "feed_delays", "times", "to_pandas"), "readers.columns"),
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    found = getattr(importlib.import_module(f"{__name__}.{_MODULES.get(name, 'errors')}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

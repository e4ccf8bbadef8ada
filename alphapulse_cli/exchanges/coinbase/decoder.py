"""Constructor of Coinbase's decoders, one per mode. Rules S1… are in feed.py, C1… in advanced.py, X1… in exchange.py."""

from collections.abc import Collection, Sequence

from alphapulse_cli.exchanges.coinbase.advanced import AdvancedFeed
from alphapulse_cli.exchanges.coinbase.exchange import ExchangeFeed
from alphapulse_cli.exchanges.coinbase.facts import ADVANCED, FACTS
from alphapulse_cli.market.instrument import Instrument


def Decoder(  # noqa: N802  # the name that every exchange gives its decoder
    instruments: Sequence[Instrument],
    channels: Collection[str],
    depth: int = 0,  # noqa: ARG001  # both feeds send the full book and nothing else
    mode: str = "",
) -> AdvancedFeed | ExchangeFeed:
    """Make a decoder for these instruments and our channels {"book", "trades"}; `depth` has no effect.

    KeyError for an unknown mode.
    """
    feed = AdvancedFeed if FACTS.mode(mode).name == ADVANCED else ExchangeFeed
    return feed(instruments, channels)

"""The exchange's side of one Coinbase connection, in either mode: what a client sends in, the exchange's frames out.

What the two have in common lives here: who is subscribed to what, under which product's name, and the answers' order. Each feed's
own words are in advanced_encoder.py and exchange_encoder.py.
"""

from alphapulse_cli.exchanges.coinbase.advanced_encoder import AdvancedEncoder
from alphapulse_cli.exchanges.coinbase.exchange_encoder import ExchangeEncoder
from alphapulse_cli.exchanges.coinbase.facts import ADVANCED, FACTS
from alphapulse_cli.exchanges.protocol import Truth


def Encoder(truth: Truth, mode: str = "") -> AdvancedEncoder | ExchangeEncoder:  # noqa: N802  # every exchange's name for it
    """The server side of one connection. KeyError for no such mode."""
    return (AdvancedEncoder if FACTS.mode(mode).name == ADVANCED else ExchangeEncoder)(truth)

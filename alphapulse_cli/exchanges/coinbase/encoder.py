"""Constructor of Coinbase's encoders, the server side of one connection in either mode.

The subscriptions and the reading of client messages that both share are in server.py; each feed's frames are in advanced_encoder.py
and exchange_encoder.py.
"""

from alphapulse_cli.exchanges.coinbase.advanced_encoder import AdvancedEncoder
from alphapulse_cli.exchanges.coinbase.exchange_encoder import ExchangeEncoder
from alphapulse_cli.exchanges.coinbase.facts import ADVANCED, FACTS
from alphapulse_cli.exchanges.protocol import Truth


def Encoder(truth: Truth, mode: str = "") -> AdvancedEncoder | ExchangeEncoder:  # noqa: N802  # every exchange's name for it
    """Make the encoder of one connection. KeyError for an unknown mode."""
    return (AdvancedEncoder if FACTS.mode(mode).name == ADVANCED else ExchangeEncoder)(truth)

"""Coinbase: the Advanced Trade feed (the default) and, as mode "exchange", the older Exchange feed; both work without keys."""

from alphapulse_cli.exchanges.coinbase.decoder import Decoder
from alphapulse_cli.exchanges.coinbase.encoder import NOT_SIMULATED, Encoder
from alphapulse_cli.exchanges.coinbase.facts import FACTS
from alphapulse_cli.exchanges.coinbase.instruments import parse_instruments
from alphapulse_cli.exchanges.coinbase.rest import RestEncoder

__all__ = ["FACTS", "NOT_SIMULATED", "Decoder", "Encoder", "RestEncoder", "parse_instruments"]

"""Kraken, Spot WebSocket v2: facts, decoder and encoder. Rules K1… are in `decoder`."""

from alphapulse_cli.exchanges.kraken.decoder import Decoder
from alphapulse_cli.exchanges.kraken.encoder import NOT_SIMULATED, Encoder
from alphapulse_cli.exchanges.kraken.facts import FACTS
from alphapulse_cli.exchanges.kraken.pairs import parse_instruments
from alphapulse_cli.exchanges.kraken.rest import RestEncoder

__all__ = ["FACTS", "NOT_SIMULATED", "Decoder", "Encoder", "RestEncoder", "parse_instruments"]

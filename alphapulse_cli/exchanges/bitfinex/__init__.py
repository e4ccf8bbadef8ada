"""Bitfinex, WebSocket v2: facts, decoder and encoder. Rules F1… are in `decoder`."""

from alphapulse_cli.exchanges.bitfinex.decoder import Decoder
from alphapulse_cli.exchanges.bitfinex.encoder import NOT_SIMULATED, Encoder
from alphapulse_cli.exchanges.bitfinex.facts import FACTS
from alphapulse_cli.exchanges.bitfinex.pairs import parse_instruments, parse_volumes
from alphapulse_cli.exchanges.bitfinex.rest import RestEncoder

__all__ = ["FACTS", "NOT_SIMULATED", "Decoder", "Encoder", "RestEncoder", "parse_instruments", "parse_volumes"]

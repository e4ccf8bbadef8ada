"""Kraken, Spot WebSocket v2: facts, decoder, encoder and the book checksum. Rules K1… are in `decoder`."""

from alphapulse_cli.exchanges.kraken.checksum import book_checksum
from alphapulse_cli.exchanges.kraken.decoder import Decoder
from alphapulse_cli.exchanges.kraken.encoder import Encoder
from alphapulse_cli.exchanges.kraken.facts import FACTS
from alphapulse_cli.exchanges.kraken.pairs import parse_instruments
from alphapulse_cli.exchanges.kraken.rest import RestEncoder

__all__ = ["FACTS", "Decoder", "Encoder", "RestEncoder", "book_checksum", "parse_instruments"]

"""OKX, API v5, spot: facts, decoder and encoder. Rules O1… are in `decoder`."""

from alphapulse_cli.exchanges.okx.decoder import Decoder
from alphapulse_cli.exchanges.okx.encoder import NOT_SIMULATED, Encoder
from alphapulse_cli.exchanges.okx.facts import FACTS
from alphapulse_cli.exchanges.okx.instruments import parse_instruments, parse_volumes
from alphapulse_cli.exchanges.okx.rest import RestEncoder
from alphapulse_cli.exchanges.okx.rest_book import REST_BOOK

__all__ = ["FACTS", "NOT_SIMULATED", "REST_BOOK", "Decoder", "Encoder", "RestEncoder", "parse_instruments", "parse_volumes"]

"""Bybit, API v5, spot: facts, decoder and encoder. Rules Y1… are in `decoder`, W1… in `subscriptions`."""

from alphapulse_cli.exchanges.bybit.decoder import Decoder
from alphapulse_cli.exchanges.bybit.encoder import NOT_SIMULATED, Encoder
from alphapulse_cli.exchanges.bybit.facts import FACTS
from alphapulse_cli.exchanges.bybit.instruments import parse_instruments, parse_volumes
from alphapulse_cli.exchanges.bybit.rest import RestEncoder

__all__ = ["FACTS", "NOT_SIMULATED", "Decoder", "Encoder", "RestEncoder", "parse_instruments", "parse_volumes"]

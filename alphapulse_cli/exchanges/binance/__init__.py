"""Binance.US and Binance: one decoder and one encoder with two profiles, `BINANCE_US` and `BINANCE`, which the registry names."""

from functools import partial

from alphapulse_cli.exchanges import Exchange
from alphapulse_cli.exchanges.binance.decoder import Decoder
from alphapulse_cli.exchanges.binance.encoder import NOT_SIMULATED, Encoder
from alphapulse_cli.exchanges.binance.facts import FACTS
from alphapulse_cli.exchanges.binance.instruments import parse_instruments, parse_volumes
from alphapulse_cli.exchanges.binance.rest import RestEncoder
from alphapulse_cli.exchanges.binance.rest_book import rest_book


def _profile(name: str) -> Exchange:
    return Exchange(
        facts=FACTS[name],
        decoder=partial(Decoder, exchange=name),
        encoder=partial(Encoder, exchange=name),
        rest_encoder=partial(RestEncoder, exchange=name),
        parse_instruments=partial(parse_instruments, exchange=name),
        parse_volumes=partial(parse_volumes, exchange=name),
        rest_book=rest_book(name),
        not_simulated=NOT_SIMULATED,
    )


BINANCE_US = _profile("binance-us")
BINANCE = _profile("binance")

__all__ = ["BINANCE", "BINANCE_US", "Decoder", "Encoder", "RestEncoder", "parse_instruments", "parse_volumes"]

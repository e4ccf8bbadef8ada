"""Example, a fictitious exchange: facts, decoder and encoder. Rules E1… are in `decoder`.

It is no exchange that alphapulse collects from: `alphapulse exchanges new NAME` writes a plug-in package that begins as a copy of it.
"""

from alphapulse_cli.exchanges.example.decoder import Decoder
from alphapulse_cli.exchanges.example.encoder import Encoder, RestEncoder
from alphapulse_cli.exchanges.example.facts import FACTS, LISTINGS
from alphapulse_cli.exchanges.example.instruments import parse_instruments

__all__ = ["FACTS", "LISTINGS", "Decoder", "Encoder", "RestEncoder", "parse_instruments"]

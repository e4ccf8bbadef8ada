"""Example, a fictitious exchange: facts, decoder and encoder. Rules E1… are in `decoder`.

It cannot be collected from. `alphapulse exchanges new NAME` copies it as the start of a plug-in package.
"""

from alphapulse_cli.exchanges.example.decoder import Decoder
from alphapulse_cli.exchanges.example.encoder import Encoder, RestEncoder
from alphapulse_cli.exchanges.example.facts import FACTS, LISTINGS
from alphapulse_cli.exchanges.example.instruments import parse_instruments

__all__ = ["FACTS", "LISTINGS", "Decoder", "Encoder", "RestEncoder", "parse_instruments"]

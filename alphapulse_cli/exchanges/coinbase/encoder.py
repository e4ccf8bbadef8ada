"""Constructor of Coinbase's encoders, the server side of one connection in either mode.

The subscriptions and the reading of client messages that both share are in server.py; each feed's frames are in advanced_encoder.py
and exchange_encoder.py.
"""

from alphapulse_cli.exchanges.coinbase.advanced_encoder import AdvancedEncoder
from alphapulse_cli.exchanges.coinbase.exchange_encoder import ExchangeEncoder
from alphapulse_cli.exchanges.coinbase.facts import ADVANCED, FACTS
from alphapulse_cli.exchanges.protocol import Truth

NOT_SIMULATED = (  # rows of docs/reference/simulators.md
    ("advanced: futures, perpetuals, prediction markets", "`product_type` other than SPOT has no products"),
    ("advanced: `aggregation_price_increment` of a product book, `/v2/prices`", "the plain book; 404"),
    ("advanced: more than 1000 past trades, or candles before the simulator's start", "as many as there are"),
    ("advanced: `market_trades` and `ticker` batched over up to 250 ms", "one frame a step of the market"),
    ("exchange: channels `level2`, `level3`, `full`, `user`", "refused: they need keys there too"),
    ("exchange: channels `rfq_matches`, `auctionfeed`, `balance`", "refused as a channel that does not exist"),
    ("exchange: book of level 3, RFQ and conversion volumes", "400; 0"),
    ("exchange: `level2_batch` batched over 50 ms", "one frame a step of the market"),
    ("both: a product's largest order, market capitalisation, icon", "BTC-USD's for all products; empty"),
    ("both: the smallest order in base units, which the Exchange tells no more", "told, so that a change of it can be tried"),
    ("both: networks, withdrawal limits, address patterns of currencies", "empty; an `asset_id` is made of the code"),
    ("both: a connection without a subscription in 5 s is closed", "it stays open"),
)


def Encoder(truth: Truth, mode: str = "") -> AdvancedEncoder | ExchangeEncoder:  # noqa: N802  # every exchange's name for it
    """Make the encoder of one connection. KeyError for an unknown mode."""
    return (AdvancedEncoder if FACTS.mode(mode).name == ADVANCED else ExchangeEncoder)(truth)

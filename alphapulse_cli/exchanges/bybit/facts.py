"""Facts of Bybit's spot market, API v5: addresses, limits and peculiarities.

A symbol in which nothing happens is silent: no heartbeat is promised. REST is read for the instrument metadata only; where an
address is refused there (api.bybit.com answers 403 to some countries, while the WebSocket serves them), another is set with
`--rest-url`. Customers of some countries have hosts of their own, which carry the same protocol: stream.bybit.tr, stream.bybit.kz.
"""

from alphapulse_cli.exchanges.protocol import BEFORE_SNAPSHOT, SEQUENCE, BlindSpot, Facts, Mode, Rate

NAME = "bybit"
INSTRUMENTS, TICKERS = "/v5/market/instruments-info", "/v5/market/tickers"
DEPTHS, DEFAULT_DEPTH = (50, 200, 1000), 50
MOST_ARGS = 10  # topics of one request
MOST_TEXT = 21_000  # characters of all topics of one connection
MOST_TRADES = 1024  # of one frame

FACTS = Facts(
    name=NAME,
    title="Bybit",
    modes=(
        Mode(
            name="spot",
            websocket_url="wss://stream.bybit.com/v5/public/spot",
            rest_url="https://api.bybit.com",
            validates="update number `u` of every message, without a hole",
            full_depth=False,
            depths=DEPTHS,
            default_depth=DEFAULT_DEPTH,
            proofs=(SEQUENCE,),
            blind_spots=(
                BlindSpot("sequence-unpromised", "the exchange does not promise that its update numbers have no holes"),
                BEFORE_SNAPSHOT,
                BlindSpot("trades-unnumbered", "trade ids are of no order: a lost trade is not seen"),
            ),
            crossed_s=1.0,  # the exchange does not promise that `u` has no holes
        ),
    ),
    instruments_path=f"{INSTRUMENTS}?category=spot",
    volumes_path=f"{TICKERS}?category=spot",
    rest_weight=Rate.within(
        300, 5.0, burst=50
    ),  # the exchange's limit: 600 in five seconds from an address, then a ban of ten minutes
    connects=Rate.within(400, 300.0, burst=50),  # the exchange's limit: 500 in five minutes
    sends=Rate(10, 10.0),  # the exchange publishes no limit
    trades_show_loss=False,  # their ids are of no order
    subscribe_batch=MOST_ARGS // 2,  # a symbol's book and trades are two topics
    channels_per_connection=600,  # MOST_TEXT, with names of 16 characters and books of depth 1000
    taker_fee="0.001",
    quirks=(
        "depth 50 is sent every 20 ms, 200 and 1000 every 200 ms; levels that leave the window are removed explicitly",
        "one topic that the exchange does not know has the whole request refused, so the others are requested again",
        "trades have ids without an order: a trade lost with a connection does not show",
        "block trades and RPI trades are among the trades",
        "orders of the retail price improvement (RPI) are not in the book",
        "a halt is told in the instrument metadata only",
    ),
)

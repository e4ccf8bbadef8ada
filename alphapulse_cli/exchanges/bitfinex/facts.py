"""Facts of Bitfinex's WebSocket v2: addresses, flags, limits and peculiarities."""

from alphapulse_cli.exchanges.protocol import CHECKSUM, SEQUENCE, BlindSpot, Facts, Mode, Rate, Silence

NAME = "bitfinex"
VERSION = 2  # of the WebSocket API, named in the greeting
TIMESTAMP, SEQ_ALL, OB_CHECKSUM = 32768, 65536, 131072  # flags of `conf`
FLAGS = TIMESTAMP | SEQ_ALL | OB_CHECKSUM
CHECKSUM_DEPTH = 25  # the checksum covers this many levels per side, or all of a smaller subscription
CHANNELS_PER_CONNECTION = 25
TICKERS_PATH = "/v2/tickers"
ORDER_SIZES_PATH = "/v2/conf/pub:info:pair"
TRADES_PATH = "/v2/trades/{native}/hist"
MOST_TRADES = 10_000  # most trades of one GET

FACTS = Facts(
    name=NAME,
    title="Bitfinex",
    modes=(
        Mode(
            name="v2",
            websocket_url="wss://api-pub.bitfinex.com/ws/2",
            rest_url="https://api-pub.bitfinex.com",
            validates="sequence number of the connection on every frame; CRC32 of the top 25 levels a side",
            full_depth=False,
            depths=(1, 25, 100, 250),
            default_depth=100,
            proofs=(SEQUENCE, CHECKSUM),
            proof_depth=CHECKSUM_DEPTH,
            blind_spots=(
                BlindSpot("trades-unnumbered", "trade ids have gaps by themselves: only the connection's sequence shows a loss"),
            ),
            silence=Silence(20.0, 30.0),  # each channel without data has a heartbeat every 15 s
        ),
    ),
    instruments_path=f"{TICKERS_PATH}?symbols=ALL",
    further_metadata=(ORDER_SIZES_PATH,),
    volumes_path=f"{TICKERS_PATH}?symbols=ALL",
    rest_weight=Rate.within(10, 60.0, burst=5),  # the exchange's limits: 10 to 90 requests a minute, depending on the path
    connects=Rate.within(20, 60.0, burst=5),  # the exchange's limit: 20 a minute from an address
    sends=Rate(30, 5.0),  # no limit is published; a burst fits `conf` and a full connection's 25 subscriptions
    subscribe_batch=1,
    channels_per_connection=CHANNELS_PER_CONNECTION,
    taker_fee="0.002",
    quirks=(
        "prices have five significant digits and no tick: the grid follows the price, and only becomes finer while a book is on it",
        "one sequence number counts the data, heartbeat and checksum frames of all channels: a hole makes all books of the connection doubtful",
        "25 channels a connection: 12 symbols with their trades",
        "data frames name a channel number, which is another on each connection",
        "the checksum is of the numbers as JavaScript writes them, 7e-7 among them; it comes now and then, in a frame of its own",
        "a trade comes twice, at once (te) and confirmed (tu): it is published at the first; trade ids have gaps, so none shows a loss",
        "its metadata are the tickers, and `pub:info:pair` for the smallest orders: nothing tells a trading status of a pair",
        "currency codes differ from common ones: UST is USDT, UDC is USDC, IOT is IOTA, ALG is ALGO",
    ),
)

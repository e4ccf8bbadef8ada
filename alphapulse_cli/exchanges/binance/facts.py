"""Facts of Binance.US and Binance: one protocol family, two operators with their own hosts, ping rules and weights.

The server pings (Binance every 20 s, Binance.US every 3 minutes) and the WebSocket library answers; pongs count as messages, so
`SENDS` leaves room below the exchange's 5 a second. A symbol in which nothing happens is silent: no frame is promised. A stream of
an unknown symbol is acknowledged and never fed: symbols must be checked against the instrument metadata first.

A URL given in place of a mode's is used unchanged. Behind /stream frames come wrapped with their stream's name; behind /ws they
come bare, which the decoder reads as well, except for the pictures of mode depth20 with more than one symbol, which do not name
theirs. Times are milliseconds, or microseconds from Binance where the URL has `timeUnit=MICROSECOND`, as ours does: feed delays
need them.
"""

from alphapulse_cli.exchanges.protocol import SEQUENCE, BlindSpot, Facts, Mode, Rate

DIFF, DEPTH20 = "diff", "depth20"
DIFF_STREAM, PICTURE_STREAM, TRADE_STREAM = "depth@100ms", "depth20@100ms", "trade"
PICTURE_DEPTH = 20

EXCHANGE_INFO, DEPTH_PATH, TRADES_PATH = "/api/v3/exchangeInfo", "/api/v3/depth", "/api/v3/trades"
VOLUMES_PATH = "/api/v3/ticker/24hr"
MAX_STREAMS = 1024  # of one connection
SENDS = Rate.within(4, 1.0, burst=2)  # the exchange's limit: 5 a second on a connection, pongs included
CONNECTS = Rate.within(240, 300.0, burst=60)  # Binance's limit: 300 in five minutes from an address; Binance.US documents none
SNAPSHOT_LIMITS = (100, 500, 1000, 5000)
SNAPSHOT_WEIGHTS = {"binance-us": (1, 5, 10, 50), "binance": (5, 25, 50, 250)}
RECENT_TRADES = 1000  # most trades of one GET without keys
TRADES_WEIGHT = 25  # Binance's; Binance.US is assumed to count the same


def snapshot_limit(depth: int | None) -> int:
    """Smallest limit of a REST snapshot that holds `depth` levels per side; the largest for 0 or None."""
    return next((limit for limit in SNAPSHOT_LIMITS if depth and depth <= limit), SNAPSHOT_LIMITS[-1])


def snapshot_weight(exchange: str, limit: int) -> int:
    """Cost of a snapshot of that limit in the REST budget."""
    return SNAPSHOT_WEIGHTS[exchange][SNAPSHOT_LIMITS.index(limit)]


def _modes(websocket_url: str, rest_url: str) -> tuple[Mode, ...]:
    return (
        Mode(
            name=DIFF,
            websocket_url=websocket_url,
            rest_url=rest_url,
            validates="update ids U..u of every message, spliced onto a REST snapshot",
            full_depth=True,
            depths=SNAPSHOT_LIMITS,
            proofs=(SEQUENCE,),
            blind_spots=(
                BlindSpot(
                    "below-snapshot",
                    "levels below those of the first snapshot are unknown until they change",
                    SNAPSHOT_LIMITS[-1],
                ),
            ),
        ),
        Mode(
            name=DEPTH20,
            websocket_url=websocket_url,
            rest_url=rest_url,
            validates="nothing: each message is the whole top 20",
            full_depth=False,
            default_depth=PICTURE_DEPTH,
            blind_spots=(BlindSpot("pictures", "a lost picture is not seen; the next one replaces the book"),),
            shows_loss=False,
        ),
    )


_QUIRKS = (
    "a depth chosen bounds the first snapshot: levels beyond it are unknown until they change",
    "removals of levels that are not in the book are frequent and mean nothing",
    "m = the buyer was the maker: the taker sold",
    "a stream of an unknown symbol is acknowledged and stays silent",
)

BINANCE_US = Facts(
    name="binance-us",
    title="Binance.US",
    modes=_modes("wss://stream.binance.us:9443/stream", "https://api.binance.us"),
    instruments_path=EXCHANGE_INFO,
    instruments_weight=10,
    rest_weight=Rate.within(1200, 60.0, burst=600),
    connects=CONNECTS,
    sends=SENDS,
    connection_life_s=24 * 3600.0,
    subscribe_batch=100,
    channels_per_connection=MAX_STREAMS,
    volumes_path=VOLUMES_PATH,
    volumes_weight=80,  # of all symbols at once: Binance's; Binance.US is assumed to count the same
    taker_fee="0.006",  # of the dearer pairs, so that no profit is shown that the fee would eat; a lower one is configured
    quirks=(*_QUIRKS, "the server pings every 3 minutes", "its taker fee differs by pair: set your own"),
)

BINANCE = Facts(
    name="binance",
    title="Binance",
    modes=_modes("wss://stream.binance.com:9443/stream?timeUnit=MICROSECOND", "https://api.binance.com"),
    instruments_path=EXCHANGE_INFO,
    instruments_weight=20,
    rest_weight=Rate.within(6000, 60.0, burst=3000),
    connects=CONNECTS,
    sends=SENDS,
    connection_life_s=24 * 3600.0,
    subscribe_batch=100,
    channels_per_connection=MAX_STREAMS,
    volumes_path=VOLUMES_PATH,
    volumes_weight=80,  # of all symbols at once: Binance's; Binance.US is assumed to count the same
    taker_fee="0.001",
    quirks=(
        *_QUIRKS,
        "the server pings every 20 s and announces a shutdown",
        "refuses US addresses; wss://data-stream.binance.vision/stream and https://data-api.binance.vision carry the same data",
    ),
)

FACTS = {facts.name: facts for facts in (BINANCE_US, BINANCE)}

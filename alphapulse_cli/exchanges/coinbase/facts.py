"""Facts of Coinbase: two public feeds, their addresses, limits and channel names."""

from alphapulse_cli.exchanges.protocol import BOOK, SEQUENCE, TRADES, BlindSpot, Facts, Mode, Rate, Silence

ADVANCED, EXCHANGE = "advanced", "exchange"

ADVANCED_CHANNELS = {BOOK: "level2", TRADES: "market_trades"}  # names in subscriptions; data of the book come as "l2_data"
EXCHANGE_CHANNELS = {BOOK: "level2_batch", TRADES: "matches"}

FACTS = Facts(
    name="coinbase",
    title="Coinbase",
    modes=(
        Mode(
            name=ADVANCED,
            websocket_url="wss://advanced-trade-ws.coinbase.com",
            rest_url="https://api.coinbase.com",
            validates="sequence number of the connection on every frame; trade ids",
            full_depth=True,
            proofs=(SEQUENCE,),
            silence=Silence(3.0, 5.0),  # we subscribe to its heartbeat, one a second
        ),
        Mode(
            name=EXCHANGE,
            websocket_url="wss://ws-feed.exchange.coinbase.com",
            rest_url="https://api.exchange.coinbase.com",
            validates="nothing: level2_batch has no sequence number; trade ids only",
            full_depth=True,
            instruments_path="/products",
            blind_spots=(BlindSpot("no-sequence", "no sequence number and no checksum: a lost book message is not seen"),),
            silence=Silence(3.0, 5.0),
            shows_loss=False,
        ),
    ),
    instruments_path="/api/v3/brokerage/market/products",
    rest_weight=Rate(5, 5.0),  # the exchange's limit: about ten requests a second from an address
    connects=Rate(4, 1.0),  # the exchange's limit: eight a second from an address
    sends=Rate.within(8, 1.0, burst=4),  # the exchange's limit: eight a second from an address
    sends_per_address=True,
    subscribe_batch=100,
    taker_fee="0.012",
    quirks=(
        "advanced: the snapshot is one frame, about 5 MB for BTC-USD: allow WebSocket messages of 16 MiB and more",
        "advanced: one sequence number counts all frames of a connection; after a break all its books are subscribed to anew",
        "advanced: a subscription is often confirmed after its first data",
        "both: a trade's side is the maker's; it is inverted to the taker's",
        "both: without a subscription within 5 s of connecting the server disconnects; heartbeats keep quiet connections open",
        "both: a level may be removed that was never published",
        "BTC-USDC and other USDC products are aliases: their frames carry the USD product's name",
        "exchange: no sequence number and no checksum: a lost book frame cannot be seen",
        "exchange: level2_batch is confirmed as level2_50; level2, level3 and full need keys",
    ),
)

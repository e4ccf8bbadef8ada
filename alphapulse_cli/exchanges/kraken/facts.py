"""Facts of Kraken's Spot WebSocket v2: addresses, limits and peculiarities."""

from alphapulse_cli.exchanges.protocol import BEFORE_SNAPSHOT, CHECKSUM, BlindSpot, Facts, Mode, Rate, Silence

NAME = "kraken"
CHECKSUM_DEPTH = 10  # the checksum covers this many levels per side, whatever depth is subscribed

FACTS = Facts(
    name=NAME,
    title="Kraken",
    modes=(
        Mode(
            name="v2",
            websocket_url="wss://ws.kraken.com/v2",
            rest_url="https://api.kraken.com",
            validates="CRC32 of the top 10 levels a side, on every message",
            full_depth=False,
            depths=(10, 25, 100, 500, 1000),
            default_depth=10,
            proofs=(CHECKSUM,),
            proof_depth=CHECKSUM_DEPTH,
            blind_spots=(
                BlindSpot(
                    "below-checksum", "levels below the tenth are in no checksum until they rise into the top ten", CHECKSUM_DEPTH
                ),
                BlindSpot(
                    "overwritten", "a lost message of which the next one overwrites every level leaves no trace in a checksum"
                ),
                BEFORE_SNAPSHOT,
            ),
            silence=Silence(3.0, 5.0, doubt_after_s=2.0),  # a heartbeat each second in which nothing else is sent
        ),
    ),
    instruments_path="/0/public/AssetPairs",
    rest_weight=Rate.within(60, 60.0, burst=10),  # the exchange's limit: about one request a second from an address
    connects=Rate.within(140, 600.0, burst=20),  # the exchange's limit: about 150 in ten minutes, then a ban of ten minutes
    sends=Rate(5, 1.0),  # the exchange's limit is not published; beyond it the answer is "Exceeded msg rate"
    subscribe_batch=100,
    taker_fee="0.0040",
    quirks=(
        "the client cuts each side to the subscribed depth: no delete is sent for a level pushed out of it",
        "no sequence numbers: the checksum is the only proof, and at depth 10 it covers the whole book",
        "at depth 25 and more a lost message for levels below the tenth shows only when they rise into the top ten",
        "prices and sizes are JSON numbers",
        "REST says XBT and XDG where WebSocket v2 says BTC and DOGE",
    ),
)

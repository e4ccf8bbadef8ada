"""Facts of Example, a fictitious exchange: addresses, limits and peculiarities."""

from alphapulse_cli.exchanges.protocol import SEQUENCE, Facts, Mode, Rate, Silence

NAME = "example"

FACTS = Facts(
    name=NAME,
    title="Example",
    modes=(
        Mode(
            name="v1",
            websocket_url="wss://ws.example.invalid/v1",
            rest_url="https://api.example.invalid",
            validates="prev of every update is the seq of the one before",
            full_depth=True,
            proofs=(SEQUENCE,),
            silence=Silence(3.0, 5.0),  # a heartbeat each second
        ),
    ),
    instruments_path="/instruments",
    rest_weight=Rate.within(60, 60.0, burst=10),
    connects=Rate.within(20, 60.0, burst=5),
    sends=Rate(5, 5.0),
    subscribe_batch=50,
    taker_fee="0.001",
    quirks=("it does not exist",),
)

# Instruments of its simulator: symbol, native name, price decimals, size decimals, levels per side.
LISTINGS = (
    ("BTC-USD", "BTC_USD", 2, 8, 500),
    ("ETH-USD", "ETH_USD", 2, 6, 500),
    ("ETH-BTC", "ETH_BTC", 5, 6, 200),
)

"""Every feed of every built-in exchange, for the tests that hold for all alike: a new exchange is in them by being registered.

A feed is (exchange, mode); the mode of an exchange that has one only is "".
"""

from alphapulse_cli import exchanges

SAME_AS_ANOTHER = {"binance"}  # the code of binance-us at another address


def _feeds():
    for name in exchanges.BUILT_IN:
        modes = exchanges.get(name).facts.modes
        if name not in SAME_AS_ANOTHER:
            protocols = {mode.validates: mode.name for mode in reversed(modes)}  # modes of the same proof differ by their address
            yield from ((name, mode.name if len(modes) > 1 else "") for mode in modes if protocols[mode.validates] == mode.name)


FEEDS = tuple(_feeds())
EXCHANGES = tuple(dict.fromkeys(name for name, _ in FEEDS))
DEPTHS = {  # levels a side of the books of a feed that does not give the full depth
    (name, mode): facts.default_depth for name, mode in FEEDS if not (facts := exchanges.get(name).facts.mode(mode)).full_depth
}
PICTURES = {("binance-us", "depth20"), ("okx", "books5")} & set(FEEDS)  # each message is the whole book: the next one heals
NO_STATUS = {"bitfinex"}  # exchanges that tell no trading status of a market, only the whole exchange's
UNNUMBERED_TRADES = {("bybit", "")} & set(FEEDS)  # their ids have no order: a lost trade does not show


def feed_id(feed):
    """Id of a parametrised test: coinbase-advanced."""
    return "-".join(filter(None, feed))

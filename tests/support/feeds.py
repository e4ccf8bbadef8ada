"""Every feed of every built-in exchange, for the tests that hold for all alike: a new exchange is in them by being registered.

A feed is (exchange, mode); the mode of an exchange that has one only is "".
"""

from alphapulse_cli import exchanges

SAME_AS_ANOTHER = {"binance"}  # the code of binance-us at another address


def feeds_of(name):
    """Feeds of one exchange, built in or a plug-in."""
    modes = exchanges.get(name).facts.modes
    protocols = {mode.validates: mode.name for mode in reversed(modes)}  # modes of the same proof differ by their address
    return tuple((name, mode.name if len(modes) > 1 else "") for mode in modes if protocols[mode.validates] == mode.name)


def depth_of(feed):
    """Levels a side of the feed's books; None where it gives the full depth."""
    name, mode = feed
    facts = exchanges.get(name).facts.mode(mode)
    return None if facts.full_depth else facts.default_depth


FEEDS = tuple(feed for name in exchanges.BUILT_IN if name not in SAME_AS_ANOTHER for feed in feeds_of(name))
EXCHANGES = tuple(dict.fromkeys(name for name, _ in FEEDS))
DEPTHS = {feed: depth for feed in FEEDS if (depth := depth_of(feed)) is not None}
PICTURES = {("binance-us", "depth20"), ("okx", "books5")} & set(FEEDS)  # each message is the whole book: the next one heals
NO_STATUS = {"bitfinex"}  # exchanges that tell no trading status of a market, only the whole exchange's
UNNUMBERED_TRADES = {feed for feed in FEEDS if not exchanges.get(feed[0]).facts.trades_show_loss}


def feed_id(feed):
    """Id of a parametrised test: coinbase-advanced."""
    return "-".join(filter(None, feed))

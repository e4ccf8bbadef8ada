"""What ccxt makes of faults, of whichever exchange: each is raised by the calls that wait, and the next call begins anew."""

from ccxt import ExchangeError

PINGED_MS = 3000  # it pings so often, and gives up a connection when two pings were not answered
SETTINGS = {"enableRateLimit": False, "streaming": {"keepAlive": PINGED_MS}}
CONNECTION = (
    ("disconnect", "a lost connection", "NetworkError: Connection closed"),
    ("handshake-503", "maintenance at the next handshake", "NetworkError: 503"),
    ("half-open", "a dead connection", "RequestTimeout: "),
)


async def connection_and_market(report, faults, exchange, symbol, errors, unknown, is_open=lambda market: market["active"]):
    """Faults of its connection; a market that is halted; a name that is not listed.

    `errors` are the texts of what was raised so far; `unknown` is (its method, the query, the exchange's words); `is_open` reads a market.
    """
    for kind, what, words in CONNECTION:
        await faults.strike(kind, what, lambda words=words: [error for error in errors if words in error])

    async def listed_open():
        return is_open((await exchange.load_markets(reload=True))[symbol])

    await faults.halt(listed_open, "in its markets, loaded anew")
    method, query, words = unknown
    await report.refused("an unknown symbol is refused", getattr(exchange, method)(query), ExchangeError, words)

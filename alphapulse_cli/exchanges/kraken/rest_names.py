"""Names of Kraken's REST side: assets (XXBT, ZUSD) and pairs (XXBTZUSD, XBTUSD, XBT/USD, BTC/USD), for simulators.

Old assets have a code of four letters: X before a coin, Z before a currency of a state. The key of a pair is the two codes where both
are old (XXBTZUSD), else its short name (SOLUSD); of DOGE the pair with USD is younger than the rule, and is XDGUSD.
"""

from collections.abc import Mapping

from alphapulse_cli.exchanges.kraken.pairs import REST_NAMES, rest_name

COINS = ("XBT", "XDG", "ETH", "ETC", "LTC", "XRP", "XLM", "XMR", "ZEC", "REP", "MLN")
CURRENCIES = ("USD", "EUR", "GBP", "JPY", "CAD", "AUD")
CODES = {**{name: f"X{name}" for name in COINS}, **{name: f"Z{name}" for name in CURRENCIES}}
YOUNG_PAIRS = frozenset({"XDG/USD"})


def asset_code(name: str) -> str:
    """REST code of an asset: XXBT for BTC or XBT, SOL for SOL."""
    short = REST_NAMES.get(name, name)
    return CODES.get(short, short)


def pair_key(native: str) -> str:
    """Key of a pair in REST answers: XXBTZUSD for BTC/USD, SOLUSD for SOL/USD."""
    name = rest_name(native)
    base, _, quote = name.partition("/")
    is_old = base in CODES and quote in CODES and name not in YOUNG_PAIRS
    return asset_code(base) + asset_code(quote) if is_old else base + quote


def is_tokenized(native: str) -> bool:
    """Whether the base is a tokenised stock, such as AAPLx: the asset class `tokenized_asset` instead of `currency`."""
    base = native.partition("/")[0]
    return base.endswith("x") and base[:-1].isupper()


class PairNames:
    """The symbols of pairs by every name that REST takes for them."""

    def __init__(self, natives: Mapping[str, str]) -> None:
        """`natives` are the names of the WebSocket by symbol, BTC/USD by BTC-USD."""
        self.keys = {symbol: pair_key(native) for symbol, native in natives.items()}
        self._symbols: dict[str, str] = {}
        for symbol, native in natives.items():
            for name in (native, rest_name(native), rest_name(native).replace("/", ""), self.keys[symbol]):
                self._symbols[name] = symbol

    def found(self, names: str) -> list[tuple[str, str]] | None:
        """(Key of the answer, symbol) of each name of a comma list; None if one is unknown.

        The answer to a name with a slash has that very name as its key: clients look it up by it.
        """
        pairs = [(name, self._symbols.get(name)) for name in names.split(",")]
        known = [(name if "/" in name else self.keys[symbol], symbol) for name, symbol in pairs if symbol is not None]
        return known if len(known) == len(pairs) else None

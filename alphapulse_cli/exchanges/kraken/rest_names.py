"""Names of Kraken's REST side: assets (XXBT, ZUSD) and pairs (XXBTZUSD, XBTUSD, XBT/USD, BTC/USD), for simulators.

Old assets have a code of four letters: X before a coin, Z before a fiat currency. The key of a pair is the two codes if both are
old (XXBTZUSD), else its short name (SOLUSD). Exception: the key of DOGE/USD is XDGUSD.
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
    """Symbols of pairs by every name that REST accepts."""

    def __init__(self, natives: Mapping[str, str]) -> None:
        """`natives` are the names of the WebSocket by symbol, BTC/USD by BTC-USD."""
        self.keys = {symbol: pair_key(native) for symbol, native in natives.items()}
        self._symbols: dict[str, str] = {}
        for symbol, native in natives.items():
            for name in (native, rest_name(native), rest_name(native).replace("/", ""), self.keys[symbol]):
                self._symbols[name] = symbol

    def found(self, names: str) -> list[tuple[str, str]] | None:
        """Resolve a comma list of names to (key of the answer, symbol) pairs; None if a name is unknown.

        For a name with a slash, the key is that name, since clients look the answer up by it.
        """
        pairs = [(name, self._symbols.get(name)) for name in names.split(",")]
        known = [(name if "/" in name else self.keys[symbol], symbol) for name, symbol in pairs if symbol is not None]
        return known if len(known) == len(pairs) else None

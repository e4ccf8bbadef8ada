"""Bitfinex's pairs: native names, canonical symbols, and the instruments of its answers `tickers` and `pub:info:pair`.

    tBTCUSD -> BTC-USD      tDOGE:USD -> DOGE-USD      tBTCUST -> BTC-USDT

No metadata of the exchange names a tick: a price has five significant digits. So the grid comes from the ticker's prices, and the
smallest order from a second answer:

    [ tickers, [[["BTCUSD",[null,null,null,"0.00006","2000.0",…]],…]] ]      smallest and largest order, in the base currency

Tickers alone give instruments without a smallest order. A list of pairs alone (`conf/pub:list:pair:exchange`, with or without
`conf/pub:map:currency:sym` after it) is accepted too; its instruments begin on a grid of five decimals.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote

import orjson

from alphapulse_cli.errors import DecodeError, UsageError
from alphapulse_cli.exchanges.bitfinex.facts import MOST_TRADES, NAME, TRADES_PATH
from alphapulse_cli.exchanges.bitfinex.numbers import SIGNIFICANT_DIGITS, price_grid
from alphapulse_cli.exchanges.instrument_rows import NO_INSTRUMENTS, understood
from alphapulse_cli.exchanges.protocol import NOT_UNDERSTOOD, TEXT_KEPT
from alphapulse_cli.market.instrument import Instrument, check_symbol
from alphapulse_cli.market.ticks import to_ticks

SIZE_DECIMALS = 8
MAX_NATIVE = 32  # characters
CODE_LENGTH = 3  # both codes of a pair that is written without a colon
# Common names of Bitfinex's codes. The exchange's own list is `GET /v2/conf/pub:map:currency:sym`.
RENAMED = {
    "ALG": "ALGO",
    "AMP": "AMPL",
    "ATO": "ATOM",
    "BCHABC": "XEC",
    "BCHN": "BCH",
    "DAT": "DATA",
    "DSH": "DASH",
    "EUS": "EURS",
    "EUT": "EURT",
    "IOT": "IOTA",
    "MNA": "MANA",
    "QSH": "QASH",
    "QTM": "QTUM",
    "RBT": "RBTC",
    "STJ": "STORJ",
    "TSD": "TUSD",
    "UDC": "USDC",
    "UST": "USDT",
    "VSY": "VSYS",
    "WBT": "WBTC",
}
BID, ASK, LAST_PRICE, VOLUME = 1, 3, 7, 8  # indexes in a ticker's row
PRICES = (BID, ASK, LAST_PRICE)
TICKER_FIELDS = 11
SMALLEST_ORDER = 3  # index in a pair's row of `pub:info:pair`; the largest order follows


def parse_instruments(
    body: bytes,
    mode: str = "",  # noqa: ARG001  # one mode only
    ours: Mapping[str, Instrument] = NO_INSTRUMENTS,
) -> list[Instrument]:
    """Instruments of `tickers` joined with `pub:info:pair`, of `tickers` alone, or of a list of pairs.

    DecodeError for any other body, and if none of its rows is understood. Left out: funding currencies, derivatives, test pairs,
    pairs whose symbol no record can hold, and the second of two pairs with one symbol.
    """
    try:
        answer, sizes = _parted(orjson.loads(body))
        for each in (answer, sizes):
            if not isinstance(each, list) or (each and each[0] == "error"):
                raise DecodeError(f"bitfinex answers {str(each)[:100]!r}", body)
        rows, names = (_listed(answer), _renamed(answer)) if answer and _is_list_of_pairs(answer[0]) else (answer, RENAMED)
        found = understood(rows, partial(_instrument, names, _smallest_orders(sizes)), ours, _native_of)
    except NOT_UNDERSTOOD as error:
        raise DecodeError(f"not an answer of tickers: {type(error).__name__}", body) from error
    by_symbol: dict[str, Instrument] = {}
    for instrument in found:
        by_symbol.setdefault(instrument.symbol, instrument)
    return list(by_symbol.values())


def parse_volumes(body: bytes) -> dict[str, tuple[float, float]]:
    """Volumes of 24 hours in the base currency, and last prices, by native symbol. DecodeError if the body is not understood.

    Left out: funding currencies, and pairs that were never traded.
    """
    try:
        rows = orjson.loads(body)
        if not isinstance(rows, list) or (rows and rows[0] == "error"):
            raise DecodeError(f"bitfinex answers {str(rows)[:100]!r}", body)
        pairs = [row for row in rows if _native_of(row).startswith("t") and row[VOLUME] is not None and row[LAST_PRICE] is not None]
        return {row[0]: (float(row[VOLUME]), float(row[LAST_PRICE])) for row in pairs}
    except NOT_UNDERSTOOD as error:
        raise DecodeError(f"volumes not understood: {type(error).__name__}", body) from error


def codes_of(native: str) -> tuple[str, str]:
    """Split a native name into Bitfinex's codes (base, quote); ("", "") if it is not a pair of two currencies."""
    pair = native[1:]
    base, colon, quoted = pair.partition(":")
    if colon:
        return base, quoted
    return (pair[:CODE_LENGTH], pair[CODE_LENGTH:]) if len(pair) == 2 * CODE_LENGTH else ("", "")


def trades_path(native: str, since_ms: int) -> str:
    """REST path of the first trades at or after `since_ms` (since 1970)."""
    return f"{TRADES_PATH.format(native=quote(native))}?limit={MOST_TRADES}&sort=1&start={since_ms}"


def _parted(answer: Any) -> tuple[Any, Any]:
    """Split a joined body into the answers (`tickers`, `pub:info:pair`); any other body is returned with no sizes."""
    is_joined = isinstance(answer, list) and len(answer) == 2 and all(isinstance(each, list) for each in answer)
    is_joined = is_joined and (not answer[0] or answer[0][0] == "error" or isinstance(answer[0][0], list))
    return (answer[0], answer[1]) if is_joined else (answer, [])


def _smallest_orders(answer: list[Any]) -> Mapping[str, Any]:
    """Smallest order sizes by pair, as text of the exchange."""
    return {pair: fields[SMALLEST_ORDER] for pair, fields in (answer[0] if answer else ())}


def _is_list_of_pairs(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value) and not (value and value[0].startswith("t"))


def _listed(answer: list[Any]) -> list[list[Any]]:
    return [[f"t{pair}"] for pair in answer[0]]


def _renamed(answer: list[Any]) -> Mapping[str, str]:
    """Code names from the answer's own map, if it has one: [["UST","USDt"],…]."""
    for part in answer[1:]:
        if (
            isinstance(part, list)
            and part
            and all(isinstance(row, list) and [type(each) for each in row] == [str, str] for row in part)
        ):
            return {code: name.upper() for code, name in part}
    return RENAMED


def _native_of(row: Sequence[Any]) -> str:
    native = row[0]
    if not isinstance(native, str):
        raise TypeError("the symbol must be text")
    return native


def _instrument(names: Mapping[str, str], smallest: Mapping[str, Any], row: Sequence[Any]) -> Instrument | None:
    """Instrument of a ticker's row, or of a bare pair name; None for one that cannot be collected."""
    if not isinstance(row, list):
        raise TypeError("a row must be a list")
    native = _native_of(row)
    base, quoted = codes_of(native)
    is_pair = native.startswith("t") and base and quoted and len(native) <= MAX_NATIVE
    if not is_pair or base.startswith("TEST") or base.endswith("F0") or quoted.endswith("F0"):
        return None
    try:
        symbol = check_symbol(f"{names.get(base, base)}-{names.get(quoted, quoted)}")
    except UsageError:
        return None
    exponents = [] if len(row) < TICKER_FIELDS else [_exponent(row[place]) for place in PRICES if row[place]]
    decimals, tick = price_grid(min(exponents)) if exponents else (SIGNIFICANT_DIGITS, 1)
    smallest_order = smallest.get(native[1:])
    least = 0 if smallest_order is None else to_ticks(smallest_order, SIZE_DECIMALS)
    return Instrument(NAME, symbol, native, decimals, SIZE_DECIMALS, tick_size_ticks=tick, min_size_lots=least)


def _exponent(price: object) -> int:
    """Power of ten of a price's first digit: 4 for 63310, -2 for 0.0397. ValueError for anything but a price."""
    if type(price) not in (int, float) or not 0 < price < float("inf"):  # type: ignore[operator]
        raise ValueError(f"not a price: {str(price)[:TEXT_KEPT]!r}")
    return int(f"{price:.16e}".partition("e")[2])

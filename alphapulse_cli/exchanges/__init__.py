"""Registry of exchanges: facts, a decoder and an encoder for each.

    exchange = exchanges.get("kraken")             # UsageError for an unknown name, with the nearest ones
    instruments = exchange.parse_instruments(body, mode)
    decoder = exchange.decoder(instruments, {BOOK, TRADES}, depth=0, mode=mode)

Importing the registry imports no exchange: each is a path, "module" or "module:attribute", resolved on demand. It leads to an
`Exchange`, or to a module with FACTS, Decoder, Encoder, RestEncoder, parse_instruments, perhaps parse_volumes and
REST_BOOK, and for its simulator LISTINGS and NOT_SIMULATED. Third-party exchanges are entry points of the group
"alphapulse.exchanges"; they cannot take a built-in name.
"""

import importlib
import os
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from alphapulse_cli.errors import UsageError
from alphapulse_cli.exchanges.protocol import Decoder, Encoder, Facts, NotSimulated, RestBook, RestEncoder, Truth
from alphapulse_cli.market.instrument import Instrument

ENTRY_POINTS = "alphapulse.exchanges"
BUILT_IN = {
    "kraken": "alphapulse_cli.exchanges.kraken",
    "coinbase": "alphapulse_cli.exchanges.coinbase",
    "binance-us": "alphapulse_cli.exchanges.binance:BINANCE_US",
    "binance": "alphapulse_cli.exchanges.binance:BINANCE",
    "okx": "alphapulse_cli.exchanges.okx",
    "bitfinex": "alphapulse_cli.exchanges.bitfinex",
    "bybit": "alphapulse_cli.exchanges.bybit",
}
REFUSED = {
    "ftx": "FTX closed in November 2022: it has no market data to collect",
    "ftx-us": "FTX US closed in November 2022: it has no market data to collect",
}


Listed = tuple[str, str, int, int, int]  # symbol, native name, price decimals, size decimals, levels per side of the simulated book


@dataclass(frozen=True, slots=True)
class Exchange:
    """One exchange: its facts and the constructors of its parts. `mode` is a name from `facts.modes`, "" the default."""

    facts: Facts
    decoder: Callable[[Iterable[Instrument], Collection[str], int, str], Decoder]  # instruments, channels, depth, mode
    encoder: Callable[[Truth, str], Encoder]  # truth, mode
    rest_encoder: Callable[[Truth, str], RestEncoder]  # truth, mode
    parse_instruments: Callable[[bytes, str], Sequence[Instrument]]  # body, mode; raises DecodeError
    parse_volumes: Callable[[bytes], Mapping[str, tuple[float, float]]] | None = (
        None  # body of `facts.volumes_path`; native name ->
    )
    # (volume of 24 hours in the base currency, last price); raises DecodeError
    listings: Sequence[Listed] = ()  # instruments of its simulator, where `sim.listings` does not have them: a plug-in's
    rest_book: RestBook | None = None  # book by REST that can be compared with a followed one
    not_simulated: Sequence[NotSimulated] = ()  # missing features of the simulator: rows of docs/reference/simulators.md


def names() -> list[str]:
    """Names that `get` accepts: built-in exchanges first, then plug-ins, sorted."""
    return [*BUILT_IN, *sorted(_entry_points())]


def get(name: str) -> Exchange:
    """Return the exchange of that name; UsageError, with the nearest names, if there is none or its plug-in cannot be loaded."""
    if name.lower() in REFUSED:
        raise UsageError(REFUSED[name.lower()], f"exchanges are: {', '.join(names())}")
    if name in BUILT_IN:
        return _exchange(name, _resolve(BUILT_IN[name]))
    entry_points = _entry_points()
    if name not in entry_points:
        raise UsageError(f"unknown exchange: {name[:40]!r}", _nearest(name))
    try:
        return _exchange(name, entry_points[name].load())
    except (ImportError, AttributeError, TypeError) as error:
        raise UsageError(
            f"the plug-in of exchange {name!r} cannot be used: {error}", f"it is {entry_points[name].value}"
        ) from error


def _entry_points() -> dict[str, Any]:
    if "importlib.metadata" not in sys.modules and not _may_have_plug_ins():
        return {}
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=ENTRY_POINTS) if point.name not in BUILT_IN | REFUSED}


def _may_have_plug_ins() -> bool:
    """Whether any installed distribution names our group: importlib.metadata, which knows, takes a tenth of a command's start to import."""
    for place in sys.path:
        try:
            with os.scandir(place or ".") as entries:
                named = [entry.path for entry in entries if entry.name.endswith((".dist-info", ".egg-info"))]
        except FileNotFoundError:
            continue
        except OSError:  # a zip file, or what only others can read
            return True
        for path in named:
            try:
                with open(os.path.join(path, "entry_points.txt"), "rb") as file:  # noqa: PTH118, PTH123 pathlib is ten times slower
                    if ENTRY_POINTS.encode() in file.read():
                        return True
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError:
                return True
    return False


def _resolve(place: str) -> object:
    module, _, attribute = place.partition(":")
    found = importlib.import_module(module)
    return getattr(found, attribute) if attribute else found


def _exchange(name: str, found: object) -> Exchange:
    exchange = _of_module(found) if isinstance(found, ModuleType) else found
    if not isinstance(exchange, Exchange) or exchange.facts.name != name:
        raise TypeError(f"its entry point holds no exchange of the name {name!r}")
    return exchange


def _of_module(module: ModuleType) -> Exchange:
    return Exchange(
        facts=module.FACTS,
        decoder=module.Decoder,
        encoder=module.Encoder,
        rest_encoder=module.RestEncoder,
        parse_instruments=module.parse_instruments,
        parse_volumes=getattr(module, "parse_volumes", None),
        listings=getattr(module, "LISTINGS", ()),
        rest_book=getattr(module, "REST_BOOK", None),
        not_simulated=getattr(module, "NOT_SIMULATED", ()),
    )


def _nearest(name: str) -> str:
    from difflib import get_close_matches

    known = names()
    near = get_close_matches(name.lower(), known, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else f"exchanges are: {', '.join(known)}"

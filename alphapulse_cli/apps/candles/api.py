"""Python API of candles.

for candle in ap.candles("captures", width="1m", symbols=["BTC-USD"]):     # of captures, or of a dataset
    print(candle.begin_ns, candle.open, candle.high, candle.low, candle.close, candle.volume, candle.vwap)
for candle in ap.candles(width="1m"):                                     # of the running sets, each when it is closed
    print(candle.row())
"""

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from os import PathLike
from pathlib import Path

from alphapulse_cli.apps.candles.live import LiveCandles
from alphapulse_cli.apps.candles.markets import Rule
from alphapulse_cli.edges.columns.reading import is_dataset, require_captures
from alphapulse_cli.errors import UsageError
from alphapulse_cli.market.candles import Candle
from alphapulse_cli.readers.moments import Time, nanoseconds
from alphapulse_cli.readers.selection import Wanted
from alphapulse_cli.shm.directory import open_directory

Places = str | PathLike[str] | Sequence[str | PathLike[str]]
LIVE_LATE_S = 2.0
Note = Callable[[str], None]


def _warn(what: str) -> None:
    logging.getLogger("alphapulse").warning("%s", what)


def candles(
    places: Places | None = None,
    *,
    width: str = "1m",
    exchanges: Collection[str] | None = None,
    symbols: Collection[str] | None = None,
    start: Time | None = None,
    end: Time | None = None,
    late: float | None = None,
    shm_dir: str | None = None,
) -> Iterator[Candle]:
    """Candles of captures (files or folders) or of a dataset, oldest first; without `places` of the running sets, without an end.

    Widths are those of `market.candles.WIDTHS`. `start` and `end` are RFC 3339 texts, ns since 1970, or aware datetimes; of running
    sets `start` may also be "now" (the default) or "oldest", and there is no `end`. `late` is how many seconds a candle waits for late
    trades: 2 for running sets; files wait for all of them by default. UsageError, NoSegment.
    """
    for name, given in (("exchanges", exchanges), ("symbols", symbols)):
        if isinstance(given, str):
            raise UsageError(f"{name} are a list, not a text: {given[:40]!r}", f"{name}=[{given[:40]!r}]")
    if late is not None and late < 0:
        raise UsageError(f"not a time to wait: {late}", "late=2.0 is in seconds")
    late_ns = None if late is None else round(late * 1e9)
    if places is not None:
        paths = [Path(places)] if isinstance(places, str | PathLike) else [Path(place) for place in places]
        rule = Rule(width, late_ns, _time(start), _time(end))
        return of_files(paths, rule, exchanges or (), list(symbols or ()))
    if end is not None:
        raise UsageError("running sets have no end", "name captures or a dataset: candles(places, end=…)")
    whence = start if isinstance(start, str) and start in ("now", "oldest") else "now" if start is None else "oldest"
    rule = Rule(width, round(LIVE_LATE_S * 1e9) if late_ns is None else late_ns, None if whence == start else _time(start))
    return _live(rule, Wanted.of(exchanges, symbols), whence, shm_dir)


def _live(rule: Rule, wanted: Wanted, whence: str, shm_dir: str | None) -> Iterator[Candle]:
    opened = ExitStack()
    directory = opened.enter_context(open_directory(shm_dir))
    try:
        followed = opened.enter_context(LiveCandles(directory, wanted, rule, "oldest" if whence == "oldest" else "now"))
    except BaseException:
        opened.close()
        raise

    def found() -> Iterator[Candle]:
        with opened:
            yield from (candle for candle in followed.items() if candle is not None)

    return found()


def of_files(
    paths: Sequence[Path], rule: Rule, exchanges: Collection[str], symbols: Sequence[str], note: Note = _warn
) -> Iterator[Candle]:
    """Candles of captures, or of one dataset. UsageError where both, or several datasets, are named."""
    if not paths:
        raise UsageError("no capture and no dataset is named", 'name files or folders, as in candles("captures")')
    datasets = [path for path in paths if is_dataset(path)]
    if not datasets:
        from alphapulse_cli.apps.candles.past import of_captures

        require_captures(paths)
        return of_captures(paths, rule, exchanges, symbols, note)
    if len(paths) > 1:
        raise UsageError("a dataset goes alone: its trades may be those of the others", f"alphapulse candles {datasets[0]}")
    from alphapulse_cli.apps.candles.datasets import of_dataset

    return of_dataset(datasets[0], rule, exchanges, symbols, note)


def _time(time: Time | None) -> int | None:
    return None if time is None else nanoseconds(time)

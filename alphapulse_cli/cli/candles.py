"""`alphapulse candles`: a line a candle on a terminal, NDJSON for a pipe."""

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alphapulse_cli.cli import options, render, stderr
from alphapulse_cli.errors import UsageError

if TYPE_CHECKING:
    from alphapulse_cli.market.candles import Candle

app = options.command_app()

SHOWN = ("begin", "set", "symbol", "open", "high", "low", "close", "volume", "vwap", "count", "gap")
TEXTS = ("begin", "set", "symbol", "gap")


def complete_width(incomplete: str) -> list[str]:
    """Completions of a width."""
    from alphapulse_cli.market.candles import WIDTHS

    return options.complete_words(*WIDTHS)(incomplete)


def _late(text: str) -> float:
    """Seconds of --late: a length of time, or 0s. UsageError."""
    return 0.0 if text in ("0", "0s") else options.parse_duration(text)


@app.command()
def candles(
    places: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE|DIR…]",
            show_default=False,
            help="Captures (files or folders), or a dataset's folder; without it, what runs.",
        ),
    ] = None,
    width: Annotated[
        str,
        typer.Option(
            "--width", "-w", metavar="WIDTH", autocompletion=complete_width, help="1s, 10s, 1m, 5m, 15m, 30m, 1h, 4h, 1d or 1w."
        ),
    ] = "1m",
    exchanges: options.Exchanges = None,
    symbols: options.Symbols = None,
    form: options.Format = None,
    as_json: options.Json = False,
    local: options.Local = None,
    start: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="WHEN",
            autocompletion=options.complete_words(*options.WHENCE),
            show_default=False,
            help="From the candle of this time on, as in 2026-11-27T08:00:00Z; of what runs also now, oldest or -10m.",
        ),
    ] = "",
    end: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="TIME",
            autocompletion=options.complete_moment,
            show_default=False,
            help="Up to this time of a capture or dataset; its candle is shown whole.",
        ),
    ] = "",
    late: Annotated[
        float | None,
        typer.Option(
            "--late",
            metavar="TIME",
            parser=_late,
            show_default=False,
            help="How long a candle waits for late trades behind its end. Default: 2s; files wait for all.",
        ),
    ] = None,
    count: Annotated[
        int | None, typer.Option("--count", "-n", min=1, metavar="N", show_default=False, help="Stop after this many candles.")
    ] = None,
    duration: options.Duration = None,
    wait_for: options.WaitFor = False,
    wait: options.Wait = None,
    shm_dir: options.ShmDir = None,
) -> None:
    """Show candles: open, high, low, close, volume, VWAP and counts of trades, exact. Live ones are shown as they close.

    Borders are whole multiples of the width since 1970 UTC, weeks begin on Mondays. A trade counts by the exchange's time, by the
    receive time where it gave none; of equal times the one that was published first is first. A candle without trades has a count of 0
    and no prices. `gap` says why a part of it was not watched: records or trades missed, a book that was not live, a lost feed.

    Trades of a subscription's history count once, by their id, from the begin of the watch on. A trade that comes later than --late after
    the end of its candle is in none: the next candle counts it as `late`.

    VWAP is rounded half to even, 4 digits more than the prices have; `notional_units` / `volume_lots` are its exact integers.

    Example: alphapulse candles captures/ --width 5m --symbol BTC-USD --format csv > candles.csv
    """
    from alphapulse_cli.apps.candles.api import LIVE_LATE_S
    from alphapulse_cli.apps.candles.markets import Rule

    form = render.chosen_format(form, as_json)
    if local and form != "table":
        raise UsageError("--local is for tables", f"times in {form} are always in UTC")
    local = bool(options.settings().choose("local", local))
    late_ns = None if late is None else round(late * 1e9)
    if places:
        _refuse_live_options({"--duration": duration, "--wait-for": wait_for, "--wait": wait, "--shm-dir": shm_dir})
        rule = Rule(width, late_ns, _moment(start), _moment(end))
        with stderr.told_if_cut("not all candles were shown"):
            _print(_of_files(places, rule, exchanges or [], symbols or [], count), form, local=local)
        return
    if end:
        raise UsageError("--to is for captures and datasets", "use --duration or --count to end what runs")
    live = _Live(exchanges, symbols, start or "now", count, duration, wait_for, wait, shm_dir)
    begin = live.begin()
    rule = Rule(width, round(LIVE_LATE_S * 1e9) if late_ns is None else late_ns, begin[1])
    live.follow(rule, begin, partial(_print, form=form, local=local))


def _refuse_live_options(given: dict[str, Any]) -> None:
    found = [name for name, value in given.items() if value]
    if found:
        raise UsageError(f"{found[0]} is for what runs, not for captures and datasets", "leave it out")


def _moment(text: str) -> int | None:
    from alphapulse_cli.readers import moments

    if not text:
        return None
    if not text[:1].isdigit():
        raise UsageError(f"not a time of a capture or dataset: {text[:40]!r}", moments.HINT)
    return moments.parse(text)


def _of_files(places: list[str], rule: Any, exchanges: list[str], symbols: list[str], count: int | None) -> "Iterator[Candle]":
    from itertools import islice

    from alphapulse_cli.apps.candles.api import of_files

    return islice(of_files([Path(place) for place in places], rule, exchanges, symbols, stderr.warning), count)


@dataclass(frozen=True, slots=True)
class _Live:
    """Options about what runs."""

    exchanges: list[str] | None
    symbols: list[str] | None
    start: str
    count: int | None
    duration: float | None
    wait_for: bool
    wait: str | None
    shm_dir: str | None

    def begin(self) -> "tuple[str, int | None, int | None]":
        """Place in the rings, earliest time in ns since 1970, and how long before now; None where not given. UsageError."""
        from alphapulse_cli.readers import moments

        text = self.start
        if text in ("now", "oldest"):
            return text, None, None
        if text[:1].isdigit():
            return "oldest", moments.parse(text), None
        if not text.startswith("-"):
            raise UsageError(
                f"unknown --from: {text[:40]!r}", "write --from now, --from oldest, --from -10m or --from 2026-11-27T10:55:00Z"
            )
        return "oldest", None, int(options.parse_duration(text[1:]) * 1e9)

    def follow(
        self, rule: Any, begin: "tuple[str, int | None, int | None]", show: "Callable[[Iterable[Candle | None]], None]"
    ) -> None:
        from alphapulse_cli.apps.candles.live import LiveCandles
        from alphapulse_cli.cli import standing
        from alphapulse_cli.readers.selection import Wanted, until_there
        from alphapulse_cli.shm.directory import open_directory

        settings = options.settings()
        wanted, how = Wanted.of(self.exchanges, self.symbols), settings.choose("wait", self.wait)
        with open_directory(settings.choose("shm_dir", self.shm_dir) or None, create=self.wait_for) as directory:
            watcher = standing.Standing(directory, wanted, replays=True)

            def attach() -> LiveCandles:
                start: Any = begin[0]
                return LiveCandles(directory, wanted, rule, start, how, ago_ns=begin[2], observe=watcher.look)

            attached, left_s = until_there(attach, stderr.note, self.duration) if self.wait_for else (attach(), self.duration)
            with attached as followed:
                watcher.warn_of_replays(followed.sets)
                try:
                    show(followed.items(self.count, left_s))
                finally:
                    for line in followed.untold:
                        stderr.warning(line)


def _print(candles: "Iterable[Candle | None]", form: str, *, local: bool) -> None:
    if form == "table":
        _print_lines(candles, local=local)
        return
    rows = (None if candle is None else row_of(candle) for candle in candles)
    if form == "json":
        render.emit_json(rows)
    else:
        from alphapulse_cli.market.candles import Candle

        render.emit_csv(rows, list(row_of(Candle("", "", "", "", 0, 0, is_replay=True))))


def row_of(candle: "Candle") -> dict[str, Any]:
    """Row of a candle for JSON and CSV, with its begin and end as text."""
    row = candle.row()
    names = {name: row.pop(name) for name in ("set", "exchange", "symbol", "width")}
    return {**names, "begin": _text(candle.begin_ns), "end": _text(candle.end_ns), **row}


def _text(border_ns: int, *, local: bool = False) -> str:
    """Text of a border, which is a whole second."""
    from alphapulse_cli.readers.moments import moment

    return moment(border_ns, local=local, digits=1).replace(".0", "", 1)


def _print_lines(candles: "Iterable[Candle | None]", *, local: bool) -> None:
    """Print aligned lines below their names; columns grow with their cells, as those of `tail` do."""
    out, widths = sys.stdout, {name: len(name) for name in SHOWN}
    is_headed = False

    def line(cells: Iterable[str]) -> str:
        made = []
        for name, cell in zip(SHOWN, cells, strict=True):
            widths[name] = max(widths[name], len(cell))
            made.append(cell.ljust(widths[name]) if name in TEXTS else cell.rjust(widths[name]))
        return "  ".join(made).rstrip() + "\n"

    for candle in candles:
        if candle is None:
            out.flush()
            continue
        row = candle.row() | {"begin": _text(candle.begin_ns, local=local), "gap": _remarks(candle)}
        cells = [render.words(row[name]) if row[name] != "" else "" for name in SHOWN]
        if not is_headed:  # the first row's cells widen the header
            is_headed = True
            line(cells)
            out.write(line(SHOWN))
        out.write(line(cells))
    out.flush()


def _remarks(candle: "Candle") -> str:
    """Words behind a line: what was not watched, and what is late."""
    parts = [f"{candle.gap} ({candle.missed})" if candle.missed else candle.gap] if candle.gap else []
    parts += [f"{candle.late} late trades"] if candle.late else []
    return "; ".join([*parts, *(["REPLAY"] if candle.is_replay else [])])

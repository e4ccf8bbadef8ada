"""`alphapulse tail`: the deltas or the trades, as they are published."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alphapulse_cli.cli import options, render, talk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


app = options.command_app(help="Follow the deltas or the trades as they are published.")

From = Annotated[
    str, typer.Option("--from", metavar="WHERE", help="now, oldest (all that the rings still hold), or how long ago: -10s, -2m.")
]
MARKS = {(True, False): "+", (False, False): "~", (False, True): "-"}


@app.command()
def deltas(
    names: options.Exchanges = None,
    symbols: options.Symbols = None,
    start: From = "now",
    count: options.Count = None,
    duration: options.Duration = None,
    wait: options.Wait = None,
    shm_dir: options.ShmDir = None,
    as_json: options.Json = False,
) -> None:
    """Every change of every book, in whole groups: one line a change on a terminal, one JSON object a group elsewhere.

    + is a new level, ~ another size, - a removed one. CHECK, STATUS and RESET groups are lines of their own; what was overwritten before it
    could be read is told as LAPPED.

    Example: alphapulse tail deltas --exchange kraken --symbol BTC-USD --json | jq .changes
    """
    _tail("deltas", _delta_lines, names, symbols, start, count, duration, wait, shm_dir, as_json=as_json)


@app.command()
def trades(
    names: options.Exchanges = None,
    symbols: options.Symbols = None,
    start: From = "now",
    count: options.Count = None,
    duration: options.Duration = None,
    wait: options.Wait = None,
    shm_dir: options.ShmDir = None,
    as_json: options.Json = False,
) -> None:
    """Every trade: the taker's side, exact price and size, both clocks.

    Example: alphapulse tail trades --from -1m --json | head
    """
    _tail("trades", _trade_lines, names, symbols, start, count, duration, wait, shm_dir, as_json=as_json)


def _tail(
    what: str,
    lines: "Callable[[dict[str, Any]], Iterator[tuple[str, str]]]",
    names: list[str] | None,
    symbols: list[str] | None,
    start: str,
    count: int | None,
    duration: float | None,
    wait: str | None,
    shm_dir: str | None,
    *,
    as_json: bool,
) -> None:
    from alphapulse_cli.apps.tail import BOOKS, TRADES, Tail
    from alphapulse_cli.shm.directory import open_directory

    settings = options.settings()
    with open_directory(settings.choose("shm_dir", shm_dir) or None) as directory:
        tail = Tail(directory, BOOKS if what == "deltas" else TRADES, names or (), symbols or (), start)
        try:
            rows = _rows(tail, directory, settings.choose("wait", wait), count, duration)
            if render.wants_json(as_json):
                render.emit_json(rows)
            else:
                _print(rows, lines)
        finally:
            tail.close()


def _rows(tail: Any, directory: Any, wait: str, count: int | None, duration: float | None) -> "Iterator[dict[str, Any] | None]":
    """Rows, and a None where nothing more is at hand; at most `count`, for `duration` seconds."""
    import time

    from alphapulse_cli.edges.idle import idle_strategy

    until = None if duration is None else time.monotonic() + duration
    left = sys.maxsize if count is None else count
    first = next(iter(tail.readers))
    # One ring can wake us; several are looked at in turn, with a nap between.
    idle = idle_strategy("sleep" if wait == "wake" and len(tail.readers) > 1 else wait, directory, first)
    while True:
        rows = tail.poll()
        yield from rows[:left]
        left -= len(rows)
        if left <= 0:
            return
        if not rows:
            yield None
            now = time.monotonic()
            if until is not None and now >= until:
                return
            idle.wait(tail.readers[first].reader, 0.05 if len(tail.readers) == 1 else 0.002)
        elif until is not None and time.monotonic() >= until:
            return


def _print(rows: "Iterator[dict[str, Any] | None]", lines: "Callable[[dict[str, Any]], Iterator[tuple[str, str]]]") -> None:
    """Aligned lines, coloured where colours are wanted; a lap or a restart on stderr too, so that no pipe hides it."""
    coloured = talk.wants_colour(sys.stdout)
    for row in rows:
        if row is None:
            sys.stdout.flush()
            continue
        if row["kind"] in ("LAPPED", "RESTART"):
            words = (
                f"{row['missed']} records were overwritten before they were read"
                if row["kind"] == "LAPPED"
                else "a new writer began"
            )
            talk.warning(f"{row['set']}: {words}")
            continue
        for line, colour in lines(row):
            safe = talk.safe(line)
            sys.stdout.write(f"\x1b[{colour}m{safe}\x1b[0m\n" if coloured and colour else f"{safe}\n")


def _clock(timestamp_ns: int) -> str:
    import time

    seconds, rest = divmod(timestamp_ns, 1_000_000_000)
    return f"{time.strftime('%H:%M:%S', time.localtime(seconds))}.{rest // 1000:06d}"


def _delta_lines(row: dict[str, Any]) -> "Iterator[tuple[str, str]]":
    head = f"{_clock(row['timestamp_ns'])}  {row['exchange'] + ':' + row['symbol']:<24} v{row['version']:<9}"
    match row["kind"]:
        case "DELTA":
            for side, price, size, is_new in row["changes"]:
                removed = not size.strip("0.")
                mark = MARKS[is_new and not removed, removed]
                tail = "  resynced" if row["resynced"] else ""
                yield f"{head} {mark} {side}  {price:>16}  {size if not removed else '':>20}{tail}", "32" if side == "bid" else "31"
        case "CHECK":
            levels = f"{row['bid_levels']} + {row['ask_levels']} levels"
            yield (
                f"{head} CHECK {row['book_hash']}  {levels}  {row['state']}  exchange's checksum {row['exchange_checksum'].lower()}",
                "2",
            )
        case "STATUS":
            yield f"{head} STATUS {row['state']} {row['reason'].lower().replace('_', ' ')}", "1;33"
        case kind:
            yield f"{head} {kind}: the image was replaced, read it", "1;33"


def _trade_lines(row: dict[str, Any]) -> "Iterator[tuple[str, str]]":
    head = f"{_clock(row['timestamp_ns'])}  {row['exchange'] + ':' + row['symbol']:<24}"
    note = "  history" if row["history"] else ""
    yield (
        f"{head} {row['side']:<7} {row['price']:>16}  {row['size']:>20}  {row['trade_id']}{note}",
        {"buy": "32", "sell": "31"}.get(row["side"], ""),
    )

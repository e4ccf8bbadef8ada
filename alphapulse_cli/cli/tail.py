"""`alphapulse tail deltas|trades`: lines on a terminal, NDJSON for a pipe."""

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from alphapulse_cli.cli import options, talk
from alphapulse_cli.errors import UsageError

if TYPE_CHECKING:
    from alphapulse_cli.apps.tail import DeltaGroup, Item, TradeTold
    from alphapulse_cli.flow.groups import Start

app = options.command_app(help="Follow the deltas or the trades of all sets as they are published.")

From = Annotated[
    str,
    typer.Option(
        "--from", metavar="WHEN", help="now, oldest (all that the rings still hold), or -10s: what is not older than that."
    ),
]
COLOURS = {"bid": "32", "ask": "31", "buy": "32", "sell": "31", "time": "2", "mark": "33"}


@app.command()
def deltas(
    exchanges: options.Exchanges = None,
    symbols: options.Symbols = None,
    as_json: options.Json = False,
    start: From = "now",
    count: options.Count = None,
    duration: options.Duration = None,
    wait: options.Wait = None,
    shm_dir: options.ShmDir = None,
) -> None:
    """Every change of every book, in whole groups: a line a change on a terminal, a JSON object a group in a pipe.

    In JSON "changes" are [side, price, size]; size 0 removes the level. --count counts groups. Records that were overwritten before they
    were read are told ("missed"). --exchange may name a set made with `collect --as`.

    Example: alphapulse tail deltas --symbol BTC-USD --from -10s --json | head
    """
    _follow("deltas", exchanges, symbols, as_json, start, count, duration, wait, shm_dir)


@app.command()
def trades(
    exchanges: options.Exchanges = None,
    symbols: options.Symbols = None,
    as_json: options.Json = False,
    start: From = "now",
    count: options.Count = None,
    duration: options.Duration = None,
    wait: options.Wait = None,
    shm_dir: options.ShmDir = None,
) -> None:
    """Every trade: a line on a terminal, a JSON object in a pipe. The side is the taker's.

    Example: alphapulse tail trades --exchange kraken --json | head
    """
    _follow("trades", exchanges, symbols, as_json, start, count, duration, wait, shm_dir)


def _follow(
    what: str,
    exchanges: list[str] | None,
    symbols: list[str] | None,
    as_json: bool,
    start: str,
    count: int | None,
    duration: float | None,
    wait: str | None,
    shm_dir: str | None,
) -> None:
    from alphapulse_cli.apps.sets import Wanted, books_of
    from alphapulse_cli.apps.tail import Tail
    from alphapulse_cli.cli import render
    from alphapulse_cli.shm.directory import open_directory
    from alphapulse_cli.shm.layout import Kind

    settings = options.settings()
    begin, since_ns = _start(start)
    wanted = Wanted.of(exchanges, symbols)
    kind = Kind.DELTAS if what == "deltas" else Kind.TRADES
    with (
        open_directory(settings.choose("shm_dir", shm_dir) or None) as directory,
        Tail(directory, kind, wanted, begin, since_ns, settings.choose("wait", wait)) as tail,
    ):
        known = {symbol for name in tail.sets for symbol in books_of(directory, name)}
        for _, symbol in wanted.symbols:
            if symbol not in known and known:
                talk.warning(f"no book of {symbol} (yet); there are {', '.join(sorted(known)[:20])}")
        items = tail.items(count, duration)
        if render.wants_json(as_json):
            render.emit_json(None if item is None else item.row() for item in items)
        else:
            Lines(talk.wants_colour(sys.stdout)).print(items)


def _start(text: str) -> "tuple[Start, int]":
    """("now" or "oldest", the time before which nothing is wanted). UsageError for anything else."""
    from alphapulse_cli.shm import clock

    if text in ("now", "oldest"):
        return ("now" if text == "now" else "oldest"), 0
    if not text.startswith("-"):
        raise UsageError(f"not a place to begin: {text[:40]!r}", "write --from now, --from oldest or --from -10s")
    return "oldest", clock.realtime_ns() - int(options.parse_duration(text[1:]) * 1e9)


class Lines:
    """Aligned lines for people; columns only ever grow wider."""

    def __init__(self, coloured: bool) -> None:
        self._coloured = coloured
        self._widths: dict[str, int] = {}

    def print(self, items: "Iterable[Item | None]") -> None:
        """Print all of them; what was missed goes to stderr."""
        from alphapulse_cli.apps.tail import DeltaGroup, Missed, TradeTold

        out = sys.stdout
        for item in items:
            match item:
                case None:
                    out.flush()
                case DeltaGroup():
                    out.write(self.group(item))
                case TradeTold():
                    out.write(self.trade(item))
                case Missed():
                    out.flush()
                    talk.warning(f"{item.set_name}: {item.missed} records missed, they were overwritten before they could be read")
                case _:
                    out.flush()
                    talk.warning(f"{item.set_name}: a new collector writes (epoch {item.epoch}); versions begin again")
        out.flush()

    def group(self, group: "DeltaGroup") -> str:
        """A line a change; a CHECK, STATUS or RESET is a line of its own."""
        head = self._head(group.timestamp_ns, group.set_name, group.symbol) + self._cell("version", f"v{group.version}") + "  "
        if group.kind.name != "DELTA":
            return head + self._paint("mark", self._marked(group)) + "\n"
        lines = []
        for side, price, size, is_new in group.changes:
            what = "removed" if not size.strip("0.") else "new" if is_new else "changed"
            cells = f"{side}  {self._cell('price', price, right=True)}  {self._cell('size', size, right=True)}  {what}"
            lines.append(head + self._paint(side, cells) + ("  resynced" if group.resynced else "") + "\n")
        return "".join(lines)

    @staticmethod
    def _marked(group: "DeltaGroup") -> str:
        told = group.told
        if group.kind.name == "STATUS":
            return f"STATUS {told['state']}" + (
                f" ({told['reason'].lower().replace('_', ' ')})" if told["reason"] != "NONE" else ""
            )
        if group.kind.name == "CHECK":
            checksum = f", exchange checksum {told['checksum'].lower()}" if told["checksum"] != "NONE" else ""
            return (
                f"CHECK {told['state']}, {told['bid_levels']} bids, {told['ask_levels']} asks, hash {told['book_hash']}{checksum}"
            )
        return "RESET the image was replaced: read it"

    def trade(self, trade: "TradeTold") -> str:
        """One line."""
        cells = f"{trade.side:<7}  {self._cell('price', trade.price, right=True)}  {self._cell('size', trade.size, right=True)}"
        tail = talk.safe(trade.trade_id) + ("  history" if trade.history else "")
        return f"{self._head(trade.timestamp_ns, trade.set_name, trade.symbol)}{self._paint(trade.side, cells)}  {tail}\n"

    def _head(self, timestamp_ns: int, set_name: str, symbol: str) -> str:
        from datetime import UTC, datetime

        seconds, rest = divmod(timestamp_ns, 1_000_000_000)
        try:
            moment = f"{datetime.fromtimestamp(seconds, UTC).astimezone():%H:%M:%S}.{rest // 1000:06d}"
        except (OverflowError, ValueError, OSError):  # a damaged record's
            moment = "--:--:--.------"
        return f"{self._paint('time', moment)}  {self._cell('name', talk.safe(f'{set_name}:{symbol}'))}  "

    def _cell(self, column: str, text: str, *, right: bool = False) -> str:
        width = self._widths[column] = max(self._widths.get(column, 0), len(text))
        return text.rjust(width) if right else text.ljust(width)

    def _paint(self, name: str, text: str) -> str:
        colour = COLOURS.get(name)
        return f"\x1b[{colour}m{text}\x1b[0m" if self._coloured and colour else text

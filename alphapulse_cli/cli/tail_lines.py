"""Printers of `tail`: aligned lines, columns of chosen fields, JSON, CSV.

A column grows wider with its cells and never narrower.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from alphapulse_cli.apps.tail_fields import change_word, rows_of
from alphapulse_cli.cli import render, stderr
from alphapulse_cli.edges.safe_text import safe
from alphapulse_cli.readers import moments
from alphapulse_cli.readers.items import DeltaGroup, Item, Missed, Restarted, TradeItem

COLOURS = {"bid": "32", "ask": "31", "buy": "32", "sell": "31", "time": "2", "mark": "33"}
NUMBERS = ("version", "prev_version", "feed_delay_us", "price", "size", "bid", "bid_size", "ask", "ask_size")


def print_json(items: Iterable[Item | None], fields: Sequence[str]) -> None:
    """Print a JSON object a group or trade; with `fields`, an object a row. Missed records are an object among them."""

    def rows() -> Iterator[render.Row | None]:
        for item in items:
            if item is None:
                yield None
            elif fields and isinstance(item, DeltaGroup | TradeItem):
                yield from rows_of(item, fields, _exact_utc)
            else:
                yield item.row()

    render.emit_json(rows())


def print_csv(items: Iterable[Item | None], fields: Sequence[str]) -> None:
    """Print a CSV header and a line a row; missed records are reported on stderr."""

    def rows() -> Iterator[render.Row | None]:
        for item in items:
            if isinstance(item, DeltaGroup | TradeItem):
                yield from rows_of(item, fields, _exact_utc)
            else:
                yield None
                report_beside(item)

    render.emit_csv(rows(), fields)


def print_fields(items: Iterable[Item | None], fields: Sequence[str], *, local: bool) -> None:
    """Print aligned columns of these fields below their names."""
    widths = {name: len(name) for name in fields}
    moment = partial(moments.moment, local=local)

    def line(cells: Iterable[str]) -> str:
        made = []
        for name, cell in zip(fields, cells, strict=True):
            widths[name] = max(widths[name], len(cell))
            made.append(cell.rjust(widths[name]) if name in NUMBERS else cell.ljust(widths[name]))
        return "  ".join(made).rstrip() + "\n"

    out = sys.stdout
    is_headed = False
    for item in items:
        if isinstance(item, DeltaGroup | TradeItem):
            for row in rows_of(item, fields, moment):
                cells = [render.words(value) for value in row.values()]
                if not is_headed:  # the first row's cells widen the header
                    is_headed = True
                    for name, cell in zip(fields, cells, strict=True):
                        widths[name] = max(widths[name], len(cell))
                    out.write(line(fields))
                out.write(line(cells))
        else:
            out.flush()
            report_beside(item)
    out.flush()


def report_beside(item: Item | None) -> None:
    """Report missed records or a new collector on stderr."""
    if isinstance(item, Missed):
        stderr.warning(f"{item.set_name}: {item.missed} records missed: they were overwritten before they could be read")
    elif isinstance(item, Restarted):
        writer = "replay begins" if item.replay else "collector has taken over"
        stderr.warning(f"{item.set_name}: a new {writer} (epoch {item.epoch}); versions start again")


def _exact_utc(ns: int) -> str:
    return moments.moment(ns, digits=9)


class Lines:
    """Printer of aligned lines, in colour if `coloured`."""

    def __init__(self, coloured: bool, *, local: bool = False) -> None:
        self._coloured = coloured
        self._local = local
        self._widths: dict[str, int] = {}

    def print(self, items: Iterable[Item | None]) -> None:
        """Print all items; missed records are reported on stderr."""
        out = sys.stdout
        for item in items:
            if isinstance(item, DeltaGroup):
                out.write(self.group(item))
            elif isinstance(item, TradeItem):
                out.write(self.trade(item))
            else:
                out.flush()
                report_beside(item)
        out.flush()

    def group(self, group: DeltaGroup) -> str:
        """Lines of a group: one a change, or one for a CHECK, STATUS or RESET."""
        head = (
            self._head(group.timestamp_ns, group.set_name, group.symbol, group.replay)
            + self._cell("version", f"v{group.version}")
            + "  "
        )
        if group.kind.name != "DELTA":
            return head + self._paint("mark", self._marked(group)) + "\n"
        lines = []
        for side, price, size, is_new in group.changes:
            cells = f"{side}  {self._cell('price', price, right=True)}  {self._cell('size', size, right=True)}  {change_word(size, is_new)}"
            lines.append(head + self._paint(side, cells) + ("  resynced" if group.resynced else "") + "\n")
        return "".join(lines)

    @staticmethod
    def _marked(group: DeltaGroup) -> str:
        fields = group.own_fields
        if group.kind.name == "STATUS":
            why = f" ({fields['reason'].lower().replace('_', ' ')})" if fields["reason"] != "NONE" else ""
            trading = f", {fields['trading_status']}" if fields["trading_status"] else ""  # older writers do not say it
            return f"STATUS {fields['state']}{why}{trading}"
        if group.kind.name == "CHECK":
            checksum = f", exchange checksum {fields['checksum'].lower()}" if fields["checksum"] != "NONE" else ""
            return f"CHECK {fields['state']}, {fields['bid_levels']} bids, {fields['ask_levels']} asks, hash {fields['book_hash']}{checksum}"
        return "RESET: the book was replaced; read its image"

    def trade(self, trade: TradeItem) -> str:
        """Line of a trade."""
        cells = f"{trade.side:<7}  {self._cell('price', trade.price, right=True)}  {self._cell('size', trade.size, right=True)}"
        tail = safe(trade.trade_id) + ("  history" if trade.history else "")
        return f"{self._head(trade.timestamp_ns, trade.set_name, trade.symbol, trade.replay)}{self._paint(trade.side, cells)}  {tail}\n"

    def _head(self, timestamp_ns: int, set_name: str, symbol: str, is_replay: bool) -> str:
        """Beginning of a line; with the day and the word REPLAY where it is of the past."""
        made = moments.moment if is_replay else moments.time_of_day
        mark = self._paint("mark", f"{moments.REPLAY}  ") if is_replay else ""
        moment = made(timestamp_ns, local=self._local)
        return f"{mark}{self._paint('time', moment)}  {self._cell('name', safe(f'{set_name}:{symbol}'))}  "

    def _cell(self, column: str, text: str, *, right: bool = False) -> str:
        width = self._widths[column] = max(self._widths.get(column, 0), len(text))
        return text.rjust(width) if right else text.ljust(width)

    def _paint(self, name: str, text: str) -> str:
        colour = COLOURS.get(name)
        return f"\x1b[{colour}m{text}\x1b[0m" if self._coloured and colour else text

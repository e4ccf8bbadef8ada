"""Attribution of a capture's rows to symbols, for `capture cat --symbols`: by the connection, else by the names in a frame.

    head, memb, lost, done, rows of connection 0        of the whole set: kept
    open, shut, mark, held                              of a connection: kept if it has a wanted symbol
    rest, fail                                          by the symbol that they name
    recv, sent      of a connection without a wanted symbol: left out; of one with wanted symbols alone: kept
                    of one that has others, too: by the names in the frame; one that names none (a heartbeat, an ack) is kept

Frames that name a numbered channel (Bitfinex) are attributed by the ack, or the checkpoint, that gave it its number.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from alphapulse_cli.apps.capture.survey import members
from alphapulse_cli.edges.capture.head import Head, instrument_of
from alphapulse_cli.edges.capture.reader import CaptureFile
from alphapulse_cli.edges.capture.rows import Kind, Row
from alphapulse_cli.errors import UsageError
from alphapulse_cli.market.instrument import Instrument, near_symbols

WORD = re.compile(rb"[A-Za-z0-9/_:.-]{2,80}")
ACK = re.compile(rb'"chanId":([0-9]{1,12}),"symbol":"([^"]{1,64})"')
NUMBERED = re.compile(rb"\[([0-9]{1,12}),")
OF_THE_SET = bytes(Kind.HEAD), bytes(Kind.MEMBERS), bytes(Kind.LOST), bytes(Kind.DONE)
OF_A_CONNECTION = bytes(Kind.OPEN), bytes(Kind.SHUT), bytes(Kind.MARK), bytes(Kind.HELD)
ABOUT_A_SYMBOL = bytes(Kind.REST), bytes(Kind.FAILED)


class Attribution:
    """Attribution of the rows of several files, read one after the other from their beginnings, to the `wanted` symbols.

    These are BTC-USD or kraken:BTC-USD (an exchange or a set). UsageError for one that no file has.
    """

    def __init__(self, paths: Sequence[Path], wanted: Iterable[str]) -> None:
        self._wanted = [(of, symbol) for of, _, symbol in (text.rpartition(":") for text in wanted)]
        self._names: dict[str, dict[str, bool]] = {}  # of a set: names in frames, in lower case, and whether each is wanted
        self._known: dict[str, None] = {}  # exchange:symbol and set:symbol
        self._head: Head | None = None
        self._connections: dict[int, list[str]] = {}  # names of the symbols of each connection
        self._numbered: dict[tuple[int, bytes], str] = {}  # by connection and channel: name
        for path in paths:
            with CaptureFile(path) as file:
                head = file.head_if_left()
            if head is not None:
                self._learn(head, head.instruments)
        if self._missing():
            self._look_for_added(paths)
        missing = self._missing()
        if missing:
            symbols = sorted({each.rpartition(":")[2] for each in self._known})
            near = near_symbols(missing[0].rpartition(":")[2], symbols)
            hint = f"did you mean {', '.join(near)}?" if near else f"it has {', '.join(symbols)[:200] or 'none'}"
            raise UsageError(f"{', '.join(missing)[:100]}: not in the capture", hint)

    def begin(self, head: Head | None) -> None:
        """Begin a file. One whose head is lost goes on where the last one ended."""
        if head is not None:
            is_next = self._head is not None and (self._head.set_name, self._head.run_ns) == (head.set_name, head.run_ns)
            self._head = head
            if not is_next:
                self._connections.clear()
                self._numbered.clear()

    def takes(self, row: Row) -> bool:
        """Whether a row is of a wanted symbol, or of none."""
        kind, connection, payload = row.kind, row.connection, row.payload
        if kind == Kind.MEMBERS and self._head is not None:
            self._learn(self._head, _added(self._head, row))
        elif kind == Kind.OPEN:
            self._on_open(connection, members(row))
        elif kind == Kind.HELD:
            self._on_checkpoint(connection, members(row))
        if kind in OF_THE_SET:
            return True
        if kind in ABOUT_A_SYMBOL and (name := str(members(row).get("symbol", "")).lower()):
            return self._of_set.get(name, False)
        of_set, names = self._of_set, self._connections.get(connection)
        has_wanted = names is None or any(of_set.get(name, False) for name in names)
        if kind in OF_A_CONNECTION or kind in ABOUT_A_SYMBOL or not has_wanted:
            return connection == 0 or has_wanted
        if names is not None and all(of_set.get(name, False) for name in names):
            return True
        found = self._named(connection, payload)
        return not found or any(of_set[name] for name in found)

    def _missing(self) -> list[str]:
        """Wanted symbols that no file is known to have."""
        wanted = [(of, symbol, f"{of}:{symbol}" if of else symbol) for of, symbol in self._wanted]
        return [text for of, symbol, text in wanted if f"{of}:{symbol}" not in self._known]

    def _look_for_added(self, paths: Sequence[Path]) -> None:
        """Look for symbols that were added while it was captured, which no head may have."""
        for path in paths:
            with CaptureFile(path) as file:
                head = file.head_if_left()
                for row in file.rows() if head is not None else ():
                    if head is not None and row.kind == Kind.MEMBERS:
                        self._learn(head, _added(head, row))

    def _learn(self, head: Head, instruments: Iterable[Instrument]) -> None:
        """Learn the symbols of a set, and their names in frames."""
        names = self._names.setdefault(head.set_name, {})
        of = ("", head.exchange, head.set_name)
        for one in instruments:
            self._known |= dict.fromkeys(f"{name}:{one.symbol}" for name in of)
            is_wanted = any(one.symbol == symbol and name in of for name, symbol in self._wanted)
            for name in (one.native, one.alias_of):  # frames call it so, or by the product whose book it shares
                if name:
                    names[name.lower()] = names.get(name.lower(), False) or is_wanted

    @property
    def _of_set(self) -> dict[str, bool]:
        return self._names[self._head.set_name] if self._head is not None else {}

    def _on_open(self, connection: int, said: dict[str, object]) -> None:
        natives = said.get("symbols")
        self._connections[connection] = [str(each).lower() for each in natives] if isinstance(natives, list) else []
        if said.get("again") is not True:
            self._numbered = {key: name for key, name in self._numbered.items() if key[0] != connection}

    def _on_checkpoint(self, connection: int, said: dict[str, object]) -> None:
        position = said.get("position")
        channels = position.get("channels", ()) if isinstance(position, dict) else ()
        for each in channels if isinstance(channels, list) else ():
            if isinstance(each, list) and len(each) == 3:
                self._numbered[connection, str(each[2]).encode()] = str(each[1]).lower()

    def _named(self, connection: int, payload: bytes) -> Collection[str]:
        """Names of symbols in a frame."""
        ack = ACK.search(payload)
        if ack is not None:
            self._numbered[connection, ack[1]] = ack[2].decode("utf-8", "replace").lower()
        numbered = NUMBERED.match(payload)
        if numbered is not None and (connection, numbered[1]) in self._numbered:
            return [name for name in [self._numbered[connection, numbered[1]]] if name in self._of_set]
        words = {word.decode().lower() for word in WORD.findall(payload)}
        words |= {word.rpartition(".")[2] for word in words if "." in word}
        return self._of_set.keys() & words


def _added(head: Head, row: Row) -> list[Instrument]:
    """Instruments of a row `memb`; none of one that cannot be right."""
    try:
        return [instrument_of(head.exchange, one) for one in members(row).get("added", ())]
    except (KeyError, TypeError, ValueError):
        return []

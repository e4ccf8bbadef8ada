"""Fast parser of the commonest frames: an exchange's bytes become levels without a JSON parser in between.

A *shape* is a template of one kind of book update: an example in which the varying parts have names:

    {"type":"l2update","product_id":"<name>","changes":[<rows>["<side>","<price>","<size>"]</rows>],"time":"<time>"}

    <name>              the exchange's name of the instrument; before any price, since its grid is needed to parse prices
    <channel>           an integer instead of a name; `instruments` has its digits as a key
    <again>             the same name again
    <bids> … </bids>    repeated rows, with commas between; <asks> likewise; in <rows> each row has its <side>
    <price> <size>      a decimal, quoted or not
    <amount>            a size whose sign is the side: an ask's is negative; <count> before it: with 0 the size is 0
    <level>             the end of a row without a list around it
    <time> <millis>     RFC 3339 text, or milliseconds or microseconds since 1970; the newest of a frame counts
    <first> <final>     integers for the decoder; <checksum> is the book's, 32 bits; <signed> too
    <text>              anything without escapes, ignored
    <optional> … </optional>   bytes that may be missing

If an exchange sends checksums in frames of their own, `checksum_alone` is their template: it gives an update without levels.

The caller of a decoder with a `shape` offers each frame to the shape first. The decoder controls which frames it may read: it puts
into `instruments` only those whose books are LIVE; if a feed numbers its frames, `expected` is the required <first>; if each book's
frames are numbered separately, `numbers` has the last ones by name, and <first> must be one more.

A frame must match byte for byte. The parser declines it for another order of keys, a space, an escape, a number off the grid, a
price of 0, a time not after 1970, no rows, or an unexpected number: it returns None, no state has changed, and the decoder parses
the frame as JSON. So it may decline any frame, but an update that it returns equals the one of the slow path.

Interpreted, it would not be faster than the JSON library, so it declines everything.
"""

import re

from alphapulse_cli import native
from alphapulse_cli.exchanges import moment
from alphapulse_cli.market import events, scan
from alphapulse_cli.market.events import Update
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.levels import Levels, empty
from alphapulse_cli.wire import delta

SOURCE_HASH = native.source_hash()

KINDS = (
    *(
        "literal",
        "price",
        "size",
        "side",
        "time",
        "name",
        "millis",
        "first",
        "final",
        "checksum",
        "text",
        "again",
        "count",
        "amount",
        "signed",
    ),
    *("channel", "level", "rows", "next row", "optional"),
)
(
    LITERAL,
    PRICE,
    SIZE,
    SIDE,
    TIME,
    NAME,
    MILLIS,
    FIRST,
    FINAL,
    CHECKSUM,
    TEXT,
    AGAIN,
    COUNT,
    AMOUNT,
    SIGNED,
    CHANNEL,
    LEVEL,
    ROWS,
    NEXT_ROW,
    OPTIONAL,
) = range(len(KINDS))
FIELDS = {KINDS[kind]: kind for kind in range(PRICE, ROWS)}
IS_ASK = delta.IS_ASK
ROW_SIDES = {"rows": 0, "bids": 0, "asks": IS_ASK}  # the last is a level's side bit
STEP_WORDS = 3  # kind, then two numbers: offset and length of a literal, or side of rows and index of the step that ends them
UNKNOWN = -1
MOST_NUMBER = _MOST_NUMBER = 1 << 62  # larger integers are declined; the second name is a C number in the compiled core
SIGN_BIT, LARGEST_CHECKSUM, LARGEST_MILLIS = (
    1 << 31,
    (1 << 32) - 1,
    9_000_000_000_000,
)  # milliseconds of the year 2255: as ns they fit 63 bits
LEAST_MICROS, LARGEST_MICROS = 100_000_000_000_000, 9_000_000_000_000_000  # larger than any time in ms
NS_PER_MS, NS_PER_US = 1_000_000, 1_000
QUOTE, COMMA, CLOSE, BACKSLASH, SPACE, DELETE, MINUS = b'",]\\ \x7f-'


class Numbers:
    """Sequence numbers of one instrument's last frame: `last`, its <first>, and `final`, its <final> if any.

    Decoder and shape share and update them.
    """

    def __init__(self, last: int, final: int = 0) -> None:
        self.last = last
        self.final = final


class Shape:
    """Parser of one kind of frame; ValueError for a template with an unknown name, or with rows that do not end.

    `instruments`: instruments whose frames may be read, by native name. `expected`: the next frame's number on a feed with
    `is_counted`, UNKNOWN to decline all. `numbers`: last numbers by native name on a feed with `counted_by_name`. `bid_word` and
    `ask_word`: values of <side>. `depth`: depth of the updates.
    """

    def __init__(
        self,
        example: str,
        bid_word: str = "",
        ask_word: str = "",
        depth: int | None = None,
        checksum_alone: str = "",
        *,
        is_counted: bool = False,
        counted_by_name: bool = False,
    ) -> None:
        self.instruments: dict[str, Instrument] = {}
        self.numbers: dict[str, Numbers] = {}
        self.expected = UNKNOWN
        self._is_counted, self._counted_by_name = is_counted, counted_by_name
        self.first = self.final = 0  # of the frame read last
        self._depth = depth
        pieces, pieces_alone = (re.split("<(/?[a-z]+)>", one) for one in (example, checksum_alone))
        self._literals = "".join([*pieces[::2], *pieces_alone[::2], bid_word, ask_word]).encode("ascii")
        self._literal = native.octets_of(self._literals, 0)
        self._bid_length, self._ask_length = len(bid_word), len(ask_word)
        self._ask_at = len(self._literals) - self._ask_length
        self._bid_at = self._ask_at - self._bid_length
        self._steps = native.new_words(STEP_WORDS * (len(pieces) + len(pieces_alone)))
        self._frame = self._literal  # the frame being read: `_at` is the next of `_size` bytes
        self._count = self._at = self._size = self._name_at = self._name_length = 0
        self._ticks = self._lots = self._side = self._orders = self._newest_ns = 0
        self._instrument: Instrument | None = None  # instrument of the frame being read; the decimals are its grid
        self._price_decimals = self._size_decimals = 0
        self._is_compiled = bool(SOURCE_HASH)
        self.checksum: int | None = None
        at = self._compile(pieces, 0)
        self._alone = self._count  # the first step of `checksum_alone`
        self._compile(pieces_alone, at)

    def __dealloc__(self) -> None:
        # Called by the compiled core alone; the interpreted one leaves memory to the garbage collector.
        native.free_words(self._steps)

    def _compile(self, pieces: list[str], at: int) -> int:
        """Compile alternating literals and names to steps; `at`: offset of the first literal; returns the end of the last."""
        opened = ""
        begin, is_optional = 0, False
        for index, piece in enumerate(pieces):
            if index % 2 == 0:
                if piece:
                    self._add(OPTIONAL if is_optional else LITERAL, at, len(piece))
                at += len(piece)
            elif is_optional or piece == "optional":
                if is_optional and piece != "/optional":
                    raise ValueError(f"<{piece}> is out of place in the example: only bytes are optional")
                is_optional = not is_optional
            elif piece in FIELDS:
                self._add(FIELDS[piece], 0, 0)
            elif piece in ROW_SIDES and not opened:
                begin, opened = self._add(ROWS, ROW_SIDES[piece], 0), piece
            elif opened and piece == f"/{opened}":
                self._steps[STEP_WORDS * begin + 2] = self._add(NEXT_ROW, begin, 0)
                opened = ""
            else:
                raise ValueError(f"<{piece}> is unknown or out of place in the example")
        if opened or is_optional:
            raise ValueError(f"<{opened or 'optional'}> has no end in the example")
        return at

    def _add(self, kind: int, one: int, other: int) -> int:
        at = STEP_WORDS * self._count
        self._steps[at], self._steps[at + 1], self._steps[at + 2] = kind, one, other
        self._count += 1
        return self._count - 1

    def read(self, frame: bytes) -> Update | None:
        """Parse a frame to an Update if it matches the shape, is of one of `instruments` and has the expected number; else None."""
        if not self._is_compiled or type(frame) is not bytes:
            return None
        return self._read(frame)

    def _read(self, frame: bytes) -> Update | None:
        update = self._read_as(frame, 0, self._alone)
        if update is None and self._alone < self._count:
            return self._read_as(frame, self._alone, self._count)
        return update

    def _read_as(self, frame: bytes, step: int, end: int) -> Update | None:
        """Parse a frame by the steps of one template."""
        # A 0 follows the last byte of a `bytes` object. Every step stops at it; a literal checks the size instead.
        self._frame, self._at, self._size = native.octets_of(frame, 0), 0, len(frame)
        self._newest_ns, self.checksum = 0, None
        is_alone = step == self._alone
        instrument: Instrument | None = None
        numbers: Numbers | None = None
        levels: Levels | None = None
        name = ""
        while step < end:
            word = STEP_WORDS * step
            kind, one, other = self._steps[word], self._steps[word + 1], self._steps[word + 2]
            step += 1
            if kind == LITERAL:
                if not self._is_literal(one, other):
                    return None
            elif kind == OPTIONAL:
                self._is_literal(one, other)
            elif kind in (NAME, CHANNEL):
                name = self._text() if kind == NAME else self._digits()
                instrument = self.instruments.get(name)
                if instrument is None:
                    return None
                if instrument is not self._instrument:
                    self._instrument = instrument
                    self._price_decimals, self._size_decimals = instrument.price_decimals, instrument.size_decimals
                levels = empty(self._price_decimals, self._size_decimals)
            elif kind < LEVEL:
                if not self._is_field(kind):
                    return None
            elif levels is None:  # rows before the name: their grid is unknown
                return None
            elif kind == LEVEL:
                levels.put(self._ticks, self._lots | self._side)
            elif kind == ROWS:
                self._side = one
                if self._frame[self._at] == CLOSE:
                    step = other + 1
            else:
                levels.put(self._ticks, self._lots | self._side)
                if self._frame[self._at] == COMMA:
                    self._at += 1
                    step = one + 1
        if instrument is None or levels is None or self._at != self._size or self._newest_ns <= 0:
            return None
        if levels.count == 0 and not is_alone:
            return None
        if self._is_counted:
            if self.first != self.expected:
                return None
            self.expected += 1
        elif self._counted_by_name:
            numbers = self.numbers.get(name)
            if numbers is None or self.first != numbers.last + 1:
                return None
            numbers.last, numbers.final = self.first, self.final
        return events.update(instrument, levels, self._newest_ns, self.checksum, self._depth)

    def _is_literal(self, start: int, length: int) -> bool:
        """Skip these bytes if they are next; returns whether they were."""
        if length > self._size - self._at or not native.same_octets(self._frame, self._at, self._literal, start, length):
            return False
        self._at += length
        return True

    def _is_field(self, kind: int) -> bool:
        """Parse and store a value; False if it is declined."""
        if kind == PRICE:
            self._ticks = self._number(self._price_decimals)
            return self._ticks > 0  # a price of 0 is for the slow path
        if kind == SIZE:
            lots = self._number(self._size_decimals)
            self._lots = lots
            return lots >= 0 and lots >> 62 == 0
        if kind == AMOUNT:
            self._side = IS_ASK if self._frame[self._at] == MINUS else 0
            self._at += self._side == IS_ASK
            lots = self._number(self._size_decimals)
            self._lots = lots if self._orders else 0
            return lots > 0 and lots >> 62 == 0  # an amount of 0 has no side
        if kind == SIDE:
            if self._is_literal(self._bid_at, self._bid_length):
                self._side = 0
                return True
            self._side = IS_ASK
            return self._is_literal(self._ask_at, self._ask_length)
        if kind == TIME:
            start = self._at
            ns = moment.usual_at(self._frame, start, self._end_of_text())
            self._newest_ns = max(self._newest_ns, ns)
            return ns >= 0
        if kind == TEXT:
            return self._end_of_text() >= 0
        if kind == AGAIN:
            return self._is_name_again()
        return self._is_integer(kind)

    def _is_integer(self, kind: int) -> bool:
        is_negative = kind == SIGNED and self._frame[self._at] == MINUS
        start = self._at = self._at + is_negative
        self._at = scan.number_end(self._frame, start)
        value = scan.integer_at(self._frame, start, self._at)
        if kind == SIGNED:
            self.checksum = LARGEST_CHECKSUM + 1 - value if is_negative else value
            return is_negative <= value <= (SIGN_BIT if is_negative else LARGEST_CHECKSUM)  # -0 is declined
        if kind == MILLIS:
            if LEAST_MICROS <= value <= LARGEST_MICROS:
                self._newest_ns = max(self._newest_ns, value * NS_PER_US)
            elif 0 <= value <= LARGEST_MILLIS:
                self._newest_ns = max(self._newest_ns, value * NS_PER_MS)
            else:
                return False
        elif kind == CHECKSUM:
            self.checksum = value
            return 0 <= value <= LARGEST_CHECKSUM
        elif kind == COUNT:
            self._orders = value
        elif kind == FIRST:
            self.first = value
        else:
            self.final = value
        return 0 <= value < _MOST_NUMBER

    def _number(self, decimals: int) -> int:
        """Parse a decimal to ticks; -1 if it is declined."""
        start = self._at
        self._at = scan.number_end(self._frame, start)
        return scan.plain_at(self._frame, start, self._at, decimals)

    def _digits(self) -> str:
        """Parse the digits of an integer; "" for any other number."""
        start = self._at
        self._at = scan.number_end(self._frame, start)
        is_integer = scan.integer_at(self._frame, start, self._at) >= 0
        return native.text(self._frame, start, self._at) if is_integer else ""

    def _end_of_text(self) -> int:
        """Find the closing quote and return its offset; -1 if an earlier character is an escape or control character."""
        at = self._at
        while True:
            octet = self._frame[at]
            if octet == QUOTE:
                self._at = at
                return at
            if octet < SPACE or octet == BACKSLASH or octet >= DELETE:  # also the 0 after the frame
                return -1
            at += 1

    def _is_name_again(self) -> bool:
        """Skip the name's bytes if they are next; returns whether they were. The next literal checks what follows."""
        length = self._name_length
        if length > self._size - self._at or not native.same_octets(self._frame, self._at, self._frame, self._name_at, length):
            return False
        self._at += length
        return True

    def _text(self) -> str:
        """Parse text up to the closing quote; "" if it is declined."""
        start = self._name_at = self._at
        end = self._end_of_text()
        self._name_length = end - start
        return native.text(self._frame, start, end) if end > start else ""

"""Alarms: thresholds that the user set on rows, checked with every picture.

    "spread > 5" on (kraken, BTC-USD) ─► Alarm ─┐
                             Picture ─► values ─┴─► check: those that are passed and were not before ─► bell, colour, command

A row of the overview has bid, ask (prices), spread (bps), delay (ms), age (s), deltas (a second), gaps (a count); one of the
arbitrage screen net and raw (bps) and profit; one of the latency screen its percentiles (ms); a segment its rate (records a
second), beat (s since its writer's heartbeat), lag (records, of its slowest reader) and missed (records, by all its readers). `not
live` is an alarm of books and segments, passed after 2 s in which one was not LIVE or not there. A missing value passes no alarm: a
book that is not LIVE has neither prices nor a spread. Prices are compared exactly. An alarm is reported again only after it was not
passed in between, and not within QUIET_NS, so that a price at the limit does not ring all the time.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from alphapulse_cli.apps.segments import SegmentRow
from alphapulse_cli.shm.histogram import QUANTILES
from alphapulse_cli.shm.segment import Liveness
from alphapulse_cli.tui.feed.picture import ArbitrageRow, BookPicture, Picture, Stage
from alphapulse_cli.tui.preferences import Preferences
from alphapulse_cli.wire.delta import BookState

BOOK, ARBITRAGE, LATENCY, RING = "book", "arbitrage", "latency", "ring"
BOOK_UNITS = {"bid": "", "ask": "", "spread": " bps", "delay": " ms", "age": " s", "deltas": "/s", "gaps": ""}
ARBITRAGE_UNITS = {"net": " bps", "raw": " bps", "profit": ""}
LATENCY_UNITS = dict.fromkeys((*(f"p{part * 100:g}" for part in QUANTILES), "max"), " ms")
RING_UNITS = {"rate": "/s", "beat": " s", "lag": " records", "missed": " records"}
UNITS = {BOOK: BOOK_UNITS, ARBITRAGE: ARBITRAGE_UNITS, LATENCY: LATENCY_UNITS, RING: RING_UNITS}
KEY_LENGTHS = {BOOK: 2, ARBITRAGE: 4, LATENCY: 2, RING: 1}
EXAMPLES = {BOOK: "spread > 5, bid < 60000", ARBITRAGE: "net > 2", LATENCY: "p99 > 50", RING: "lag > 5000"}
NOT_LIVE = "not live"
WITH_NOT_LIVE = (BOOK, RING)
FORM = re.compile(r"([a-z][a-z0-9.]*)\s*([<>])\s*(-?[0-9]{1,15}(?:\.[0-9]{1,12})?)", re.ASCII)
MOST_ALARMS = 64
NOT_LIVE_S = Fraction(2)  # a resync is over before
QUIET_NS = 10_000_000_000
PREFIX, BETWEEN = "alarm", "|"

AnyRow = BookPicture | ArbitrageRow | Stage | SegmentRow
Key = tuple[str, ...]  # (set, symbol), of both books of an arbitrage row one after the other; (set, step); (file,)


@dataclass(frozen=True, slots=True)
class Alarm:
    """One threshold: `what` is NOT_LIVE, or a name of UNITS with a sign (< or >) and a limit."""

    what: str
    sign: str = ""
    limit: Fraction = Fraction(0)

    def is_passed(self, values: Mapping[str, Fraction]) -> bool:
        """Whether the row's value is beyond the limit; False for a row without that value."""
        value = values.get(self.what)
        if value is None:
            return False
        return value > self.limit if self.sign == ">" else value < self.limit


def parse(scope: str, text: str) -> Alarm:
    """Parse an alarm for rows of that scope, as in "spread > 5". ValueError, which says how to write one."""
    words = " ".join(text.lower().split())
    if scope in WITH_NOT_LIVE and words == NOT_LIVE:
        return Alarm(NOT_LIVE, ">", NOT_LIVE_S)
    found = FORM.fullmatch(words.replace(",", ""))
    units = UNITS[scope]
    if found is None or found[1] not in units:
        more = f", or {NOT_LIVE}" if scope in WITH_NOT_LIVE else ""
        raise ValueError(f"not an alarm: {text.strip()[:40]!r}; one of {', '.join(units)}, then < or >, then a number{more}")
    return Alarm(found[1], found[2], Fraction(found[3]))


def about(scope: str) -> str:
    """Help on the alarms of a scope: their names, units and an example."""
    names = ", ".join(f"{name}{f' ({unit.strip()})' if unit else ''}" for name, unit in UNITS[scope].items())
    more = f" Or: {NOT_LIVE}." if scope in WITH_NOT_LIVE else ""
    return f"{names}, then < or > and a number: {EXAMPLES[scope]}.{more} Empty: no alarm."


class Alarms:
    """Alarms of one user, remembered in `preferences`."""

    def __init__(self, preferences: Preferences) -> None:
        self._preferences = preferences
        self._set: dict[tuple[str, Key], tuple[str, Alarm]] = dict(_remembered(preferences))
        self._passed: frozenset[tuple[str, Key]] = frozenset()
        self._rung_ns: dict[tuple[str, Key], int] = {}
        self._not_live_ns: dict[tuple[str, Key], int] = {}  # CLOCK_MONOTONIC since which a row is not live

    def text_of(self, scope: str, key: Key) -> str:
        """Text of a row's alarm as it was typed; "" for none."""
        return self._set[scope, key][0] if (scope, key) in self._set else ""

    def wrong(self, scope: str, key: Key, text: str) -> str:
        """Reason why that text cannot be the row's alarm; "" if it can."""
        if not text.strip():
            return ""
        if (scope, key) not in self._set and len(self._set) >= MOST_ALARMS:
            return f"there are {MOST_ALARMS} alarms already, which is the most"
        try:
            parse(scope, text)
        except ValueError as error:
            return str(error)
        return ""

    def put(self, scope: str, key: Key, text: str) -> None:
        """Set a row's alarm, or remove it if the text is empty. ValueError with the reason of `wrong`."""
        text = " ".join(text.split())
        wrong = self.wrong(scope, key, text)
        if wrong:
            raise ValueError(wrong)
        self._passed -= {(scope, key)}
        self._rung_ns.pop((scope, key), None)
        if text:
            self._set[scope, key] = text, parse(scope, text)
        else:
            self._set.pop((scope, key), None)
        self._preferences.set(_name(scope, key), text)

    def is_passed(self, scope: str, key: Key) -> bool:
        """Whether that row's alarm was passed at the last check."""
        return (scope, key) in self._passed

    def check(self, picture: Picture) -> list[str]:
        """Sentences about the alarms that are passed now and were not before. They may contain hostile text of exchanges."""
        if not self._set:
            return []
        sentences = []
        passed = set()
        rows = _rows(picture, {scope for scope, _ in self._set})
        for (at, key), (text, alarm) in self._set.items():
            values = self._values(at, key, rows.get((at, key)), picture.taken_ns)
            if not alarm.is_passed(values):
                continue
            passed.add((at, key))
            last = self._rung_ns.get((at, key))
            if (at, key) not in self._passed and (last is None or picture.taken_ns - last >= QUIET_NS):
                self._rung_ns[at, key] = picture.taken_ns
                sentences.append(f"{_named(key)}: {text}{_seen(at, alarm, values)}")
        self._passed = frozenset(passed)
        return sentences

    @property
    def passed(self) -> frozenset[tuple[str, Key]]:
        """Rows, as (scope, key), whose alarms were passed at the last check."""
        return self._passed

    def _values(self, scope: str, key: Key, row: AnyRow | None, now_ns: int) -> dict[str, Fraction]:
        """Values of a row by the names of its units; a book or segment that is not live also has its seconds of NOT_LIVE."""
        values = {} if row is None else _VALUES[scope](row)
        if scope not in WITH_NOT_LIVE:
            return values
        if row is not None and is_live(row):
            self._not_live_ns.pop((scope, key), None)
            return values
        since_ns = self._not_live_ns.setdefault((scope, key), now_ns)
        return values | {NOT_LIVE: Fraction(now_ns - since_ns, 1_000_000_000)}


def _rows(picture: Picture, scopes: Collection[str]) -> dict[tuple[str, Key], AnyRow]:
    """Rows of a picture that may have an alarm of these scopes, by (scope, key)."""
    found: dict[tuple[str, Key], AnyRow] = {}
    if BOOK in scopes:
        found |= {(BOOK, book.key): book for book in picture.books}
    if ARBITRAGE in scopes and picture.arbitrage is not None:
        found |= {(ARBITRAGE, (*row.buy, *row.sell)): row for row in picture.arbitrage.rows}
    if LATENCY in scopes:
        found |= {(LATENCY, (one.status.name, stage.name)): stage for one in picture.sets for stage in one.stages}
    if RING in scopes:
        found |= {(RING, (row.name,)): row for row in picture.segments}
    return found


def is_live(row: AnyRow) -> bool:
    """Whether a book is LIVE, or a segment live."""
    return row.status.state is BookState.LIVE if isinstance(row, BookPicture) else getattr(row, "state", "") == Liveness.LIVE.value


def book_values(book: BookPicture) -> dict[str, Fraction]:
    """Values of a book's row, by the names of BOOK_UNITS."""
    status = book.status
    age_s = None if status.age_ms is None else status.age_ms / 1000
    delay_ms = None if status.feed_delay_us is None else Fraction(status.feed_delay_us, 1000)
    is_live = status.state is BookState.LIVE
    given = {
        "bid": book.bid,
        "ask": book.ask,
        "spread": status.spread_bps if is_live else None,
        "delay": delay_ms,
        "age": age_s,
        "deltas": status.deltas_per_s,
        "gaps": status.gaps,
    }
    return {name: Fraction(value) for name, value in given.items() if value is not None}


def arbitrage_values(row: ArbitrageRow) -> dict[str, Fraction]:
    """Values of an arbitrage row, by the names of ARBITRAGE_UNITS: net and raw of the best prices, profit of an opportunity."""
    profit = None if row.found is None else row.found.net.fraction
    given = {"net": row.net_bps, "raw": row.raw_bps, "profit": profit}
    return {name: value for name, value in given.items() if value is not None}


def latency_values(stage: Stage) -> dict[str, Fraction]:
    """Values of a latency row, by the names of LATENCY_UNITS."""
    held = stage.distribution
    if not held.count:
        return {}
    found = {f"p{part * 100:g}": held.quantile(part) for part in QUANTILES} | {"max": held.largest}
    return {name: Fraction(value, 1_000_000) for name, value in found.items() if value is not None}


def ring_values(row: SegmentRow) -> dict[str, Fraction]:
    """Values of a ring's row, by the names of RING_UNITS."""
    given = {
        "rate": row.records_per_s,
        "beat": row.heartbeat_age_s,
        "lag": max((reader.lag for reader in row.readers if reader.lag is not None), default=None),
        "missed": sum(reader.missed for reader in row.readers) if row.readers else None,
    }
    return {name: Fraction(value) for name, value in given.items() if value is not None}


_VALUES: dict[str, Callable[[Any], dict[str, Fraction]]] = {
    BOOK: book_values,
    ARBITRAGE: arbitrage_values,
    LATENCY: latency_values,
    RING: ring_values,
}


def _seen(scope: str, alarm: Alarm, values: Mapping[str, Fraction]) -> str:
    """Text of the value that passed the alarm."""
    if alarm.what == NOT_LIVE:
        return ""
    return f" (it is {f'{float(values[alarm.what]):,.8f}'.rstrip('0').rstrip('.')}{UNITS[scope][alarm.what]})"


def _named(key: Key) -> str:
    return " ".join(key[:2]) + (f" to {' '.join(key[2:])}" if key[2:] else "")


def _name(scope: str, key: Key) -> str:
    return BETWEEN.join((PREFIX, scope, *key))


def _remembered(preferences: Preferences) -> Iterator[tuple[tuple[str, Key], tuple[str, Alarm]]]:
    """Iterate over the alarms of earlier runs; texts that are not valid any more are left out."""
    for name in preferences.names():
        prefix, scope, *key = f"{name}{BETWEEN}".split(BETWEEN)[:-1] if BETWEEN in name else ("", "")
        text = preferences.get(name, "")
        if prefix == PREFIX and scope in UNITS and text and len(key) == KEY_LENGTHS[scope]:
            try:
                yield (scope, tuple(key)), (text, parse(scope, text))
            except ValueError:
                continue

"""Connection part of Bitfinex's decoder: flags, subscriptions, sequence numbers of frames, and the server's events.

It implements rules F1, F2, F4 to F6 and F11 to F13 of `decoder`, except for the contents of books and trades.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from alphapulse_cli.errors import UsageError
from alphapulse_cli.exchanges.bitfinex.entries import integer, text, time_of, unknown
from alphapulse_cli.exchanges.bitfinex.facts import FACTS, SEQ_ALL, VERSION
from alphapulse_cli.exchanges.bitfinex.subscriptions import Key, Numbered, conf
from alphapulse_cli.exchanges.protocol import BOOK, TRADES, Position
from alphapulse_cli.exchanges.shape import MOST_NUMBER, UNKNOWN, Shape
from alphapulse_cli.exchanges.subscriptions import GOOD, LastResort, Owed, Patience, Standing, is_final, is_rate
from alphapulse_cli.market.events import (
    ClosingSoon,
    Event,
    GapFound,
    GapReason,
    Heartbeat,
    Subscribed,
    SubscriptionRefused,
    SystemStatus,
    Unanswered,
)
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.requests import Reconnect, Request, Send, SlowDown
from alphapulse_cli.market.ticks import Malformed
from alphapulse_cli.market.trading_status import TradingStatus

USUAL_UPDATE = "[<channel>,[<price>,<count>,<amount><level>],<first>,<millis>]"
USUAL_CHECKSUM = '[<channel>,"cs",<signed>,<first>,<millis>]'
RESTART, MAINTENANCE, MAINTENANCE_OVER = 20051, 20060, 20061  # codes of `info` events
UNKNOWN_PAIR, SUBSCRIBED_ALREADY, CHANNEL_LIMIT, NOT_SUBSCRIBED, RATE_LIMIT = 10001, 10301, 10305, 10401, 11010
FINAL_CODES = (UNKNOWN_PAIR, 10011, 10012, 10302, CHANNEL_LIMIT)  # unknown pair, precision, length, channel; too many channels
INVALID = "symbol: invalid"  # words of code 10300
OPERATIVE = 1
CONF = "conf"


class Connection:
    """Base of the decoder: all but the contents of books and trades. UsageError for a depth that Bitfinex does not offer."""

    confirms_in_band = True

    def __init__(self, instruments: Iterable[Instrument], channels: Collection[str], depth: int, mode: str) -> None:
        chosen = FACTS.mode(mode)
        depth = depth or chosen.default_depth
        if depth not in chosen.depths:
            raise UsageError(f"bitfinex has no book of depth {depth}", f"choose one of {', '.join(map(str, chosen.depths))}")
        self.instruments = {instrument.native: instrument for instrument in instruments}
        self.channels = [channel for channel in (BOOK, TRADES) if channel in channels]
        book = {"prec": "P0", "freq": "F0", "len": str(depth)}
        keys = [(channel, native) for native in self.instruments for channel in self.channels]
        self._subscriptions = Numbered(keys, {BOOK: book, TRADES: {}})
        self.shape = Shape(USUAL_UPDATE, checksum_alone=USUAL_CHECKSUM, is_counted=True)
        self._conf: Owed[str] = Owed()  # its only key is CONF
        self._last_resort: LastResort[Key] = LastResort()
        self._requests: list[Request] = []
        self._patience = Patience()
        self._now_ns = 0  # CLOCK_MONOTONIC, of the last tick
        self._awaited: int | None = None  # F5
        self._handed_back: int | None = None  # F6: number of a frame answered with OffGrid
        self._must_have_numbers = self._broken = False
        self._on_event = {
            "info": self._on_info,
            "conf": self._on_conf,
            "subscribed": self._on_subscribed,
            "unsubscribed": self._on_unsubscribed,
            "error": self._on_error,
            "pong": self._on_pong,
        }

    def connected(self, monotonic_ns: int) -> None:
        """Queue the flags and all subscriptions; forget all state of the last connection except trade ids."""
        self._now_ns = monotonic_ns
        self._requests = []
        self._conf.clear()
        self._conf.ask(CONF, monotonic_ns)
        self._requests.append(Send(conf()))
        self._must_have_numbers = self._broken = False
        self._handed_back = None
        self.shape.instruments.clear()
        self._expect(None)
        self._subscriptions.start(monotonic_ns)

    def pending_requests(self) -> Sequence[Request]:
        """Take the queued requests, in the order of execution."""
        requests = [*self._requests, *map(Send, () if self._broken else self._subscriptions.frames())]
        self._requests = []
        return requests

    def _repeat_requests(self, monotonic_ns: int) -> list[Event]:
        """Queue the repeated requests that are due (F12); returns an Unanswered event at the first repetition of each."""
        self._now_ns = monotonic_ns
        if self._broken:
            return []
        again, unanswered = self._conf.due(monotonic_ns)
        if again:
            self._requests.append(Send(conf()))
        for key, silences in self._subscriptions.silences().items():
            if key[0] == BOOK and self._last_resort.is_due(key, silences, monotonic_ns):
                self._requests.append(Reconnect(f"no answer to the subscription to the book of {key[1]}, {silences} times"))
        due, unreported = self._subscriptions.tick(monotonic_ns)
        for channel, native in due:
            if channel == BOOK:
                self._confirm_trades(native)
        silent: dict[str, list[str]] = {}
        for channel, native in unreported:
            silent.setdefault(channel, []).append(native)
        return [*(Unanswered(name) for name in unanswered), *(Unanswered(name, natives) for name, natives in silent.items())]

    def resync(self, instrument: Instrument) -> None:
        """Resubscribe to one book, unless its snapshot, or a new connection, is already on its way (F4)."""
        key = BOOK, instrument.native
        if self._subscriptions.is_good(key) and not self._broken:
            self._heal(key)

    def confirm(self, instrument: Instrument) -> None:
        """F13: resubscribe to a live book and its trades."""
        key = BOOK, instrument.native
        if not self._broken and self._subscriptions.confirm(key, self._now_ns):
            self._confirm_trades(instrument.native)

    def position(self) -> Position:
        """Position in the connection: the next frame's sequence number, and the channel numbers."""
        numbered = ((key, self._subscriptions.number_of(key)) for key in self._subscriptions.standings)
        return {"next": self._expected, "channels": [[*key, number] for key, number in numbered if number is not None]}

    def last_number(self, native: str) -> int | None:  # noqa: ARG002 - the connection's
        """Number of the connection's last frame."""
        return self._expected - 1 if self._expected else None

    def resume(self, position: Position, natives: Collection[str]) -> None:
        """Resume with live books of these symbols."""
        awaited = position["next"]
        self._expect(None if awaited is None else int(awaited))
        self._must_have_numbers = awaited is not None
        self._conf.settle(CONF)
        for channel, native, number in position["channels"]:
            key = str(channel), str(native)
            if key in self._subscriptions.standings:
                self._subscriptions.opened(key, int(number))
        for native in natives:
            key = BOOK, native
            number = self._subscriptions.number_of(key)
            if number is None:
                raise LookupError(f"no channel of the book of {native}")
            self._subscriptions.arrived(key)
            self.shape.instruments[str(number)] = self.instruments[native]

    def use_instrument(self, instrument: Instrument) -> None:
        """Decode on the grid of this instrument from now on."""
        self.instruments[instrument.native] = instrument
        number = self._subscriptions.number_of((BOOK, instrument.native))
        if number is not None and str(number) in self.shape.instruments:
            self.shape.instruments[str(number)] = instrument

    # The sequence (F5, F6)

    @property
    def _expected(self) -> int | None:
        """Sequence number of the next frame; None before the first. The shape keeps it, since it reads most frames."""
        return self._awaited if self.shape.expected == UNKNOWN else self.shape.expected

    def _expect(self, number: int | None) -> None:
        self._awaited = number
        self.shape.expected = number if number is not None and number < MOST_NUMBER else UNKNOWN

    def _count(self, number: int | None) -> list[Event]:
        """Count a frame; returns the events of a sequence break, if any. Malformed if an expected number is missing."""
        if number is None:
            if self._must_have_numbers:
                raise Malformed("a frame without a sequence number")
            return []
        if self._broken:
            return []
        expected, handed_back = self._expected, self._handed_back
        self._handed_back = None
        self._must_have_numbers = True
        if number == handed_back and expected == number + 1:
            return []
        if expected is None or number == expected:
            self._expect(number + 1)
            return []
        detail = f"expected {expected}, got {number}"
        self._break(f"sequence break: {detail}")
        books = [each for each in self.instruments.values() if (BOOK, each.native) in self._subscriptions.standings]
        reason = GapReason.SEQUENCE if number > expected else GapReason.SEQUENCE_RESET
        return [GapFound(books, reason, detail, str(expected), str(number))]

    def _break(self, reason: str) -> None:
        """Mark all books as not live, and request a new connection."""
        self._broken = True
        self._requests = [Reconnect(reason)]
        self.shape.instruments.clear()
        self._expect(None)

    def _heal(self, key: Key) -> None:
        """Resubscribe to a book that is wrong or has no snapshot."""
        self._unshape(key)
        self._subscriptions.ask_anew(key, self._now_ns)
        self._confirm_trades(key[1])

    def _confirm_trades(self, native: str) -> None:
        """F13: resubscribe to the trades of a symbol whose book is resubscribed."""
        self._subscriptions.confirm((TRADES, native), self._now_ns)

    def _unshape(self, key: Key) -> None:
        self.shape.instruments.pop(str(self._subscriptions.number_of(key)), None)

    # Events of the server

    def _on_server_event(self, message: dict[str, Any]) -> list[Event]:
        kind = message.get("event")
        handler = self._on_event.get(kind) if isinstance(kind, str) else None
        return [unknown("event", text(kind) if kind is not None else "")] if handler is None else handler(message)

    def _on_info(self, message: dict[str, Any]) -> list[Event]:
        """Events of an `info` message: the greeting, or an announcement (F11)."""
        code = message.get("code")
        if code is None:
            return self._on_greeting(message)
        text_of_info = text(message.get("msg", ""))
        if code == RESTART:
            return [ClosingSoon(text_of_info or str(RESTART))]
        if code == MAINTENANCE:
            return [SystemStatus("maintenance", TradingStatus.SUSPENDED, (text_of_info,) if text_of_info else ())]
        if code == MAINTENANCE_OVER:
            return [SystemStatus("operative"), *self._begin_anew()]
        return [unknown("info", code)]

    def _on_greeting(self, message: dict[str, Any]) -> list[Event]:
        version = integer(message["version"])
        if version != VERSION:
            self._break(f"the exchange speaks version {version}, this decoder {VERSION}")
            return [unknown("version", version)]
        platform = message.get("platform")
        if platform is None:
            return []
        is_up = integer(platform["status"]) == OPERATIVE
        return [SystemStatus("operative" if is_up else "maintenance", TradingStatus.TRADING if is_up else TradingStatus.SUSPENDED)]

    def _begin_anew(self) -> list[Event]:
        """Resubscribe to everything; returns the gap of the live books."""
        if self._broken:
            return []
        lost: list[Instrument] = []
        for key, standing in self._subscriptions.standings.items():
            if key[0] == BOOK:
                self._unshape(key)
                if standing in GOOD:
                    lost.append(self.instruments[key[1]])
            if standing is not Standing.REFUSED:
                self._subscriptions.ask_anew(key, self._now_ns)
        return [GapFound(lost, GapReason.DISCONNECTED, "the exchange's maintenance is over")] if lost else []

    def _on_conf(self, message: dict[str, Any]) -> list[Event]:
        """F1: events of the answer to `conf`."""
        if message.get("status") == "OK" and integer(message.get("flags", 0)) & SEQ_ALL:
            self._conf.settle(CONF)
            return [Subscribed(CONF)]
        if self._conf.waits(CONF):
            self._conf.refuse(CONF, self._now_ns, final=False)
        return [
            SubscriptionRefused(CONF, "", f"status {message.get('status')!s:.40}, flags {message.get('flags')!s:.20}", for_now=True)
        ]

    def _on_subscribed(self, message: dict[str, Any]) -> list[Event]:
        """F2: events of an acknowledged subscription, which names its channel number."""
        key, number = (text(message["channel"]), text(message.get("symbol", ""))), integer(message["chanId"])
        if key not in self._subscriptions.standings:
            return [unknown("ack of", " ".join(key))]
        self._unshape(key)
        self._subscriptions.opened(key, number)
        return [Subscribed(*_named(key))]

    def _on_unsubscribed(self, message: dict[str, Any]) -> list[Event]:
        """Events of the end of a channel (F12)."""
        return self._on_end(integer(message["chanId"]))

    def _on_end(self, number: int) -> list[Event]:
        self.shape.instruments.pop(str(number), None)
        key, wanted = self._subscriptions.closed(number)
        if key is None or wanted or self._broken:
            return []
        was_good = self._subscriptions.is_good(key)
        self._subscriptions.ask_anew(key, self._now_ns)
        if key[0] != BOOK or not was_good:
            return []
        return [GapFound([self.instruments[key[1]]], GapReason.QUIET, "the exchange ended the subscription")]

    def _on_error(self, message: dict[str, Any]) -> list[Event]:
        """Events of a refusal (F12): it names channel and symbol, or neither."""
        reason, code = text(message.get("msg", "")), message.get("code")
        key = text(message.get("channel", "")), text(message.get("symbol", ""))
        if code == NOT_SUBSCRIBED and type(message.get("chanId")) is int:
            return [*self._on_end(message["chanId"]), unknown("error", reason)]
        final = code in FINAL_CODES or is_final(reason) or INVALID in reason
        if code == RATE_LIMIT or is_rate(reason):
            final = False
            if self._patience.is_over(self._now_ns):
                self._requests.append(SlowDown(reason))
        if key not in self._subscriptions.standings:
            if not any(key):
                self._subscriptions.all_refused(self._now_ns)
            return [SubscriptionRefused(*key, reason, for_now=not final)]
        if code == SUBSCRIBED_ALREADY:
            return self._on_subscribed_already(key)
        self._subscriptions.refused(key, self._now_ns, final=final)
        if final:
            self._unshape(key)
        return [SubscriptionRefused(*key, reason, for_now=not final)]

    def _on_subscribed_already(self, key: Key) -> list[Event]:
        standing, channel = self._subscriptions.standings[key], Subscribed(*_named(key))
        if self._subscriptions.number_of(key) is None:
            if self._last_resort.is_due(key, len(self._subscriptions.standings) + 3, self._now_ns):
                self._requests.append(Reconnect(f"the number of the {key[0]} channel of {key[1]} is unknown"))
        elif standing is Standing.LIVE:
            self._subscriptions.arrived(key)
        else:
            self._subscriptions.ask_anew(key, self._now_ns, standing)
        return [channel]

    def _on_pong(self, message: dict[str, Any]) -> list[Event]:
        return [Heartbeat(time_of([message["ts"]], 0))]


def _named(key: Key) -> tuple[str, tuple[str]]:
    return key[0], (key[1],)

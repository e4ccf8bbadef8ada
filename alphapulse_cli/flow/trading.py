"""Trading statuses of an exchange's markets, published with their books at each change.

    instrument metadata, by REST or in band ─► the pair's own status ─┐
    the status of the whole exchange ─────────────────────────────────┴─► the stricter of the two ─► image, STATUS record, a notice

A trading status changes nothing in a book.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

from alphapulse_cli.flow.keeper import BookKeeper
from alphapulse_cli.market.events import SystemStatus
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.trading_status import TradingStatus

MOST_ANNOUNCEMENTS = 100  # most announcements remembered as reported; beyond that the memory is emptied
UNLISTED = "not listed"  # in place of the exchange's word, for an instrument that its metadata no longer lists

Notice = Callable[[str, str], None]


class TradingStatuses:
    """Trading statuses of one exchange's books, by native symbol."""

    def __init__(self, keepers: Mapping[str, BookKeeper], notice: Notice) -> None:
        self._keepers = keepers
        self._notice = notice
        self._of_exchange = SystemStatus("")
        self._announced: dict[str, None] = {}
        self._is_reported = False

    def start(self) -> None:
        """Report, once, the markets that do not accept every order."""
        if not self._is_reported:
            self._is_reported = True
            for keeper in self._keepers.values():
                if keeper.trading_status is not TradingStatus.TRADING:
                    self._report(keeper)

    def is_any_restricted(self) -> bool:
        """Whether an instrument does not accept every order, by its metadata."""
        return any(keeper.instrument.trading_status is not TradingStatus.TRADING for keeper in self._keepers.values())

    def memory(self, keeper: BookKeeper) -> list[str] | None:
        """Trading status of a market and the exchange's word for it, then those of the whole exchange; None where all is usual."""
        own, whole = keeper.instrument, self._of_exchange
        if (own.trading_status, whole.trading_status, whole.status) == (TradingStatus.TRADING, TradingStatus.TRADING, ""):
            return None
        return [own.trading_status.name, own.status_word, whole.trading_status.name, whole.status]

    def recall(self, keeper: BookKeeper, memory: Sequence[str] | None, receive_ns: int) -> None:
        """Go on with a market from a `memory`. LookupError, TypeError or ValueError for a wrong one."""
        status, word, of_exchange, words = memory or (TradingStatus.TRADING.name, keeper.instrument.status_word, "TRADING", "")
        self._of_exchange = SystemStatus(str(words), TradingStatus[of_exchange])
        seen = keeper.instrument.with_status(TradingStatus[status], str(word))
        keeper.use_status(seen, self._of_exchange.trading_status, receive_ns)

    def on_instrument(self, keeper: BookKeeper, seen: Instrument, receive_ns: int) -> None:
        """Take in newer metadata of a book's instrument."""
        if keeper.use_status(seen, self._of_exchange.trading_status, receive_ns):
            self._report(keeper)

    def on_listed(self, natives: Collection[str], receive_ns: int) -> None:
        """Mark instruments that the exchange's metadata no longer lists as DELISTED, until they are listed again."""
        for native, keeper in self._keepers.items():
            if native not in natives:
                self.on_instrument(keeper, keeper.instrument.with_status(TradingStatus.DELISTED, UNLISTED), receive_ns)

    def on_system(self, system: SystemStatus, receive_ns: int) -> None:
        """Apply the status of the whole exchange, and report its announcements, each once."""
        changed = system.trading_status is not self._of_exchange.trading_status
        self._notice("warning" if changed else "info", f"the exchange says: {system.status}")
        self._of_exchange = system
        for keeper in self._keepers.values():
            if keeper.use_status(keeper.instrument, system.trading_status, receive_ns):
                self._report(keeper)
        for announcement in system.announcements:
            if announcement not in self._announced:
                if len(self._announced) >= MOST_ANNOUNCEMENTS:
                    self._announced.clear()
                self._announced[announcement] = None
                self._notice("warning", f"the exchange announces: {announcement}")

    def _report(self, keeper: BookKeeper) -> None:
        instrument, status = keeper.instrument, keeper.trading_status
        word = instrument.status_word if status is instrument.trading_status else self._of_exchange.status
        line = f"{instrument.id}: trading status {status.name}"
        if status is TradingStatus.UNKNOWN:
            line += f": the exchange says {word!r}, which this version does not know; arbitrage leaves the market alone"
        elif word == UNLISTED:
            line += ": the exchange's metadata lists it no longer"
        elif word:
            line += f" (the exchange says {word!r})"
        self._notice("warning", line)

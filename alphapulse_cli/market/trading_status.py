"""Trading status: which orders a market takes now, in words of our own. Each exchange's words are brought to these by its decoder.

It is not the state of a book: a book may be LIVE, exact and fresh, of a market on which nobody can buy. Only TRADING and LIMIT_ONLY
let an order take what stands in the book (the latter a limit order that crosses); all others must not be traded against.
"""

from enum import IntEnum, unique

WORD_CHARACTERS = 40  # kept of an exchange's own word: hostile text
NOT_TOLD = -1  # in place of a number: the writer is of a time when nobody told


@unique
class TradingStatus(IntEnum):
    """Which orders a market takes; the numbers are those of the image and of STATUS records."""

    UNKNOWN = 0  # the exchange's word is none that we know
    TRADING = 1  # all
    POST_ONLY = 2  # limit orders that rest in the book, and cancels
    LIMIT_ONLY = 3  # limit orders, those that cross among them, and cancels
    CANCEL_ONLY = 4  # cancels
    AUCTION = 5  # orders are collected; none is matched before the auction ends
    SUSPENDED = 6  # none
    DELISTED = 7  # none, ever again

    @property
    def allows_taking(self) -> bool:
        """Whether an order that takes what stands in the book is accepted."""
        return self in (TradingStatus.TRADING, TradingStatus.LIMIT_ONLY)


# Of two that hold at once the later one is what counts. UNKNOWN might be anything, so whatever is known to forbid more comes after it.
BY_STRICTNESS = (
    TradingStatus.TRADING,
    TradingStatus.LIMIT_ONLY,
    TradingStatus.UNKNOWN,
    TradingStatus.POST_ONLY,
    TradingStatus.AUCTION,
    TradingStatus.CANCEL_ONLY,
    TradingStatus.SUSPENDED,
    TradingStatus.DELISTED,
)


def stricter(*statuses: TradingStatus) -> TradingStatus:
    """The one of these that forbids most."""
    return max(statuses, key=BY_STRICTNESS.index)


def trading_status(number: int) -> TradingStatus | None:
    """The status that an image or a record numbers so; UNKNOWN for a number of a later version, None for NOT_TOLD."""
    if number == NOT_TOLD:
        return None
    return TradingStatus(number) if number in TradingStatus._value2member_map_ else TradingStatus.UNKNOWN


def remark(status: TradingStatus | None) -> str:
    """What to write beside a book's state: "cancel only", "suspended"; "" where all can be ordered, or nobody told."""
    if status is None or status is TradingStatus.TRADING:
        return ""
    return "status unknown" if status is TradingStatus.UNKNOWN else status.name.lower().replace("_", " ")


def allows_taking(status: TradingStatus | None) -> bool:
    """Whether to believe that what stands in the book can be taken. Where nobody told (None) as before there was a status: yes."""
    return status is None or status.allows_taking

"""Trading status: the orders that a market accepts now, in our own vocabulary. Each decoder maps its exchange's words to it.

It is not the state of a book: a book may be LIVE, exact and fresh on a market that accepts no order. Only TRADING and LIMIT_ONLY
accept an order that takes liquidity (LIMIT_ONLY a crossing limit order); no other status may be traded against.
"""

from enum import IntEnum, unique

WORD_CHARACTERS = 40  # kept of an exchange's own word: hostile text
NOT_REPORTED = -1  # in place of a status number: the writer's layout is older than the status


@unique
class TradingStatus(IntEnum):
    """Orders that a market accepts; the numbers are those of the image and of STATUS records."""

    UNKNOWN = 0  # the exchange's word is not in our table
    TRADING = 1  # all orders
    POST_ONLY = 2  # limit orders that rest in the book, and cancels
    LIMIT_ONLY = 3  # limit orders, crossing ones too, and cancels
    CANCEL_ONLY = 4  # cancels
    AUCTION = 5  # orders are collected; none is matched before the auction ends
    SUSPENDED = 6  # no orders
    DELISTED = 7  # no orders, for good

    @property
    def allows_taking(self) -> bool:
        """Whether the market accepts an order that takes liquidity."""
        return self in (TradingStatus.TRADING, TradingStatus.LIMIT_ONLY)


# Ascending. UNKNOWN may mean any restriction, so each status that is known to forbid taking ranks above it.
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
    """Most restrictive of these statuses."""
    return max(statuses, key=BY_STRICTNESS.index)


def trading_status(number: int) -> TradingStatus | None:
    """Status of an image's or record's number: UNKNOWN for a number of a later version, None for NOT_REPORTED."""
    if number == NOT_REPORTED:
        return None
    return TradingStatus(number) if number in TradingStatus._value2member_map_ else TradingStatus.UNKNOWN


def remark(status: TradingStatus | None) -> str:
    """Words to show beside a book's state, as "cancel only"; "" where all orders are accepted or the status is not told (None)."""
    if status is None or status is TradingStatus.TRADING:
        return ""
    return "status unknown" if status is TradingStatus.UNKNOWN else status.name.lower().replace("_", " ")


def allows_taking(status: TradingStatus | None) -> bool:
    """Whether the book may be taken to be tradable; true where the status is not told (None), as before layouts had one."""
    return status is None or status.allows_taking

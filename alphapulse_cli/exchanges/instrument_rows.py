"""Rows of an exchange's instrument metadata; an unreadable row does not spoil the others."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from alphapulse_cli.exchanges.protocol import NOT_UNDERSTOOD
from alphapulse_cli.market.instrument import Instrument

Row = TypeVar("Row")


def understood(rows: Iterable[Row], read: Callable[[Row], Instrument | None]) -> list[Instrument]:
    """Instruments of the rows that `read` understands; it returns None for a market that cannot be collected.

    Raises the first row's error where no row was understood: the body is no list of instruments.
    """
    found, errors, is_any_understood = [], [], False
    for row in rows:
        try:
            instrument = read(row)
        except NOT_UNDERSTOOD as error:
            errors.append(error)
            continue
        is_any_understood = True
        if instrument is not None:
            found.append(instrument)
    if errors and not is_any_understood:
        raise errors[0]
    return found

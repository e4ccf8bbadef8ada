"""Rows of an exchange's instrument metadata, of which one that nobody can read does not take the others along."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from alphapulse_cli.exchanges.protocol import NOT_UNDERSTOOD
from alphapulse_cli.market.instrument import Instrument

Row = TypeVar("Row")


def understood(rows: Iterable[Row], read: Callable[[Row], Instrument | None]) -> list[Instrument]:
    """Instruments of the rows that `read` understands; its None is a market that cannot be collected.

    Raises the first row's error where none at all was understood: that is no list of instruments.
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

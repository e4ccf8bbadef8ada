"""Parser of the rows of an exchange's instrument metadata; an unreadable row is skipped."""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from alphapulse_cli.exchanges.protocol import NOT_UNDERSTOOD
from alphapulse_cli.market.instrument import Instrument

Row = TypeVar("Row")
NO_INSTRUMENTS: Mapping[str, Instrument] = {}


def understood(
    rows: Iterable[Row], read: Callable[[Row], Instrument | None], ours: Mapping[str, Instrument], native_of: Callable[[Row], str]
) -> list[Instrument]:
    """Instruments of the rows that `read` understands; `read` returns None for a market that cannot be collected.

    An unreadable row whose native name is in `ours` gives that instrument unchanged: it is still listed.
    Raises the first row's error if no row is understood: the body is no list of instruments.
    """
    found: list[Instrument | None] = []
    errors: list[Exception] = []
    for row in rows:
        try:
            found.append(read(row))
        except NOT_UNDERSTOOD as error:
            errors.append(error)
            if (known := _known(row, ours, native_of)) is not None:
                found.append(known)
    if errors and not found:
        raise errors[0]
    return [instrument for instrument in found if instrument is not None]


def _known(row: Row, ours: Mapping[str, Instrument], native_of: Callable[[Row], str]) -> Instrument | None:
    try:
        return ours.get(native_of(row))
    except NOT_UNDERSTOOD:
        return None

"""Conversion of RFC 3339 text to nanoseconds since 1970 and back: exact, strict, and fast for a stream of close times.

    2026-08-12T19:27:47.532655123Z
    └───────┬─────────┘ └───┬───┘└ Z, or an offset: +02:00
      once a second      0 to 9 digits, each counted

The compiled core reads usual text in place (`exchanges.moment`). This module parses other text, and all text when interpreted:
frames of one second share the first nineteen characters, so the results for the last few seconds are cached. Refused: lower-case
letters, a space for the T, more than nine digits, a leap second (no exchange sends one), days that do not exist, and times after
the year 2262, where nanoseconds outgrow 63 bits.
"""

import re
from datetime import UTC, date, datetime
from functools import lru_cache

from alphapulse_cli import native
from alphapulse_cli.exchanges import moment

SOURCE_HASH = native.source_hash()

SECOND_NS = 1_000_000_000
FRACTION_NS: tuple[int, ...] = tuple(
    10 ** (9 - digits) for digits in range(10)
)  # index: digits of a fraction; value: nanoseconds of its last digit
EPOCH_DAY = date(1970, 1, 1).toordinal()
LAST_SECOND_NS = ((1 << 63) // SECOND_NS - 2 * 86_400) * SECOND_NS  # leaves room for any offset
SECONDS_REMEMBERED = 64

_SECOND = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)", re.ASCII)
_REST = re.compile(r"(?:\.(\d{1,9}))?(?:Z|([+-])([01]\d|2[0-3]):([0-5]\d))", re.ASCII)


def rfc3339_ns(text: str) -> int:
    """Nanoseconds since 1970 (negative before) of RFC 3339 text; ValueError for any other text, TypeError for another type."""
    if not isinstance(text, str):  # a dict takes a slice for a key where slices are hashable (3.12 on)
        raise TypeError(f"a time must be text, not {type(text).__name__}")
    ns = moment.usual_ns(text)
    if ns >= 0:
        return ns
    second_ns = _second_ns(text[:19])
    digits = text[20 : len(text) - 1]
    if len(digits) < 10 and digits.isdecimal() and digits.isascii() and text.startswith(".", 19) and text.endswith("Z"):
        return second_ns + int(digits) * FRACTION_NS[len(digits)]
    return second_ns + _rest_ns(text[19:])


def rfc3339_text(ns: int, digits: int = 9) -> str:
    """RFC 3339 text, in UTC, of nanoseconds since 1970, with `digits` (0 to 9) after the point; truncated."""
    seconds, fraction_ns = divmod(ns, SECOND_NS)
    whole = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
    return f"{whole}.{fraction_ns // FRACTION_NS[digits]:0{digits}}Z" if digits else f"{whole}Z"


@lru_cache(SECONDS_REMEMBERED)
def _second_ns(text: str) -> int:
    match = _SECOND.fullmatch(text)
    if match is None:
        raise ValueError(f"not an RFC 3339 time: {text[:19]!r}")
    year, month, day, hour, minute, second = map(int, match.groups())
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError(f"no such time of day: {text!r}")
    days = date(year, month, day).toordinal() - EPOCH_DAY
    second_ns = (((days * 24 + hour) * 60 + minute) * 60 + second) * SECOND_NS
    if second_ns > LAST_SECOND_NS:
        raise ValueError(f"too late a time for 63 bits of nanoseconds: {text!r}")
    return second_ns


def _rest_ns(text: str) -> int:
    match = _REST.fullmatch(text)
    if match is None:
        raise ValueError(f"not the end of an RFC 3339 time: {text[:19]!r}")
    digits, sign, hours, minutes = match.groups()
    ns = int(digits) * FRACTION_NS[len(digits)] if digits else 0
    if sign:
        offset_ns = (int(hours) * 60 + int(minutes)) * 60 * SECOND_NS
        ns += offset_ns if sign == "-" else -offset_ns  # 12:00+02:00 is 10:00Z
    return ns

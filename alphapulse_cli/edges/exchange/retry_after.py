"""Parser of `Retry-After`, the pause that an HTTP answer asks for, in REST and at a handshake (RFC 9110, 10.2.3)."""

import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_S = 10 * 366 * 86_400.0  # longer pauses are cut to ten years, which clocks and timers can represent
SHOWN_DATE_FROM_S = 86_400.0

Headers = Mapping[str, str] | Iterable[tuple[str, str]]


def asked_pause_s(headers: Headers, now: datetime | None = None) -> float | None:
    """Seconds that a Retry-After asks for, from now on; None without a Retry-After that can be parsed.

    A date counts from the answer's own `Date`, so that a wrong clock here does not matter; without a `Date` from `now`.
    """
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    found = {name.lower(): value.strip() for name, value in pairs}
    text = found.get("retry-after", "")[:80]
    if re.fullmatch(r"[0-9]+(\.[0-9]*)?", text, re.ASCII):
        return min(float(text), LONGEST_S)
    until = _moment(text)
    if until is None:
        return None
    seconds = (until - (_moment(found.get("date", "")[:80]) or now or datetime.now(UTC))).total_seconds()
    return min(max(seconds, 0.0), LONGEST_S) if math.isfinite(seconds) else None


def end_of(pause_s: float, now: datetime | None = None) -> str:
    """Text of the end of a pause of `pause_s` seconds: "12:30:15Z (in 600 s)", with the date for a day or more."""
    now = now or datetime.now(UTC)
    until = datetime.fromtimestamp(now.timestamp() + pause_s, UTC)
    form = "%Y-%m-%dT%H:%M:%SZ" if pause_s >= SHOWN_DATE_FROM_S else "%H:%M:%SZ"
    return f"{until.strftime(form)} (in {pause_s:.0f} s)"


def _moment(text: str) -> datetime | None:
    """Parse an HTTP date, without a zone as UTC; None for other texts."""
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
